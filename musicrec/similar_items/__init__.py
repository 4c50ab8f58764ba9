"""Similar items from three sources: cosine of item factors, co-listening, and content for tracks with too few listeners for either.

All scores are on the scale of the cosine of item factors, 0..1. Raw scores of the other two sources are calibrated: a raw score becomes
the mean cosine of pairs of well-known tracks with that raw score (`calibrated`), so that scores of all sources are comparable. Without
factors the raw scores of co-listening and content are used as they are.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.errors import ModelError
from musicrec.files import LOOKUP_ROWS, write_parquet
from musicrec.lists import empty
from musicrec.models.top_k import heap_push, parallel_for, sort_heap
from musicrec.schema import SIMILAR
from musicrec.similar_items.calibration import calibrated
from musicrec.similar_items.co_listening import co_listening
from musicrec.similar_items.content import content_neighbors
from musicrec.similar_items.nearest import nearest, unit

SOURCES = ("als", "co-listening", "content")
CALIBRATION_ITEMS = 20_000


class ItemNeighbors(NamedTuple):
    """The most similar items of all items.

    items: int32 (n_items, k), -1 where fewer exist, never the item itself. scores: float32 (n_items, k) in 0..1, descending, ties by
    ascending item index, -inf beside -1. sources: int8 (n_items, k), positions in SOURCES.
    """

    items: Int32
    scores: Float32
    sources: NDArray[np.int8]


def similar_items(train: TrainSet, item_factors: Float32 | None, k: int = 10, *,
                  min_listeners: int = 20, shrinkage: float = 5.0, max_same_artist: float = 1.0) -> ItemNeighbors:
    """The k items most similar to each item of the catalog.

    item_factors: float32 (n_items, factors), or None. Item factors are used among items with at least `min_listeners` listeners,
    co-listening for all items with a play, content for items below min_listeners and where the other two give fewer than 2 k items.
    At most max_same_artist x k items share an artist with the item, unless there are no others.
    Raises ModelError when the number of factors is not that of the items.
    """
    if item_factors is not None and len(item_factors) != len(train.catalog):
        raise ModelError(f"factors of {len(item_factors)} items do not belong to a catalog of {len(train.catalog)}; fit als on this train "
                         "set.")
    factors = _by_factors(train, item_factors, k, min_listeners)
    together = co_listening(train, k, shrinkage)
    short = np.flatnonzero((train.n_listeners < min_listeners) | ((factors[0] >= 0).sum(axis=1) + (together[0] >= 0).sum(axis=1) < 2 * k))
    content = empty(len(train.catalog), k)
    content[0][short], content[1][short] = content_neighbors(train, short.astype(np.int32), k)
    well_known = np.flatnonzero(train.n_listeners >= min_listeners).astype(np.int32)
    if item_factors is not None and len(well_known):
        points, sample = unit(item_factors), well_known[:: max(1, len(well_known) // CALIBRATION_ITEMS)]
        together = together[0], calibrated(points, sample, well_known, together[0][sample], together[1][sample], together[1])
        content = content[0], calibrated(points, sample, well_known, *content_neighbors(train, sample, k), content[1])
    return _merged((factors, together, content), k, train.catalog.artists, int(max_same_artist * k + 1e-9))


def table(similar: ItemNeighbors, item_ids: Int32) -> pa.Table:
    """Rows (item_id_1, item_id_2, score, source), ascending item_id_1, then descending score."""
    there = similar.items >= 0
    first = np.broadcast_to(item_ids[:, None], similar.items.shape)[there]
    sources = pa.DictionaryArray.from_arrays(pa.array(similar.sources[there]), pa.array(SOURCES)).cast(pa.string())
    columns = [pa.array(first), pa.array(item_ids[similar.items[there]]), pa.array(similar.scores[there])]
    return pa.table([*columns, sources], schema=SIMILAR.arrow)


def write(path: Path, similar: ItemNeighbors, item_ids: Int32) -> int:
    """Write the table to `path` as parquet and return its number of rows; the file appears when it is complete.

    Raises StorageError when it cannot be written.
    """
    rows = table(similar, item_ids)
    write_parquet(rows, path, LOOKUP_ROWS)
    return int(rows.num_rows)


def _by_factors(train: TrainSet, item_factors: Float32 | None, k: int, min_listeners: int) -> tuple[Int32, Float32]:
    items, scores = empty(len(train.catalog), k)
    if item_factors is not None:
        known = np.flatnonzero((train.n_listeners >= min_listeners) & item_factors.any(axis=1)).astype(np.int32)
        found, cosines = nearest(item_factors[known], k)
        there = (found >= 0) & (cosines > 0)
        items[known] = np.where(there, known[found] if len(known) else found, -1)
        scores[known] = np.where(there, np.minimum(cosines, 1), -np.inf)
    return items, scores


def _merged(lists: tuple[tuple[Int32, Float32], ...], k: int, artists: sparse.csr_matrix, most_same: int) -> ItemNeighbors:
    candidates, values = (np.concatenate(arrays, axis=1) for arrays in zip(*lists))
    items, scores = empty(len(candidates), k)
    sources = np.zeros((len(candidates), k), np.int8)
    parallel_for(len(candidates), lambda start, stop: _merge(candidates, values, artists.indptr, artists.indices, most_same, items, scores,
                                                                sources, start, stop))
    return ItemNeighbors(items, scores, sources)


@njit(cache=True, nogil=True)
def _merge(candidates, values, artist_ptr, artists, most_same, items, scores, sources, start, stop):  # type: ignore[no-untyped-def]
    k, width = items.shape[1], candidates.shape[1]
    best_items, best_scores = np.empty(width, np.int32), np.empty(width, np.float32)
    for row in range(start, stop):
        size = 0
        for place in range(width):
            if candidates[row, place] >= 0:
                size = heap_push(best_items, best_scores, size, candidates[row, place], values[row, place])
        sort_heap(best_items, best_scores, size)
        own = artists[artist_ptr[row]:artist_ptr[row + 1]]
        for taken, rank in enumerate(_kept(best_items[:size], own, artist_ptr, artists, k, most_same)):
            items[row, taken], scores[row, taken] = best_items[rank], best_scores[rank]
            for place in range(width):
                if candidates[row, place] == best_items[rank] and values[row, place] == best_scores[rank]:
                    sources[row, taken] = place // k
                    break


@njit(cache=True, nogil=True)
def _kept(found, own, artist_ptr, artists, k, most_same):  # type: ignore[no-untyped-def]
    # 0: passed over, because there are enough by the same artist; 1: kept; -1: a repeat.
    state, n_kept, n_same = np.zeros(len(found), np.int8), 0, 0
    for rank in range(len(found)):
        if (found[:rank] == found[rank]).any():
            state[rank] = -1
            continue
        same = False
        for artist in artists[artist_ptr[found[rank]]:artist_ptr[found[rank] + 1]]:
            same = same or (own == artist).any()
        if n_kept < k and not (same and n_same >= most_same):
            state[rank], n_kept, n_same = 1, n_kept + 1, n_same + same
    for rank in range(len(found)):
        if n_kept < k and state[rank] == 0:
            state[rank], n_kept = 1, n_kept + 1
    return np.flatnonzero(state == 1)
