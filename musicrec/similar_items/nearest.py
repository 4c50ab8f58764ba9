"""Nearest neighbours by cosine among dense vectors, through faiss."""

import faiss
import numpy as np

from musicrec.matrix import Float32, Int32

EXACT_BELOW = 30_000


def unit(vectors: Float32) -> Float32:
    """The rows scaled to length 1, float32; rows of zeros stay zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32 = np.ascontiguousarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
    return scaled


def nearest(vectors: Float32, k: int, *, seed: int = 0) -> tuple[Int32, Float32]:
    """For each row the k other rows with the largest cosine, descending: positions int32 (n, k) and cosines float32 (n, k).

    -1 and -inf where fewer exist. Exact below EXACT_BELOW rows, O(n^2 x width); above it an inverted file (Jegou et al., 2011) of
    about 4 sqrt(n) cells is searched in the `probes` cells nearest to a row.
    """
    points, n = unit(vectors), len(vectors)
    if n == 0:
        return np.empty((0, k), np.int32), np.empty((0, k), np.float32)
    wanted = min(k + 1, n)
    index = faiss.IndexFlatIP(points.shape[1]) if n < EXACT_BELOW else _inverted_file(points, seed)
    index.add(points)
    cosines, found = index.search(points, wanted)
    return _without_self(found, cosines, k)


def _inverted_file(points: Float32, seed: int) -> faiss.Index:
    cells = int(4 * np.sqrt(len(points)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(points.shape[1]), points.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = seed + 1, 6, 64
    index.train(points)
    index.nprobe = max(1, cells // 50)
    return index


def _without_self(found: np.ndarray, cosines: np.ndarray, k: int) -> tuple[Int32, Float32]:
    n, wanted = found.shape
    # Where a row is not among its own neighbours (many equal vectors), its last neighbour is left out instead.
    own = found == np.arange(n)[:, None]
    own[~own.any(axis=1), -1] = True
    rows, places = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    rows[:, : wanted - 1] = found[~own].reshape(n, wanted - 1)
    places[:, : wanted - 1] = cosines[~own].reshape(n, wanted - 1)
    places[rows < 0] = -np.inf
    return rows, places
