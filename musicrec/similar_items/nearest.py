"""Nearest neighbors of dense vectors by cosine, with faiss."""

import faiss
import numpy as np

from musicrec.dataset import Float32, Int32
from musicrec.progress import progress

EXACT_BELOW = 30_000
# The inverted file is searched in as many cells as a sample of rows needs for this recall of the exact neighbors.
RECALL, SAMPLE = 0.995, 500
ROWS_PER_STEP = 1 << 15


def unit(vectors: Float32) -> Float32:
    """The rows scaled to length 1, float32; rows of zeros stay zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32 = np.ascontiguousarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
    return scaled


def nearest(vectors: Float32, k: int, *, rows: Int32 | None = None, seed: int = 0) -> tuple[Int32, Float32]:
    """The k other rows with the largest cosine with each of `rows` (all when None), descending: int32 (m, k), and cosines float32 (m, k).

    -1 and -inf where fewer exist. Exact below EXACT_BELOW rows, O(n^2 x width). Above, an inverted file (Jegou et al., 2011) with about
    2 sqrt(n) cells is searched, in as many cells as are needed to find RECALL of the exact neighbors of SAMPLE rows.
    """
    points, n = unit(vectors), len(vectors)
    queries = np.arange(n, dtype=np.int32) if rows is None else rows
    if len(queries) == 0:
        return np.empty((0, k), np.int32), np.empty((0, k), np.float32)
    wanted, m = min(k + 1, n), len(queries)
    index = _flat(points) if n < EXACT_BELOW else _inverted_file(points, wanted, seed)
    cosines, found = np.empty((m, wanted), np.float32), np.empty((m, wanted), np.int64)
    for start in progress(range(0, m, ROWS_PER_STEP), "nearest items"):
        part = slice(start, start + ROWS_PER_STEP)
        cosines[part], found[part] = index.search(points[queries[part]], wanted)
    return _without_self(queries, found, cosines, k)


def _flat(points: Float32) -> faiss.Index:
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    return index


def _inverted_file(points: Float32, wanted: int, seed: int) -> faiss.Index:
    cells = int(2 * np.sqrt(len(points)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(points.shape[1]), points.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = seed + 1, 6, 64
    index.train(points)
    index.add(points)
    sample = points[np.linspace(0, len(points) - 1, SAMPLE).astype(int)]
    lowest = _flat(points).search(sample, wanted)[0][:, -1:]
    index.nprobe = 8
    # A neighbor counts as found when its cosine reaches the last exact one, so that equal vectors are no misses.
    while index.nprobe < cells and (index.search(sample, wanted)[0] >= lowest - 1e-6).mean() < RECALL:
        index.nprobe = min(2 * index.nprobe, cells)
    return index


def _without_self(queries: Int32, found: np.ndarray, cosines: np.ndarray, k: int) -> tuple[Int32, Float32]:
    n, wanted = found.shape
    # With many equal vectors a row may not be among its own neighbors; its last neighbor is left out instead.
    own = found == queries[:, None]
    own[~own.any(axis=1), -1] = True
    neighbors, values = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    neighbors[:, : wanted - 1] = found[~own].reshape(n, wanted - 1)
    values[:, : wanted - 1] = cosines[~own].reshape(n, wanted - 1)
    values[neighbors < 0] = -np.inf
    return neighbors, values
