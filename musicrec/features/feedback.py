"""How much users like the item, and how much the user likes its artists, by feedback."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from musicrec.dataset import Float32, Int32, TrainSet, centered

# Pairs of strength 0 that are added to the mean of an item or artist, so that a few say little.
PRIOR_PAIRS = 5.0


@dataclass(frozen=True)
class Feedback:
    """Feedback strength, centered by the mean of each user (see dataset.feedback); NaN in logs without feedback.

    user_strength: mean strength of the user's pairs, not centered. item_strength, artist_strength: sum over all pairs of the item, or of
    the items of its artists, divided by their number + PRIOR_PAIRS; the largest of several artists. user_artist_strength: sum over the
    user's pairs with its artists divided by their number + 1; the largest of several artists, NaN where there are none.
    """

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("user_strength", "item_strength", "artist_strength", "user_artist_strength")

    def fit(self, train: TrainSet) -> "FittedFeedback":
        """O(nnz + links of the catalog). A user's pairs are read when values are computed."""
        return FittedFeedback(self.names, train)


class FittedFeedback:
    """Means of items and artists, and the centered strength of all pairs."""

    def __init__(self, names: tuple[str, ...], train: TrainSet) -> None:
        self.names, self.train = names, train
        if train.strength is None:
            return
        matrix, links = train.matrix, train.catalog.artists
        self.centered, self.mean = centered(train.strength, train.n_plays, matrix.indptr)
        total = np.bincount(matrix.indices, self.centered, len(train.catalog))
        listeners = train.n_listeners.astype(np.float64)
        self.of_item = (total / (listeners + PRIOR_PAIRS)).astype(np.float32)
        artist = (links.T @ total) / (links.T @ listeners + PRIOR_PAIRS)
        self.of_artist = artist.astype(np.float32)

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Float32 (m, 4). O(artists of the items + artists of the users' items, once per run of equal users)."""
        out = np.full((len(user_index), len(self.names)), np.nan, np.float32)
        if self.train.strength is not None:
            matrix, links = self.train.matrix, self.train.catalog.artists
            out[:, 1] = self.of_item[item_index]
            _fill(user_index, item_index, matrix.indptr, matrix.indices, self.centered, self.mean, links.indptr, links.indices,
                  self.of_artist, out)
        return out


@njit(cache=True, nogil=True)
def _fill(users: Int32, items: Int32, indptr: Int32, indices: Int32, centered: Float32, mean: Float32, link_ptr: Int32, links: Int32,
          of_artist: Float32, out: Float32) -> None:
    sums, counts = np.zeros(len(of_artist)), np.zeros(len(of_artist), np.int32)
    for row in range(len(users)):
        user, item = users[row], items[row]
        if row == 0 or user != users[row - 1]:
            if row > 0 and users[row - 1] >= 0:
                _add_user(users[row - 1], indptr, indices, centered, link_ptr, links, sums, counts, True)
            if user >= 0:
                _add_user(user, indptr, indices, centered, link_ptr, links, sums, counts, False)
        if user >= 0 and indptr[user] < indptr[user + 1]:
            out[row, 0] = mean[indptr[user]]
        for link in range(link_ptr[item], link_ptr[item + 1]):
            artist = links[link]
            if not out[row, 2] >= of_artist[artist]:
                out[row, 2] = of_artist[artist]
            if counts[artist] > 0 and not out[row, 3] >= sums[artist] / (counts[artist] + 1):
                out[row, 3] = sums[artist] / (counts[artist] + 1)


@njit(cache=True, nogil=True)
def _add_user(user: int, indptr: Int32, indices: Int32, centered: Float32, link_ptr: Int32, links: Int32, sums: Float32, counts: Int32,
              clear: bool) -> None:
    for pair in range(indptr[user], indptr[user + 1]):
        for link in range(link_ptr[indices[pair]], link_ptr[indices[pair] + 1]):
            sums[links[link]] = 0.0 if clear else sums[links[link]] + centered[pair]
            counts[links[link]] = 0 if clear else counts[links[link]] + 1
