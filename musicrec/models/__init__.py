"""Recommender models, one file each; a model is added by one file and one line in MODELS, or by another package
as an entry point of musicrec.models.

A model is a frozen dataclass of its settings. `fit` receives the train set and nothing else, so it cannot see the test set. The fitted
model recommends k unseen items per user, or as many as there are and -1 for the rest, by descending score, ties by ascending item index.
User row -1 stands for a cold user. Further abilities of some models are protocols in models/protocols.py.
"""

from collections.abc import Mapping

from musicrec.models.als import ALS
from musicrec.models.artist_affinity import ArtistAffinity
from musicrec.models.content import Content
from musicrec.models.covisitation import Covisitation
from musicrec.models.item_knn import ItemKNN
from musicrec.models.popularity import Popular, PopularByGenre, PopularDecayed, PopularRecent, PopularScore
from musicrec.models.protocols import FittedModel, ItemFactors, Model, Range, SearchSpace, Storable, WarmStarting, WithSeenItems
from musicrec.models.random import Random
from musicrec.models.relisten import OwnItems, Relisten
from musicrec.models.slim import SLIM
from musicrec.models.user_knn import UserKNN
from musicrec.plugins import WithPlugins

MODELS: Mapping[str, type[Model]] = WithPlugins("musicrec.models", {
    "random": Random,
    "popular": Popular,
    "popular_recent": PopularRecent,
    "popular_decayed": PopularDecayed,
    "popular_by_genre": PopularByGenre,
    "popular_score": PopularScore,
    "als": ALS,
    "artist_affinity": ArtistAffinity,
    "content": Content,
    "item_knn": ItemKNN,
    "user_knn": UserKNN,
    "slim": SLIM,
    "covisitation": Covisitation,
    "relisten": Relisten,
})

__all__ = [
    "ALS", "MODELS", "SLIM", "ArtistAffinity", "Content", "Covisitation", "FittedModel", "ItemFactors", "ItemKNN", "Model", "OwnItems",
    "Popular", "PopularByGenre", "PopularDecayed", "PopularRecent", "PopularScore", "Random", "Range", "Relisten", "SearchSpace",
    "Storable", "UserKNN", "WarmStarting", "WithSeenItems",
]
