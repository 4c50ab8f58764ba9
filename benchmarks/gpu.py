"""ALS on a GPU against ALS on the processor: seconds to train and to recommend, and how far factors and lists differ.

    python -m benchmarks.gpu [--users 100000] [--items 100000] [--plays 10000000]

Needs a GPU and the extra `gpu`.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy import sparse

from musicrec.dataset import Catalog, TrainSet, interactions
from musicrec.models.als import ALS
from musicrec.models.mips import MipsIndex

Result = TypeVar("Result")


def main() -> None:
    """Fit and recommend on both devices, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("users", 100_000), ("items", 100_000), ("plays", 10_000_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    train = log_of(options.users, options.items, options.plays)
    print(f"{train.matrix.nnz:,} pairs of {options.users:,} users and {options.items:,} items")
    warm_up = ALS(iterations=1)
    for device in ("cpu", "cuda"):
        dataclasses.replace(warm_up, device=device).fit(log_of(500, 500, 5000)).recommend(np.arange(100, dtype=np.int32), 10)
    cpu, cpu_s = timed(lambda: ALS(device="cpu", tolerance=0).fit(train))
    gpu, gpu_s = timed(lambda: ALS(device="cuda", tolerance=0).fit(train))
    print(f"ten iterations: processor {cpu_s:.1f} s, GPU {gpu_s:.1f} s, ratio {cpu_s / gpu_s:.1f}")
    for name, ours, theirs in (("users", gpu.user_factors, cpu.user_factors), ("items", gpu.item_factors, cpu.item_factors)):
        print(f"factors of {name}: relative difference {np.linalg.norm(ours - theirs) / np.linalg.norm(theirs):.1e}")
    rows = np.arange(len(train.user_ids), dtype=np.int32)
    by_gpu, gpu_s = timed(lambda: gpu.recommend(rows, 100))
    pruned = MipsIndex(gpu.item_factors)
    by_cpu, cpu_s = timed(lambda: pruned.top_k(gpu.factors_of(rows), train.matrix, 100))
    print(f"100 items for every user from the same factors: processor {cpu_s:.1f} s, GPU {gpu_s:.1f} s, ratio {cpu_s / gpu_s:.1f}; "
          f"{(by_gpu[0] == by_cpu[0]).mean():.4%} of items and {(by_gpu[1] == by_cpu[1]).mean():.4%} of scores are the same")
    top = cpu.recommend(rows, 10)[0]
    shared = np.mean([len(np.intersect1d(one, other)) / 10 for one, other in zip(top[:5000], by_gpu[0][:5000, :10])])
    print(f"the first ten items of lists from either device's own factors share {shared:.2%}")


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """What the function returns, and its seconds."""
    begun = time.perf_counter()
    result = function()
    return result, time.perf_counter() - begun


def log_of(n_users: int, n_items: int, n_plays: int) -> TrainSet:
    """Plays with popular and rare items, of users with one of 20 tastes each."""
    rng = np.random.default_rng(0)
    users, taste = rng.integers(0, n_users, n_plays), rng.integers(0, 20, n_users)
    items = (rng.zipf(1.2, n_plays) * 20 + np.where(rng.random(n_plays) < 0.8, taste[users], rng.integers(0, 20, n_plays))) % n_items
    made = interactions(users, items, np.zeros(n_plays, np.int64), None, n_items)
    names = sparse.csr_matrix((n_items, 1), dtype=np.float32)
    return TrainSet(made.user_ids, made.matrix, made.last_played, made.repeats, cutoff=1,
                    catalog=Catalog(np.arange(n_items, dtype=np.int32), names, names, names))


if __name__ == "__main__":
    main()
