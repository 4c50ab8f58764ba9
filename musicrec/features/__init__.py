"""Features of (user, item) pairs, one group per file; a group is added by one file and one line in FEATURES, or
by another package as an entry point of musicrec.features.

A group is a frozen dataclass of its settings, with class attributes `key`, what its values depend on ("item", "user" or "user x item"),
and `names`, its columns, unique over all groups. `fit` receives the train set and nothing else, so it cannot see the test set; the catalog
is part of the train set. The fitted group computes `values(user_index (m,), item_index (m,))`, float32 (m, len(names)). User index -1
stands for a cold user; NaN means that a feature does not apply. Pairs should be sorted by user: consecutive pairs of a user share work.
"""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.features.affinity import UserAlbumAffinity, UserArtistAffinity, UserGenreAffinity
from musicrec.features.feedback import Feedback
from musicrec.features.item_age import ItemAge
from musicrec.features.item_catalog import ItemCatalog
from musicrec.features.item_popularity import ItemPopularity
from musicrec.features.name_popularity import AlbumPopularity, ArtistPopularity
from musicrec.features.user_activity import UserActivity
from musicrec.features.user_taste import UserTaste
from musicrec.plugins import WithPlugins


class FittedFeatureGroup(Protocol):
    """A feature group fitted to a train set."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        ...

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """One row per pair, one column per name."""
        ...


class FeatureGroup(Protocol):
    """The settings of a feature group."""

    key: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    def fit(self, train: TrainSet) -> FittedFeatureGroup:
        """The fitted group."""
        ...


FEATURES: Mapping[str, type[FeatureGroup]] = WithPlugins("musicrec.features", {
    "item_catalog": ItemCatalog,
    "item_popularity": ItemPopularity,
    "item_age": ItemAge,
    "artist_popularity": ArtistPopularity,
    "album_popularity": AlbumPopularity,
    "user_activity": UserActivity,
    "user_taste": UserTaste,
    "artist_affinity": UserArtistAffinity,
    "album_affinity": UserAlbumAffinity,
    "genre_affinity": UserGenreAffinity,
    "feedback": Feedback,
})
