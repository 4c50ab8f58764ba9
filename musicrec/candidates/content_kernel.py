"""Content scores of one user after the other: inverted lists instead of a user x catalogue product."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.candidates.sums import DIRECT, Sums, cleared, mask_of, offered, place_of, sums
from musicrec.candidates.top_k import contains, pushed, sort_heap
from musicrec.matrix import Float32, Int32

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
LEVELS = 4096
LEADERS = 8


class Field(NamedTuple):
    """The links of things (items or groups) to names, both ways: names of a thing, things of a name.

    parts: float64, beside each of `things` 1 / sqrt(names of the thing), the entry of its vector of length 1.
    """

    indptr: Int64
    names: Int32
    back_indptr: Int64
    things: Int32
    parts: Float64


class Groups(NamedTuple):
    """Items with the same genres: members[starts[g]:starts[g + 1]] best first, links of groups to genres.

    of_item: int32 (n_items, 2), the group of each item beside its level, because both are looked up together.
    """

    of_item: Int32
    starts: Int64
    members: Int32
    field: Field


@njit(cache=True, nogil=True)
def _of_names(field: Field) -> Float64:
    return np.zeros(len(field.back_indptr) - 1)


@njit(cache=True, nogil=True)
def _profile(asked: Int32, weights: Float32, field: Field, profile: Float64) -> tuple[Int32, float]:
    """Fill `profile` with the sum of the L1-normalised vectors of the asked items; returns the names above 0 and the vector's length."""
    total = 0
    for item in asked:
        total += field.indptr[item + 1] - field.indptr[item]
    names, used = np.empty(total, np.int32), 0
    for item, weight in zip(asked, weights):
        first, last = field.indptr[item], field.indptr[item + 1]
        for place in range(first, last):
            name = field.names[place]
            if profile[name] == 0 and weight > 0:
                names[used] = name
                used += 1
            profile[name] += weight / (last - first)
    square = 0.0
    for name in names[:used]:
        square += profile[name] ** 2
    return names[:used], np.sqrt(square)


@njit(cache=True, nogil=True)
def _additions(names: Int32, field: Field) -> int:
    """How many things, counted once a name, have one of these names."""
    total = 0
    for name in names:
        total += field.back_indptr[name + 1] - field.back_indptr[name]
    return total


@njit(cache=True, nogil=True)
def _add_cosines(names: Int32, length: float, profile: Float64, field: Field, share: float, into: Sums, mask: int, used: int) -> int:
    """Add share x cosine(profile, thing) for all things that have one of `names`, and empty the profile; returns the places in use."""
    keys, values, places = into
    for name in names:
        part = share * profile[name] / length
        profile[name] = 0
        for entry in range(field.back_indptr[name], field.back_indptr[name + 1]):
            thing = field.things[entry]
            place = place_of(keys, mask, thing)
            if keys[place] < 0:
                keys[place], places[used] = thing, place
                used += 1
            values[place] += part * field.parts[entry]
    return used


@njit(cache=True, nogil=True)
def _score(cosine: float, level: int) -> float:
    rounded = min(int(np.floor(cosine * LEVELS + 0.5)), LEVELS - 1)
    # At most 2^24 steps, all exact in float32.
    return (rounded * LEVELS + level) / LEVELS ** 2 if rounded > 0 else 0.0


@njit(cache=True, nogil=True)
def best_of_users(rows: tuple[Int64, Int32, Float32], heard: Int32, fields: tuple[Field, Field, Field], groups: Groups,
                  shares: Float64, items: Int32, best: Float32, start: int, stop: int) -> None:
    """Fill rows start..stop of items and best with the k best unheard items. `heard` has the indptr of `rows`."""
    indptr, asked, weights = rows
    genres, artists, albums = fields
    by_group, by_item = sums(len(groups.starts) - 1), sums(len(groups.of_item))
    of_genre, of_artist, of_album = _of_names(genres), _of_names(artists), _of_names(albums)
    nothing = np.empty(0, np.int32)
    for row in range(start, stop):
        part = slice(indptr[row], indptr[row + 1])
        names, length = _profile(asked[part], weights[part], genres, of_genre) if shares[0] > 0 else (nothing, 1.0)
        n_groups = _add_cosines(names, length, of_genre, groups.field, shares[0], by_group, DIRECT, 0)
        names, length = _profile(asked[part], weights[part], artists, of_artist) if shares[1] > 0 else (nothing, 1.0)
        titles, extent = _profile(asked[part], weights[part], albums, of_album) if shares[2] > 0 else (nothing, 1.0)
        mask = mask_of(_additions(names, artists) + _additions(titles, albums), len(groups.of_item))
        n_items = _add_cosines(names, length, of_artist, artists, shares[1], by_item, mask, 0)
        n_items = _add_cosines(titles, extent, of_album, albums, shares[2], by_item, mask, n_items)
        size = _linked(by_item, n_items, by_group, groups, heard[part], items[row], best[row])
        size = _alike(by_group, n_groups, by_item, mask, groups, heard[part], items[row], best[row], size)
        sort_heap(items[row], best[row], size)
        cleared(by_item, n_items)
        cleared(by_group, n_groups)


@njit(cache=True, nogil=True)
def _linked(by_item: Sums, n: int, by_group: Sums, groups: Groups, known: Int32, items: Int32, best: Float32) -> int:
    scores = np.empty(n, np.float32)
    for place in range(n):
        item = by_item.keys[by_item.places[place]]
        cosine = by_item.values[by_item.places[place]] + by_group.values[groups.of_item[item, 0]]
        scores[place] = _score(cosine, groups.of_item[item, 1])
    size: int = offered(by_item, scores, known, items, best)
    return size


@njit(cache=True, nogil=True)
def _alike(by_group: Sums, n: int, by_item: Sums, mask: int, groups: Groups, known: Int32, items: Int32, best: Float32, size: int) -> int:
    # The closest groups first: they fill the list with what stays in it, and most others are passed over at one glance.
    leaders, closeness, n_leaders = np.empty(LEADERS, np.int32), np.empty(LEADERS, np.float32), 0
    for group in by_group.places[:n]:
        n_leaders = pushed(leaders, closeness, n_leaders, group, np.float32(by_group.values[group]))
    sort_heap(leaders, closeness, n_leaders)
    for group in leaders[:n_leaders]:
        size = _members(group, by_group.values[group], by_item, mask, groups, known, items, best, size)
        by_group.values[group] = 0
    for group in by_group.places[:n]:
        if size < len(items) or _score(by_group.values[group], LEVELS - 1) >= best[0]:
            size = _members(group, by_group.values[group], by_item, mask, groups, known, items, best, size)
    return size


@njit(cache=True, nogil=True)
def _members(group: int, cosine: float, by_item: Sums, mask: int, groups: Groups, known: Int32, items: Int32, best: Float32,
             size: int) -> int:
    for item in groups.members[groups.starts[group]:groups.starts[group + 1]]:
        score = np.float32(_score(cosine, groups.of_item[item, 1]))
        # Members come best first: after one that cannot enter, none of this group can.
        if score == 0 or (size == len(items) and score < best[0]):
            break
        if by_item.keys[place_of(by_item.keys, mask, item)] < 0 and not contains(known, item):
            size = pushed(items, best, size, item, score)
    return size
