"""Candidate generators. One file each; a generator is added by one file and one line in GENERATORS.

A generator is a frozen dataclass of its settings with a `fit(history)` that returns a Recommender. `fit` receives the
history and nothing else, so it cannot see the future. What it returns offers no heard item, exactly k items where k exist,
scores descending, ties by ascending item index, and -1 for what is missing. A row of -1 asks for a user without history.
"""

from typing import Protocol, runtime_checkable

from musicrec.candidates.als import Als
from musicrec.candidates.artist import Artist
from musicrec.candidates.content import Content
from musicrec.candidates.covisitation import Covisitation
from musicrec.candidates.item_knn import ItemKnn
from musicrec.candidates.neighbours import Neighbours
from musicrec.candidates.popular import Popular, PopularByGenre, PopularDecayed, PopularRecent, PopularScore
from musicrec.candidates.random import Random
from musicrec.candidates.slim import Slim
from musicrec.lists import Recommender
from musicrec.matrix import History


class Generator(Protocol):
    """Settings of one method; `fit` turns a history into a Recommender."""

    def fit(self, history: History) -> Recommender:
        """The fitted method."""
        ...


@runtime_checkable
class Continuing(Protocol):
    """A fitted method that learns a later history faster from what it knows already."""

    def onward(self) -> Generator:
        """The generator for a history that holds this one and what came after it; it keeps what it begins with and nothing else."""
        ...


GENERATORS: dict[str, type[Generator]] = {
    "random": Random,
    "popular": Popular,
    "popular_recent": PopularRecent,
    "popular_decayed": PopularDecayed,
    "popular_by_genre": PopularByGenre,
    "popular_score": PopularScore,
    "als": Als,
    "artist": Artist,
    "content": Content,
    "item_knn": ItemKnn,
    "neighbours": Neighbours,
    "slim": Slim,
    "covisitation": Covisitation,
}
