"""Ten nearest tracks by cosine for every track: ours against `implicit`'s similar_items with the same factors, in one process.

    python -m benchmarks.similar_items --model als_model.npz [--tracks N] [--asked 256] [--evaluated 1000]

--model is a file that Als saved. Tracks without factors are left out on both sides. implicit answers for --asked tracks; recall@10 is
that of --evaluated tracks against their exact neighbors. --tracks N asks ours about N random tracks instead of all, with the index of
all. Times are of the wall clock and of the processor over all threads; ours include building the index.
"""

import argparse
import resource
import time
from pathlib import Path

import faiss
import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from musicrec.similar_items.nearest import nearest, unit

K = 10


def implicit_speed(factors: np.ndarray, asked: np.ndarray) -> tuple[float, float]:
    """Tracks a second, and a processor second, of implicit's similar_items; the better of one and of all BLAS threads."""
    speeds, lean = [], []
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(factors.shape[1])
    model.item_factors, model.user_factors = factors, factors[:1]
    for threads in (1, None):
        with threadpool_limits(threads, user_api="blas"):
            model.similar_items(asked[:4], N=K + 1)
            start, cpu = time.perf_counter(), time.process_time()
            model.similar_items(asked, N=K + 1)
            speeds.append(len(asked) / (time.perf_counter() - start))
            lean.append(len(asked) / (time.process_time() - cpu))
    return max(speeds), max(lean)


def recall(found: np.ndarray, factors: np.ndarray, evaluated: np.ndarray) -> float:
    """Mean share of the K exact neighbors that were found."""
    points = unit(factors)
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    _, true = index.search(points[evaluated], K + 1)
    return float(np.mean([len(set(ours) & set([t for t in row if t != item][:K])) / K
                          for item, ours, row in zip(evaluated.tolist(), found.tolist(), true.tolist())]))


def main() -> None:
    """Print both speeds, their ratio and the recall."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tracks", type=int)
    parser.add_argument("--asked", type=int, default=256)
    parser.add_argument("--evaluated", type=int, default=1000)
    options = parser.parse_args()
    with np.load(options.model, allow_pickle=False) as stored:
        factors = stored["item_factors"]
    factors = np.ascontiguousarray(factors[factors.any(axis=1)])
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(factors))[: options.tracks].astype(np.int32)
    start, cpu = time.perf_counter(), time.process_time()
    found, _ = nearest(factors, K, rows=rows)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    ours, ours_lean = len(rows) / seconds, len(rows) / cpu
    theirs, theirs_lean = implicit_speed(factors, rng.choice(len(factors), options.asked, replace=False).astype(np.int32))
    share = recall(found, factors, rows[: options.evaluated])
    print(f"{len(factors):,} tracks x {factors.shape[1]} factors, {K} neighbors each of {len(rows):,}, index included: "
          f"{seconds:.1f} s, {ours:,.0f} tracks/s; "
          f"implicit {theirs:,.0f} tracks/s; ratio {ours / theirs:.1f}; "
          f"per processor second {ours_lean:,.0f} and {theirs_lean:,.0f}, ratio {ours_lean / theirs_lean:.1f}; "
          f"recall@{K} {share:.4f} on {options.evaluated} tracks; "
          f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
