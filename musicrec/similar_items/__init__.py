"""Item-to-item neighbours: ALS cosine, co-listening, and content for tracks too rare for either, joined into one list a track.

All scores are on one scale, 0..1: the cosine of ALS item factors. The raw scores of the other two sources are mapped to it by what
pairs of well-known tracks with the same raw score have as ALS cosine on average (`on_scale_of`), so 0.8 means the same wherever
it comes from. Without factors the scale is that of co-listening, and raw content scores stand beside it as they are.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from musicrec.candidates.top_k import in_parts, pushed, sort_heap
from musicrec.errors import GeneratorError
from musicrec.files import write_parquet
from musicrec.lists import empty
from musicrec.matrix import Float32, History, Int32
from musicrec.schema import SIMILAR
from musicrec.similar_items.co_listening import co_listening
from musicrec.similar_items.content import content_neighbours
from musicrec.similar_items.nearest import nearest, unit
from musicrec.similar_items.scale import on_scale_of

SOURCES = ("als", "co-listening", "content")
CALIBRATION_ITEMS = 20_000


class Similar(NamedTuple):
    """Neighbours of all items.

    items: int32 (n_items, k), -1 where fewer exist, never the item itself. scores: float32 (n_items, k) in 0..1, descending, ties by
    ascending item index, -inf beside -1. sources: int8 (n_items, k), positions in SOURCES.
    """

    items: Int32
    scores: Float32
    sources: NDArray[np.int8]


def similar_items(history: History, item_factors: Float32 | None, k: int = 10, *,
                  min_listeners: int = 20, shrinkage: float = 5.0) -> Similar:
    """The k items most like each item of the catalogue.

    item_factors: float32 (n_items, factors) of ALS, or None. ALS is asked about items with at least `min_listeners` listeners, among
    themselves; co-listening about all that somebody played; content about items below min_listeners and for lists that are still short.
    Raises GeneratorError when the factors are those of another catalogue.
    """
    if item_factors is not None and len(item_factors) != len(history.catalogue):
        raise GeneratorError(f"factors of {len(item_factors)} items cannot serve a catalogue of {len(history.catalogue)}; "
                             "train als on this history.")
    als = _als(history, item_factors, k, min_listeners)
    together = co_listening(history, k, shrinkage)
    short = np.flatnonzero((history.n_listeners < min_listeners) | ((als[0] >= 0).sum(axis=1) + (together[0] >= 0).sum(axis=1) < 2 * k))
    content = empty(len(history.catalogue), k)
    content[0][short], content[1][short] = content_neighbours(history, short.astype(np.int32), k)
    known = np.flatnonzero(history.n_listeners >= min_listeners).astype(np.int32)
    if item_factors is not None and len(known):
        points, sample = unit(item_factors), known[:: max(1, len(known) // CALIBRATION_ITEMS)]
        together = together[0], on_scale_of(points, sample, known, together[0][sample], together[1][sample], together[1])
        content = content[0], on_scale_of(points, sample, known, *content_neighbours(history, sample, k), content[1])
    return _joined((als, together, content), k)


def table(similar: Similar, item_ids: Int32) -> pa.Table:
    """Rows (item_id_1, item_id_2, score, source), ascending item_id_1, then descending score; empty places left out."""
    there = similar.items >= 0
    first = np.broadcast_to(item_ids[:, None], similar.items.shape)[there]
    sources = pa.DictionaryArray.from_arrays(pa.array(similar.sources[there]), pa.array(SOURCES)).cast(pa.string())
    columns = [pa.array(first), pa.array(item_ids[similar.items[there]]), pa.array(similar.scores[there])]
    return pa.table([*columns, sources], schema=SIMILAR.arrow.append(pa.field("source", pa.string())))


def write(path: Path, similar: Similar, item_ids: Int32) -> int:
    """Write the table to `path` as parquet and return its number of rows; the file appears under its name when it is whole.

    Raises StorageError when the disk is full or refuses.
    """
    rows = table(similar, item_ids)
    write_parquet(rows, path, row_group_size=1 << 20)
    return int(rows.num_rows)


def _als(history: History, item_factors: Float32 | None, k: int, min_listeners: int) -> tuple[Int32, Float32]:
    items, scores = empty(len(history.catalogue), k)
    if item_factors is not None:
        known = np.flatnonzero((history.n_listeners >= min_listeners) & item_factors.any(axis=1)).astype(np.int32)
        found, cosines = nearest(item_factors[known], k)
        there = (found >= 0) & (cosines > 0)
        items[known] = np.where(there, known[found] if len(known) else found, -1)
        scores[known] = np.where(there, np.minimum(cosines, 1), -np.inf)
    return items, scores


def _joined(lists: tuple[tuple[Int32, Float32], ...], k: int) -> Similar:
    candidates, values = (np.concatenate(parts, axis=1) for parts in zip(*lists))
    items, scores = empty(len(candidates), k)
    sources = np.zeros((len(candidates), k), np.int8)
    in_parts(len(candidates), lambda start, stop: _join(candidates, values, items, scores, sources, start, stop))
    return Similar(items, scores, sources)


@njit(cache=True, nogil=True)
def _join(candidates, values, items, scores, sources, start, stop):  # type: ignore[no-untyped-def]
    k, width = items.shape[1], candidates.shape[1]
    best_items, best_scores = np.empty(width, np.int32), np.empty(width, np.float32)
    for row in range(start, stop):
        size = 0
        for place in range(width):
            if candidates[row, place] >= 0:
                size = pushed(best_items, best_scores, size, candidates[row, place], values[row, place])
        sort_heap(best_items, best_scores, size)
        taken = 0
        for rank in range(size):
            item, known = best_items[rank], False
            for earlier in range(taken):
                known = known or items[row, earlier] == item
            if known or taken == k:
                continue
            items[row, taken], scores[row, taken] = item, best_scores[rank]
            for place in range(width):
                if candidates[row, place] == item and values[row, place] == best_scores[rank]:
                    sources[row, taken] = place // k
                    break
            taken += 1
