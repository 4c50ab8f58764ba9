"""Content scores by inverted lists, one user at a time, instead of a user x catalog product."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32
from musicrec.models.sparse_accumulator import DENSE, SparseAccumulator, accumulator, clear, hash_mask, push_columns, slot_of
from musicrec.models.top_k import contains, heap_push, sort_heap

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
LEVELS = 4096
# Groups with the largest cosines, which are scored before the others.
LEADERS = 8


class NameIndex(NamedTuple):
    """Names of items (or groups) and items of names: names[indptr[i]:indptr[i + 1]] and items[name_indptr[n]:name_indptr[n + 1]].

    values: float64, aligned with `items`, 1 / sqrt(names of the item): the entry of the item's vector of length 1.
    """

    indptr: Int64
    names: Int32
    name_indptr: Int64
    items: Int32
    values: Float64


class GenreGroups(NamedTuple):
    """Groups of items with the same genres: the items of group g are members[starts[g]:starts[g + 1]], best first.

    of_item: int32 (n_items, 2), group and level of each item, in one array because both are looked up together.
    """

    of_item: Int32
    starts: Int64
    members: Int32
    genres: NameIndex


@njit(cache=True, nogil=True)
def _empty_profile(links: NameIndex) -> Float64:
    return np.zeros(len(links.name_indptr) - 1)


@njit(cache=True, nogil=True)
def _fill_profile(seen: Int32, weights: Float32, links: NameIndex, profile: Float64) -> tuple[Int32, float]:
    """Fill `profile` with the weighted sum of the L1-normalized vectors of the seen items; returns the names above 0 and its length."""
    total = 0
    for item in seen:
        total += links.indptr[item + 1] - links.indptr[item]
    names, used = np.empty(total, np.int32), 0
    for item, weight in zip(seen, weights):
        first, last = links.indptr[item], links.indptr[item + 1]
        for link in range(first, last):
            name = links.names[link]
            if profile[name] == 0 and weight > 0:
                names[used] = name
                used += 1
            profile[name] += weight / (last - first)
    square = 0.0
    for name in names[:used]:
        square += profile[name] ** 2
    return names[:used], np.sqrt(square)


@njit(cache=True, nogil=True)
def _n_links(names: Int32, links: NameIndex) -> int:
    """The number of links of these names."""
    total = 0
    for name in names:
        total += links.name_indptr[name + 1] - links.name_indptr[name]
    return total


@njit(cache=True, nogil=True)
def _add_cosines(names: Int32, length: float, profile: Float64, links: NameIndex, share: float, sums: SparseAccumulator, mask: int,
                 used: int) -> int:
    """Add share x cosine(profile, item) for all items with one of `names`, and empty the profile; returns the slots in use."""
    keys, values, slots = sums
    for name in names:
        weight = share * profile[name] / length
        profile[name] = 0
        for link in range(links.name_indptr[name], links.name_indptr[name + 1]):
            item = links.items[link]
            slot = slot_of(keys, mask, item)
            if keys[slot] < 0:
                keys[slot], slots[used] = item, slot
                used += 1
            values[slot] += weight * links.values[link]
    return used


@njit(cache=True, nogil=True)
def _score(cosine: float, level: int) -> float:
    rounded = min(int(np.floor(cosine * LEVELS + 0.5)), LEVELS - 1)
    # A multiple of 2^-24 below 1, which float32 represents exactly.
    return (rounded * LEVELS + level) / LEVELS ** 2 if rounded > 0 else 0.0


@njit(cache=True, nogil=True)
def fill_best(rows: tuple[Int64, Int32, Float32], seen: tuple[Int64, Int32], links: tuple[NameIndex, NameIndex, NameIndex],
              groups: GenreGroups, shares: Float64, items: Int32, best: Float32, start: int, stop: int) -> None:
    """Fill rows start to stop of `items` and `best` with the k best unseen items and their scores."""
    (indptr, indices, weights), (seen_indptr, seen_items) = rows, seen
    genres, artists, albums = links
    by_group, by_item = accumulator(len(groups.starts) - 1), accumulator(len(groups.of_item))
    of_genre, of_artist, of_album = _empty_profile(genres), _empty_profile(artists), _empty_profile(albums)
    nothing = np.empty(0, np.int32)
    for row in range(start, stop):
        own, excluded = slice(indptr[row], indptr[row + 1]), seen_items[seen_indptr[row]:seen_indptr[row + 1]]
        names, length = _fill_profile(indices[own], weights[own], genres, of_genre) if shares[0] > 0 else (nothing, 1.0)
        n_groups = _add_cosines(names, length, of_genre, groups.genres, shares[0], by_group, DENSE, 0)
        names, length = _fill_profile(indices[own], weights[own], artists, of_artist) if shares[1] > 0 else (nothing, 1.0)
        titles, titles_length = _fill_profile(indices[own], weights[own], albums, of_album) if shares[2] > 0 else (nothing, 1.0)
        mask = hash_mask(_n_links(names, artists) + _n_links(titles, albums), len(groups.of_item))
        n_items = _add_cosines(names, length, of_artist, artists, shares[1], by_item, mask, 0)
        n_items = _add_cosines(titles, titles_length, of_album, albums, shares[2], by_item, mask, n_items)
        size = _push_by_name(by_item, n_items, by_group, groups, excluded, items[row], best[row])
        size = _push_by_genre(by_group, n_groups, by_item, mask, groups, excluded, items[row], best[row], size)
        sort_heap(items[row], best[row], size)
        clear(by_item, n_items)
        clear(by_group, n_groups)


@njit(cache=True, nogil=True)
def _push_by_name(by_item: SparseAccumulator, n: int, by_group: SparseAccumulator, groups: GenreGroups, seen: Int32, items: Int32,
                  best: Float32) -> int:
    """Push the items of the profile's artists and albums."""
    scores = np.empty(n, np.float32)
    for position in range(n):
        item = by_item.keys[by_item.slots[position]]
        cosine = by_item.values[by_item.slots[position]] + by_group.values[groups.of_item[item, 0]]
        scores[position] = _score(cosine, groups.of_item[item, 1])
    size: int = push_columns(by_item, scores, seen, items, best)
    return size


