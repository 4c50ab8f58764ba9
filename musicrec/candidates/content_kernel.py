"""Content scores of one user after the other: inverted lists instead of a user x catalogue product."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.candidates.top_k import contains, pushed, sort_heap
from musicrec.matrix import Float32, Int32

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
LEVELS = 4096
LEADERS = 8


class Field(NamedTuple):
    """The links of things (items or groups) to names, both ways: names of a thing, things of a name."""

    indptr: Int64
    names: Int32
    back_indptr: Int64
    things: Int32


class Groups(NamedTuple):
    """Items with the same genres: group of an item, members[starts[g]:starts[g + 1]] best first, links of groups to genres."""

    of_item: Int32
    starts: Int64
    members: Int32
    field: Field


class Sums(NamedTuple):
    """Scratch of one thread: a sum for every name and every thing, and which things have one above 0."""

    profile: Float64
    cosines: Float64
    touched: Int32


@njit(cache=True, nogil=True)
def _sums(n_names: int, n_things: int) -> Sums:
    return Sums(np.zeros(n_names), np.zeros(n_things), np.empty(n_things, np.int32))


@njit(cache=True, nogil=True)
def _add_cosines(asked: Int32, weights: Float32, of_items: Field, of_things: Field, sums: Sums, share: float, n: int) -> int:
    """Add share x cosine(profile, thing) to sums.cosines for all things that share a name with the profile; sums.profile stays 0.

    Returns the number of touched things, n of which were touched before.
    """
    if share == 0:
        return n
    total = 0
    for item in asked:
        total += of_items.indptr[item + 1] - of_items.indptr[item]
    names, used = np.empty(total, np.int32), 0
    for item, weight in zip(asked, weights):
        first, last = of_items.indptr[item], of_items.indptr[item + 1]
        for place in range(first, last):
            name = of_items.names[place]
            if sums.profile[name] == 0 and weight > 0:
                names[used] = name
                used += 1
            sums.profile[name] += weight / (last - first)
    square = 0.0
    for name in names[:used]:
        square += sums.profile[name] ** 2
    for name in names[:used]:
        part = share * sums.profile[name] / np.sqrt(square)
        sums.profile[name] = 0
        for place in range(of_things.back_indptr[name], of_things.back_indptr[name + 1]):
            thing = of_things.things[place]
            if sums.cosines[thing] == 0:
                sums.touched[n] = thing
                n += 1
            sums.cosines[thing] += part / np.sqrt(of_things.indptr[thing + 1] - of_things.indptr[thing])
    return n


@njit(cache=True, nogil=True)
def _score(cosine: float, level: int) -> float:
    rounded = min(int(np.floor(cosine * LEVELS + 0.5)), LEVELS - 1)
    # At most 2^24 steps, all exact in float32.
    return (rounded * LEVELS + level) / LEVELS ** 2 if rounded > 0 else 0.0


@njit(cache=True, nogil=True)
def best_of_users(rows: tuple[Int64, Int32, Float32], heard: Int32, fields: tuple[Field, Field, Field], groups: Groups, levels: Int32,
                  shares: Float64, items: Int32, best: Float32, start: int, stop: int) -> None:
    """Fill rows start..stop of items and best with the k best unheard items. `heard` has the indptr of `rows`."""
    indptr, asked, weights = rows
    genres, artists, albums = fields
    by_group = _sums(len(genres.back_indptr) - 1, len(groups.starts) - 1)
    n_names = max(len(artists.back_indptr), len(albums.back_indptr)) - 1
    by_item = _sums(n_names, len(levels))
    for row in range(start, stop):
        part = slice(indptr[row], indptr[row + 1])
        n_groups = _add_cosines(asked[part], weights[part], genres, groups.field, by_group, shares[0], 0)
        n_items = _add_cosines(asked[part], weights[part], artists, artists, by_item, shares[1], 0)
        n_items = _add_cosines(asked[part], weights[part], albums, albums, by_item, shares[2], n_items)
        size = _linked(by_item, n_items, by_group, groups, levels, heard[part], items[row], best[row])
        size = _alike(by_group, n_groups, by_item, groups, levels, heard[part], items[row], best[row], size)
        sort_heap(items[row], best[row], size)
        for item in by_item.touched[:n_items]:
            by_item.cosines[item] = 0
        for group in by_group.touched[:n_groups]:
            by_group.cosines[group] = 0


@njit(cache=True, nogil=True)
def _linked(by_item: Sums, n: int, by_group: Sums, groups: Groups, levels: Int32, known: Int32, items: Int32, best: Float32) -> int:
    size = 0
    for item in by_item.touched[:n]:
        score = _score(by_item.cosines[item] + by_group.cosines[groups.of_item[item]], levels[item])
        if score > 0 and (size < len(items) or score >= best[0]) and not contains(known, item):
            size = pushed(items, best, size, item, score)
    return size


@njit(cache=True, nogil=True)
def _alike(by_group: Sums, n: int, by_item: Sums, groups: Groups, levels: Int32, known: Int32, items: Int32, best: Float32,
           size: int) -> int:
    # The closest groups first: they fill the list with what stays in it, and most others are passed over at one glance.
    leaders, closeness, n_leaders = np.empty(LEADERS, np.int32), np.empty(LEADERS, np.float32), 0
    for group in by_group.touched[:n]:
        n_leaders = pushed(leaders, closeness, n_leaders, group, np.float32(by_group.cosines[group]))
    sort_heap(leaders, closeness, n_leaders)
    for group in leaders[:n_leaders]:
        size = _members(group, by_group.cosines[group], by_item, groups, levels, known, items, best, size)
        by_group.cosines[group] = 0
    for group in by_group.touched[:n]:
        if size < len(items) or _score(by_group.cosines[group], LEVELS - 1) >= best[0]:
            size = _members(group, by_group.cosines[group], by_item, groups, levels, known, items, best, size)
    return size


@njit(cache=True, nogil=True)
def _members(group: int, cosine: float, by_item: Sums, groups: Groups, levels: Int32, known: Int32, items: Int32, best: Float32,
             size: int) -> int:
    for item in groups.members[groups.starts[group]:groups.starts[group + 1]]:
        score = np.float32(_score(cosine, levels[item]))
        # Members come best first: after one that cannot enter, none of this group can.
        if score == 0 or (size == len(items) and score < best[0]):
            break
        if by_item.cosines[item] == 0 and not contains(known, item):
            size = pushed(items, best, size, item, score)
    return size
