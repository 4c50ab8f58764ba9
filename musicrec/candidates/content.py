"""Content: unheard tracks whose genres, artists and albums resemble the user's mean track (the second seed, extended)."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from musicrec.candidates.content_kernel import LEVELS, Field, Groups, best_of_users
from musicrec.candidates.evidence import check_recency, query
from musicrec.candidates.top_k import in_parts, rows_of
from musicrec.candidates.weights import checked, decayed_listeners, presence
from musicrec.errors import GeneratorError
from musicrec.lists import empty
from musicrec.matrix import Catalogue, Float32, History, Int32


@dataclass(frozen=True)
class Content:
    """Score of a track = weighted mean over genres, artists and albums of cosine(profile, track); with genres alone, the second seed.

    The profile of a field is the mean of the L1-normalised vectors of the heard tracks, weighted by recency. A cosine is
    rounded to 1/4096 (the last step, 1, to 4095/4096) and equal ones are ordered by popularity that halves every
    popularity_half_life_days, then by item index. The order is folded into the score: rounded cosine + level / 2^24, level being
    4095 for the most popular track and falling with the logarithm of its place. So a score lies within 1/2048 of the
    cosine. Rounded to 0 means unlike and is not offered.
    half_life_days and floor: recency of the profile (0: off), see evidence.query.
    """

    genres: float = 1.0
    artists: float = 1.0
    albums: float = 0
    popularity_half_life_days: float = 60
    half_life_days: float = 0
    floor: float = 0.1

    def fit(self, history: History) -> "ContentProfiles":
        """The catalogue by fields and by distinct genre lists, each list's tracks by popularity. O(plays + links of the catalogue).

        A weight of zero is heard and says nothing. Raises GeneratorError for other bad weights (weights.checked) and settings out of range.
        """
        check_recency(self.half_life_days, self.floor)
        shares = np.array([self.genres, self.artists, self.albums], np.float64)
        if not (shares >= 0).all() or not 0 < shares.sum() < np.inf or not self.popularity_half_life_days > 0:
            raise GeneratorError(f"content has genres {self.genres}, artists {self.artists}, albums {self.albums} and a half-life of "
                                 f"{self.popularity_half_life_days} days; give weights of at least 0, one above 0, and days above 0.")
        return ContentProfiles(history, self, shares / shares.sum())


class ContentProfiles:
    """Builds the profiles of a batch of users and ranks the catalogue by them."""

    def __init__(self, history: History, settings: Content, shares: np.ndarray) -> None:
        self.history, self.settings, self.shares = history, settings, shares
        checked(history)
        self._says = presence(history.matrix)
        levels = popularity_levels(decayed_listeners(history, settings.popularity_half_life_days).astype(np.float32))
        self.groups = genre_groups(history.catalogue, levels)
        self.fields = tuple(_field(links) for links in (history.catalogue.genres, history.catalogue.artists, history.catalogue.albums))

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), scores between 0 and 1; nothing for row -1.

        O(links of the heard tracks + distinct genre lists + tracks of the heard artists and albums + k) a user.
        """
        asked = query(self.history, self._says, user_index, self.settings.half_life_days, self.settings.floor)
        heard = rows_of(self.history.matrix, user_index)
        items, scores = empty(len(user_index), k)
        rows = (asked.indptr.astype(np.int64), asked.indices, asked.data)
        in_parts(len(user_index), lambda start, stop: best_of_users(
            rows, heard.indices, self.fields, self.groups, self.shares, items, scores, start, stop))
        return items, scores


def popularity_levels(popularity: Float32) -> Int32:
    """Whole numbers 0..4095 (int32) that never rise as popularity falls: equal popularity, equal level.

    >>> popularity_levels(np.array([0, 5, 1, 5], np.float32)).tolist()
    [0, 4095, 850, 4095]
    """
    descending = np.sort(-popularity)
    place = np.searchsorted(descending, -popularity, side="left")
    fall = np.log1p(place) / max(np.log1p(place.max(initial=0)), np.finfo(float).tiny)
    levels: Int32 = np.round((LEVELS - 1) * (1 - fall)).astype(np.int32)
    return levels


def genre_groups(catalogue: Catalogue, levels: Int32) -> Groups:
    """Tracks with the same set of genres are one group, scored once; within a group by level, then by item index."""
    links = sparse.csr_matrix(catalogue.genres)
    links.sort_indices()
    indptr, names = links.indptr, links.indices
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    of_item = np.empty(len(catalogue), np.int32)
    for item in range(len(catalogue)):
        key = names[indptr[item]:indptr[item + 1]].tobytes()
        if key not in numbers:
            numbers[key] = len(first)
            first.append(item)
        of_item[item] = numbers[key]
    members = np.lexsort((-levels, of_item)).astype(np.int32)
    starts = np.searchsorted(of_item[members], np.arange(len(first) + 1)).astype(np.int64)
    return Groups(np.column_stack([of_item, levels]), starts, members, _field(links[np.array(first, np.int64)]))


def _field(links: sparse.csr_matrix) -> Field:
    back = sparse.csr_matrix(links.T)
    parts = 1 / np.sqrt(np.diff(links.indptr)[back.indices])
    return Field(links.indptr.astype(np.int64), links.indices.astype(np.int32), back.indptr.astype(np.int64),
                 back.indices.astype(np.int32), parts)