@njit(cache=True, nogil=True)
def _push_by_genre(by_group: SparseAccumulator, n: int, by_item: SparseAccumulator, mask: int, groups: GenreGroups, seen: Int32,
                   items: Int32, best: Float32, size: int) -> int:
    """Push the items that share only genres with the profile."""
    # With the most similar groups first, most other groups are skipped after one comparison.
    leaders, cosines, n_leaders = np.empty(LEADERS, np.int32), np.empty(LEADERS, np.float32), 0
    for group in by_group.slots[:n]:
        n_leaders = heap_push(leaders, cosines, n_leaders, group, np.float32(by_group.values[group]))
    sort_heap(leaders, cosines, n_leaders)
    for group in leaders[:n_leaders]:
        size = _push_members(group, by_group.values[group], by_item, mask, groups, seen, items, best, size)
        by_group.values[group] = 0
    for group in by_group.slots[:n]:
        if size < len(items) or _score(by_group.values[group], LEVELS - 1) >= best[0]:
            size = _push_members(group, by_group.values[group], by_item, mask, groups, seen, items, best, size)
    return size


@njit(cache=True, nogil=True)
def _push_members(group: int, cosine: float, by_item: SparseAccumulator, mask: int, groups: GenreGroups, seen: Int32, items: Int32,
                  best: Float32, size: int) -> int:
    for item in groups.members[groups.starts[group]:groups.starts[group + 1]]:
        score = np.float32(_score(cosine, groups.of_item[item, 1]))
        # Members are in descending order: after one that cannot enter the list, no other can.
        if score == 0 or (size == len(items) and score < best[0]):
            break
        if by_item.keys[slot_of(by_item.keys, mask, item)] < 0 and not contains(seen, item):
            size = heap_push(items, best, size, item, score)
    return size
