"""Content: unseen tracks whose genres, artists and albums are similar to those of the tracks that a user has seen."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from musicrec.dataset import Catalog, Float32, Int32, TrainSet
from musicrec.errors import ModelError
from musicrec.lists import empty
from musicrec.models.content_kernel import LEVELS, GenreGroups, NameIndex, fill_best
from musicrec.models.csr import csr_arrays
from musicrec.models.protocols import Range, SearchSpace
from musicrec.models.pruning import among_largest, only
from musicrec.models.top_k import parallel_for, rows_of
from musicrec.models.weights import check_history, checked_weights, decayed_listeners, presence, profiles


@dataclass(frozen=True)
class Content:
    """The score of a track is the mean of cosine(profile, track) over genres, artists and albums, weighted by these settings.

    With genres alone this is the content method of the reference notebook. A profile is the mean of the L1-normalized vectors of the
    user's seen tracks, weighted by recency. Cosines are rounded to 1/4096 (1 to 4095/4096), and tracks of equal rounded cosine are ordered
    by decayed popularity (half-life popularity_half_life_days), then by item index. This order is part of the score:
    rounded cosine + level / 2^24, where level is 4095 for the most popular track and falls with the logarithm of the popularity rank. So a
    score differs from the cosine by at most 1/2048. Tracks whose cosine is rounded to 0 are not recommended.
    max_tracks: of an artist or album only the most popular tracks are compared by it, the others by genres alone, which bounds the time.
    max_items_of_user, half_life_days, min_weight: what of a user's plays counts, see weights.History.
    """

    lists_file: ClassVar[str] = "content_recommendations.parquet"
    search_space: ClassVar[SearchSpace] = {
        "artists": Range(0.0, 3.0), "albums": Range(0.0, 3.0), "popularity_half_life_days": Range(7.0, 365.0, log=True)}
    genres: float = 1.0
    artists: float = 1.0
    albums: float = 0
    popularity_half_life_days: float = 60
    max_tracks: int = 100
    max_items_of_user: int = 300
    half_life_days: float = 0
    min_weight: float = 0.1

    def fit(self, train: TrainSet) -> "FittedContent":
        """The catalog indexed by genre lists, genres, artists and albums. O(nnz + links of the catalog).

        Pairs of weight 0 count as not played. Raises ModelError for bad weights (weights.checked_weights) and settings out of range.
        """
        check_history(self)
        shares = np.array([self.genres, self.artists, self.albums], np.float64)
        if not (shares >= 0).all() or not 0 < shares.sum() < np.inf or not self.popularity_half_life_days > 0:
            raise ModelError(f"content has genres {self.genres}, artists {self.artists}, albums {self.albums} and "
                             f"popularity_half_life_days {self.popularity_half_life_days}; give weights of at least 0, "
                             "one above 0, and days above 0.")
        return FittedContent(train, self, shares / shares.sum())


class FittedContent:
    """Computes the profiles of a batch of users and ranks the catalog by them."""

    def __init__(self, train: TrainSet, settings: Content, shares: np.ndarray) -> None:
        self.train, self.settings, self.shares = train, settings, shares
        checked_weights(train)
        self._presence = presence(train.matrix)
        levels = popularity_levels(decayed_listeners(train, settings.popularity_half_life_days).astype(np.float32))
        self.groups = genre_groups(train.catalog, levels)
        self.links = tuple(_links(links, levels, settings.max_tracks)
                           for links in (train.catalog.genres, train.catalog.artists, train.catalog.albums))

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k) between 0 and 1; nothing for row -1.

        O(links of the counted tracks + distinct genre lists + tracks of their artists and albums + k) per user.
        """
        counted, seen = profiles(self.train, self._presence, user_index, self.settings), rows_of(self.train.matrix, user_index)
        items, scores = empty(len(user_index), k)
        parallel_for(len(user_index), lambda start, stop: fill_best(
            csr_arrays(counted), csr_arrays(seen)[:2], self.links, self.groups, self.shares, items, scores, start, stop))
        return items, scores


def popularity_levels(popularity: Float32) -> Int32:
    """Levels 0..4095 (int32) by popularity rank, 4095 for the most popular item; the same for equal popularity.

    >>> popularity_levels(np.array([0, 5, 1, 5], np.float32)).tolist()
    [0, 4095, 850, 4095]
    """
    descending = np.sort(-popularity)
    rank = np.searchsorted(descending, -popularity, side="left")
    relative = np.log1p(rank) / max(np.log1p(rank.max(initial=0)), np.finfo(float).tiny)
    levels: Int32 = np.round((LEVELS - 1) * (1 - relative)).astype(np.int32)
    return levels


def genre_groups(catalog: Catalog, levels: Int32) -> GenreGroups:
    """Tracks grouped by their set of genres, which is scored once; within a group by descending level, then by item index."""
    links = sparse.csr_matrix(catalog.genres)
    links.sort_indices()
    indptr, names = links.indptr, links.indices
    group_of: dict[bytes, int] = {}
    first: list[int] = []
    of_item = np.empty(len(catalog), np.int32)
    for item in range(len(catalog)):
        key = names[indptr[item]:indptr[item + 1]].tobytes()
        if key not in group_of:
            group_of[key] = len(first)
            first.append(item)
        of_item[item] = group_of[key]
    members = np.lexsort((-levels, of_item)).astype(np.int32)
    starts = np.searchsorted(of_item[members], np.arange(len(first) + 1)).astype(np.int64)
    groups = _links(links[np.array(first, np.int64)], np.zeros(len(first), np.int32), len(first))
    return GenreGroups(np.column_stack([of_item, levels]), starts, members, groups)


def _links(links: sparse.csr_matrix, levels: Int32, most: int) -> NameIndex:
    """The names of all items, and of each name the `most` items of the highest levels."""
    transposed = sparse.csr_matrix(links.T)
    transposed = only(transposed, among_largest(transposed.indptr, levels[transposed.indices], most))
    values = 1 / np.sqrt(np.diff(links.indptr)[transposed.indices])
    return NameIndex(links.indptr.astype(np.int64), links.indices.astype(np.int32), transposed.indptr.astype(np.int64),
                 transposed.indices.astype(np.int32), values)
