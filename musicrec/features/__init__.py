"""Features of (user, item) pairs. One group a file; a group is added by one file and one line in FEATURES.

A group is a frozen dataclass of its settings. Class attributes: `key` says what its values depend on, `names` names its columns
(unique over all groups). `fit(history)` receives the history and nothing else, so it cannot see the future; the catalogue is part of
the history. What it returns answers `values(user_index (m,), item_index (m,)) -> float32 (m, len(names))`; user_index -1 is a user
without history; NaN means "does not apply". Pairs of one user standing together are answered fastest.
"""

from typing import ClassVar, Protocol

from musicrec.features.affinity import AlbumAffinity, ArtistAffinity, GenreAffinity
from musicrec.features.item_age import ItemAge
from musicrec.features.item_catalogue import ItemCatalogue
from musicrec.features.item_popularity import ItemPopularity
from musicrec.features.last_plays import LastPlays
from musicrec.features.name_popularity import AlbumPopularity, ArtistPopularity
from musicrec.features.neighbours_heard import NeighboursHeard
from musicrec.features.order_in_catalogue import OrderInCatalogue
from musicrec.features.user_activity import UserActivity
from musicrec.features.user_taste import UserTaste
from musicrec.matrix import Float32, History, Int32


class Fitted(Protocol):
    """A group fitted to one history."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        ...

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """One row a pair, one column a name of the group."""
        ...


class FeatureGroup(Protocol):
    """Settings of one group; `fit` turns a history into a Fitted."""

    key: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    def fit(self, history: History) -> Fitted:
        """The fitted group."""
        ...


FEATURES: dict[str, type[FeatureGroup]] = {
    "item_catalogue": ItemCatalogue,
    "item_popularity": ItemPopularity,
    "item_age": ItemAge,
    "artist_popularity": ArtistPopularity,
    "album_popularity": AlbumPopularity,
    "user_activity": UserActivity,
    "user_taste": UserTaste,
    "artist_affinity": ArtistAffinity,
    "album_affinity": AlbumAffinity,
    "genre_affinity": GenreAffinity,
    "neighbours_heard": NeighboursHeard,
    "last_plays": LastPlays,
    "order_in_catalogue": OrderInCatalogue,
}
