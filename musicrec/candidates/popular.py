"""Most popular tracks, the same order for everybody or for everybody with the same favourite genre, heard ones left out.

Five readings of "popular" share one Recommender: listeners of all time, listeners of a recent window, listeners that fade with
age, normalised listeners times normalised plays, and listeners among users with the same favourite genre.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.candidates.top_k import in_parts
from musicrec.candidates.tops import Tops, everybody
from musicrec.candidates.weights import MINUTES_A_DAY, checked, decayed_listeners
from musicrec.errors import GeneratorError
from musicrec.matrix import History, Int32


@dataclass(frozen=True)
class Popular:
    """Items by number of listeners over the whole history."""

    def fit(self, history: History) -> "Tops":
        """Scores are listeners. O(plays + n_items log n_items)."""
        return everybody(history, history.n_listeners.astype(np.float32), history.n_listeners)


@dataclass(frozen=True)
class PopularRecent:
    """Items by number of users who played them in the last `days` days before the cutoff."""

    days: int = 105

    def fit(self, history: History) -> "Tops":
        """Scores are listeners of the window; items without any have 0. O(plays + n_items log n_items)."""
        late = history.minutes >= history.cutoff - self.days * MINUTES_A_DAY
        listeners = np.bincount(history.matrix.indices[late], minlength=len(history.catalogue)).astype(np.int32)
        return everybody(history, listeners.astype(np.float32), listeners)


@dataclass(frozen=True)
class PopularDecayed:
    """Items by listeners, each counting 1/2 after `half_life_days` since the latest play of the pair, 1/4 after twice that."""

    half_life_days: float = 90.0

    def fit(self, history: History) -> "Tops":
        """Scores are sums of 2 ** (-age in days / half_life_days). O(plays + n_items log n_items).

        Raises GeneratorError when half_life_days is not above 0.
        """
        if not self.half_life_days > 0:
            raise GeneratorError(f"half_life_days of popular_decayed is {self.half_life_days}; give a number of days above 0.")
        scores = decayed_listeners(history, self.half_life_days)
        return everybody(history, scores.astype(np.float32), history.n_listeners)


@dataclass(frozen=True)
class PopularScore:
    """Items by listeners scaled to 0..1 times plays scaled to 0..1, smallest and largest of the played items being 0 and 1."""

    def fit(self, history: History) -> "Tops":
        """Scores 0..1. Plays are the sum of the pairs' weights. O(plays + n_items log n_items).

        Raises GeneratorError when a weight is negative, infinite or NaN.
        """
        plays = np.bincount(history.matrix.indices, weights=checked(history), minlength=len(history.catalogue))
        played = history.n_listeners > 0
        scores = _scaled(history.n_listeners, played) * _scaled(plays, played)
        return everybody(history, scores.astype(np.float32), history.n_listeners)


@dataclass(frozen=True)
class PopularByGenre:
    """Items by listeners among the users who share the user's favourite genre: the genre with most of his items.

    A group of n users counts as n + `shrinkage` users, the added ones listening like everybody: small groups lean on the whole.
    """

    shrinkage: float = 20.0

    def fit(self, history: History) -> "Tops":
        """Scores are shares 0..1 of the group's listeners. O(plays x genres an item), then O(n_items) a group when it is first asked.

        Users whose items have no genre, and users without history, get the order of everybody.
        """
        group = favourite_genre(history)
        n_groups = history.catalogue.genres.shape[1]
        rows = np.flatnonzero(group >= 0)
        member = sparse.csr_matrix((np.ones(len(rows), np.float32), (group[rows], rows)), shape=(n_groups, len(history.user_ids)))
        matrix = history.matrix
        played = sparse.csr_matrix((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), matrix.shape)
        counts = sparse.csr_matrix(member @ played)
        sizes = np.bincount(group[rows], minlength=n_groups)
        return Tops(history, history.n_listeners / max(len(history.user_ids), 1), history.n_listeners, group, counts, sizes, self.shrinkage)


def favourite_genre(history: History) -> Int32:
    """For each user the column of `catalogue.genres` that most of his items have; ties to the lower column.

    int32 (n_users,), -1 for users whose items have no genre.
    """
    genres, matrix = history.catalogue.genres, history.matrix
    favourite = np.full(len(history.user_ids), -1, np.int32)
    columns, indptr = genres.indices.astype(np.int32), genres.indptr.astype(np.int64)
    starts = matrix.indptr.astype(np.int64)
    in_parts(len(favourite), lambda a, b: _most_frequent(starts, matrix.indices, indptr, columns, genres.shape[1], favourite, a, b))
    return favourite


def _scaled(values: NDArray[Any], played: NDArray[np.bool_]) -> NDArray[np.float64]:
    if not played.any():
        return np.zeros(len(values))
    low, high = values[played].min(), values[played].max()
    scaled: NDArray[np.float64] = np.where(played, (values - low) / (high - low if high > low else 1.0), 0.0)
    return scaled


@njit(cache=True, nogil=True)
def _most_frequent(indptr, items, genre_indptr, genres, n_genres, favourite, start, stop):  # type: ignore[no-untyped-def]
    counts = np.zeros(n_genres, np.int64)
    for user in range(start, stop):
        counts[:] = 0
        for place in range(indptr[user], indptr[user + 1]):
            item = items[place]
            for link in range(genre_indptr[item], genre_indptr[item + 1]):
                counts[genres[link]] += 1
        best = np.argmax(counts) if n_genres else 0
        if n_genres and counts[best] > 0:
            favourite[user] = best
