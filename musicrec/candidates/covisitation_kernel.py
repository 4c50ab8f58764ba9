"""Histories in order, and what stands close to an item in them."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.candidates.top_k import pushed, sort_heap
from musicrec.matrix import Float32, Int32

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
MINUTES_A_DAY = 24 * 60


class Histories(NamedTuple):
    """Items of all users in order, one user after the other, and where each item stands.

    indptr (n_users + 1,): a user's places; items, minutes, recency: of a place. item_indptr (n_items + 1,): an item's
    occurrences; users and places: of an occurrence.
    """

    indptr: Int64
    items: Int32
    minutes: Int32
    recency: Float32
    item_indptr: Int64
    users: Int32
    places: Int32


@njit(cache=True, nogil=True)
def fill_order(indptr: Int64, minutes: Int32, order: Int32, start: int, stop: int) -> None:
    """Fill order with the places of rows start..stop by ascending minute within each row, equal minutes as they stand."""
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        order[first:last] = first + np.argsort(minutes[first:last], kind="mergesort")


@njit(cache=True, nogil=True)
def close_items(histories: Histories, norms: Float64, window: int, backward: float, gap_half_life_days: float,
                items: Int32, visits: Float32, start: int, stop: int) -> None:
    """Fill rows start..stop of items and visits with the items that stand closest to the row's item, best first."""
    n_items = len(norms)
    sums, touched, seen = np.zeros(n_items), np.empty(n_items, np.int32), np.zeros(n_items, np.bool_)
    for item in range(start, stop):
        n = 0
        for occurrence in range(histories.item_indptr[item], histories.item_indptr[item + 1]):
            user, place = histories.users[occurrence], histories.places[occurrence]
            first, last = max(histories.indptr[user], place - window), min(histories.indptr[user + 1], place + window + 1)
            for other in range(first, last):
                share = backward if other < place else 1.0
                if other == place or share == 0:
                    continue
                near = histories.items[other]
                if not seen[near]:
                    seen[near] = True
                    touched[n] = near
                    n += 1
                sums[near] += share * _closeness(histories, place, other, gap_half_life_days)
        size = 0
        for near in touched[:n]:
            score = np.float32(sums[near] / (norms[item] * norms[near]))
            sums[near], seen[near] = 0, False
            if score > 0:
                size = pushed(items[item], visits[item], size, near, score)
        sort_heap(items[item], visits[item], size)


@njit(cache=True, nogil=True)
def _closeness(histories: Histories, place: int, other: int, gap_half_life_days: float) -> float:
    gap = abs(histories.minutes[other] - histories.minutes[place]) / MINUTES_A_DAY
    closeness: float = histories.recency[max(place, other)] * np.exp2(-gap / gap_half_life_days) / abs(other - place)
    return closeness
