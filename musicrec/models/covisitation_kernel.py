"""The users' items in order of time, and the items that occur close to each item in them."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import DAY, Float32, Int32
from musicrec.models.top_k import heap_push, sort_heap

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]


class Sequences(NamedTuple):
    """The items of all users in order of time, one user after the other, and the positions of each item.

    User u has positions indptr[u] to indptr[u + 1]; items, times and recency are those of a position. Item i has occurrences
    item_indptr[i] to item_indptr[i + 1]; users and positions are those of an occurrence.
    """

    indptr: Int64
    items: Int32
    times: Int32
    recency: Float32
    item_indptr: Int64
    users: Int32
    positions: Int32


@njit(cache=True, nogil=True)
def fill_order(indptr: Int64, times: Int32, order: Int32, start: int, stop: int) -> None:
    """Fill `order` with the positions of rows start to stop by ascending time within each row, equal times as they are."""
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        order[first:last] = first + np.argsort(times[first:last], kind="mergesort")


@njit(cache=True, nogil=True)
def fill_visits(sequences: Sequences, norms: Float64, window: int, backward: float, gap_half_life_days: float,
                items: Int32, visits: Float32, start: int, stop: int) -> None:
    """Fill rows start to stop of `items` and `visits` with the items that have most visits from the row's item, best first."""
    n_items = len(norms)
    sums, touched, seen = np.zeros(n_items), np.empty(n_items, np.int32), np.zeros(n_items, np.bool_)
    for item in range(start, stop):
        n = 0
        for occurrence in range(sequences.item_indptr[item], sequences.item_indptr[item + 1]):
            user, position = sequences.users[occurrence], sequences.positions[occurrence]
            first, last = max(sequences.indptr[user], position - window), min(sequences.indptr[user + 1], position + window + 1)
            for other in range(first, last):
                share = backward if other < position else 1.0
                if other == position or share == 0:
                    continue
                neighbor = sequences.items[other]
                if not seen[neighbor]:
                    seen[neighbor] = True
                    touched[n] = neighbor
                    n += 1
                sums[neighbor] += share * _weight(sequences, position, other, gap_half_life_days)
        size = 0
        for neighbor in touched[:n]:
            score = np.float32(sums[neighbor] / (norms[item] * norms[neighbor]))
            sums[neighbor], seen[neighbor] = 0, False
            if score > 0:
                size = heap_push(items[item], visits[item], size, neighbor, score)
        sort_heap(items[item], visits[item], size)


@njit(cache=True, nogil=True)
def _weight(sequences: Sequences, position: int, other: int, gap_half_life_days: float) -> float:
    gap = abs(sequences.times[other] - sequences.times[position]) / DAY
    weight: float = sequences.recency[max(position, other)] * np.exp2(-gap / gap_half_life_days) / abs(other - position)
    return weight
