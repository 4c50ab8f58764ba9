"""How long judging takes at full size, and how that compares with merging and grouping tables as the seeds do.

    python benchmarks/evaluation.py [--scale 1.0] [--slice 0.05]

Generated arrays of the size of the real data: 1,342,566 users with about 209 million plays of 1,000,000 tracks, 783,525 evaluated users
with about 13.9 million targets (3.9 % of the users cold), lists of 100. The merge answers for a slice of the users: it holds tables.
"""

import argparse
import os
import resource
import time

import numpy as np
import pandas as pd
from numba import njit
from scipy import sparse

from musicrec.dataset import Catalog, Interactions, TrainSet
from musicrec.evaluation import Evaluator, comparison, marginal_hits, segments
from musicrec.lists import Lists

N_ITEMS, N_USERS, N_JUDGED, K = 1_000_000, 1_342_566, 783_525, 100


@njit
def ascending_items(indptr, n_items, seed):
    """Distinct ascending items a row, low numbers far more often; numba has only numpy's old model."""
    np.random.seed(seed)  # noqa: NPY002
    items = np.empty(indptr[-1], np.int32)
    for row in range(len(indptr) - 1):
        own = items[indptr[row]:indptr[row + 1]]
        for place in range(len(own)):
            own[place] = int((n_items - 20_000) * np.random.random() ** 4)  # noqa: NPY002
        own.sort()
        for place in range(1, len(own)):
            own[place] = max(own[place], own[place - 1] + 1)
    return items


def interactions(user_ids: np.ndarray, mean: float, seed: int) -> Interactions:
    """Plays with lognormal history lengths; values and minutes are zeros that take no memory until somebody reads them."""
    lengths = np.clip(np.random.default_rng(seed).lognormal(np.log(mean) - 0.7, 1.2, len(user_ids)), 1, 16_000).astype(np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    items = ascending_items(indptr, N_ITEMS, seed)
    matrix = sparse.csr_matrix((np.zeros(len(items), np.float32), items, indptr), shape=(len(user_ids), N_ITEMS))
    return Interactions(user_ids.astype(np.int32), matrix, np.zeros(len(items), np.int32))


def catalog(rng: np.random.Generator) -> Catalog:
    """Two genres of 173 and one artist of 153,581 a track."""
    def names(per_item: int, n_names: int) -> sparse.csr_matrix:
        columns = np.sort(rng.integers(0, n_names, (N_ITEMS, per_item)), axis=1).ravel().astype(np.int32)
        parts = np.ones(len(columns), np.float32), columns, np.arange(N_ITEMS + 1) * per_item
        return sparse.csr_matrix(parts, shape=(N_ITEMS, n_names))
    return Catalog(np.arange(N_ITEMS, dtype=np.int32), names(2, 173), names(1, 153_581), names(1, 658_724))


def batches(evaluator: Evaluator, seed: int, size: int = 32_768):
    """Random lists of K distinct tracks for all evaluated users, popular ones more often."""
    for start in range(0, len(evaluator.user_ids), size):
        users = evaluator.user_ids[start:start + size]
        items = ascending_items(np.arange(len(users) + 1) * K, N_ITEMS, seed + start).reshape(-1, K)
        order = np.random.default_rng(start).permutation(K)
        yield Lists(users, np.ascontiguousarray(items[:, order]), np.broadcast_to(np.linspace(1, 0, K, dtype=np.float32), items.shape))


def merged(evaluator: Evaluator, future: Interactions, lists: list[Lists]) -> pd.DataFrame:
    """Precision, recall, NDCG and the share of unseen tracks at 5, 10 and 100 by merging and grouping tables."""
    users = np.concatenate([part.user_ids for part in lists])
    rows = evaluator.targets.user_ids.searchsorted(users)
    goals = [evaluator.targets.items[evaluator.targets.indptr[row]:evaluator.targets.indptr[row + 1]] for row in rows]
    wanted = pd.DataFrame({"user_id": np.repeat(users, evaluator.targets.counts[rows]), "item_id": np.concatenate(goals)})
    table = pd.DataFrame({"user_id": np.repeat(users, K), "item_id": np.concatenate([part.items.ravel() for part in lists]),
                          "rank": np.tile(np.arange(1, K + 1), len(users))})
    matrix, known = evaluator.train.matrix, evaluator.train_rows[rows]
    seen = [matrix.indices[matrix.indptr[row]:matrix.indptr[row + 1]] if row >= 0 else matrix.indices[:0] for row in known]
    past = pd.DataFrame({"user_id": np.repeat(users, [len(own) for own in seen]), "item_id": np.concatenate(seen), "seen": 1.0})
    table["seen"] = table.merge(past, on=["user_id", "item_id"], how="left")["seen"].fillna(0.0)
    hits = table.merge(wanted, on=["user_id", "item_id"])
    hits["gain"] = 1 / np.log2(hits["rank"] + 1)
    counts = wanted.groupby("user_id").size().reindex(users)
    columns = {}
    for k in evaluator.ks:
        found = hits[hits["rank"] <= k].groupby("user_id").agg(n=("rank", "size"), gain=("gain", "sum")).reindex(users, fill_value=0)
        ideal = np.cumsum(1 / np.log2(np.arange(2, k + 2)))[np.minimum(counts, k) - 1]
        columns |= {f"precision@{k}": found["n"] / k, f"recall@{k}": found["n"] / counts, f"ndcg@{k}": found["gain"] / ideal,
                    f"novelty@{k}": 1 - table[table["rank"] <= k].groupby("user_id")["seen"].mean()}
    return pd.DataFrame(columns)


def peak() -> float:
    """Largest resident memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def timed(label: str, work):
    """The result of `work` and the seconds of a core that it took, after printing its time and the peak memory until then."""
    start, cpu = time.perf_counter(), time.process_time()
    result = work()
    report(label, time.perf_counter() - start, time.process_time() - cpu)
    return result, time.process_time() - cpu


def report(label: str, seconds: float, cpu: float) -> None:
    """One line of the table."""
    print(f"{label:62} {seconds:8.1f} s {cpu:8.1f} s of a core   peak {peak():5.2f} GB", flush=True)


def added(evaluator: Evaluator, name: str, seed: int, label: str) -> float:
    """Seconds that the evaluator needs for all lists of one model, without the time that making them takes."""
    spent = cpu = 0.0
    for batch in batches(evaluator, seed):
        start, begun = time.perf_counter(), time.process_time()
        evaluator.add(name, batch)
        spent, cpu = spent + time.perf_counter() - start, cpu + time.process_time() - begun
    report(label, spent, cpu)
    return cpu


def main() -> None:
    """Print one line a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--slice", type=float, default=0.05)
    options = parser.parse_args()
    rng, n_users, n_judged = np.random.default_rng(0), int(N_USERS * options.scale), int(N_JUDGED * options.scale)
    past = interactions(np.arange(n_users), 155, 1)
    train = TrainSet(past.user_ids, past.matrix, past.last_played, catalog=catalog(rng), cutoff=0)
    cold = int(0.0391 * n_judged)
    known = np.sort(rng.choice(n_users, n_judged - cold, replace=False))
    future = interactions(np.concatenate([known, np.arange(n_users, n_users + cold)]), 17.7, 2)
    print(f"{n_users:,} users, {past.matrix.nnz:,} plays; {n_judged:,} users with {future.matrix.nnz:,} plays after the cutoff; "
          f"{peak():.2f} GB with these in memory")
    _warm_up(train)
    start = time.perf_counter()
    evaluator, _ = timed("evaluator: targets and item tables", lambda: Evaluator(train, future))
    spent = added(evaluator, "first", 3, "evaluator: 100 places a user of the first model")
    added(evaluator, "second", 4, "evaluator: 100 places a user of the second model")
    print(f"{len(evaluator.user_ids) / spent:,.0f} users of 100 places per second of a core")
    table, _ = timed("comparison: two rows, 1000 bootstrap samples, paired test", lambda: comparison(evaluator))
    timed("segments", lambda: segments(evaluator))
    timed("marginal hits", lambda: marginal_hits(evaluator))
    timed("per-user table of one model", lambda: evaluator.table("first"))
    print(f"all of it, with making the lists: {time.perf_counter() - start:.1f} s; load of the machine {os.getloadavg()[0]:.1f} on "
          f"{os.cpu_count()} cores")
    print(table[["model", "users", "precision@10", "ndcg@10", "coverage@100", "p"]].to_string())
    _against_merge(train, future, options.slice)


def _warm_up(train: TrainSet) -> None:
    small = Evaluator(train, interactions(np.arange(50), 17.7, 5))
    for batch in batches(small, 6):
        small.add("compile", batch)
    comparison(small, samples=1)


def _against_merge(train: TrainSet, future: Interactions, share: float) -> None:
    n = int(len(future.user_ids) * share)
    part = Interactions(future.user_ids[:n], future.matrix[:n], future.last_played)
    evaluator = Evaluator(train, part)
    lists = list(batches(evaluator, 7))

    def ours() -> pd.DataFrame:
        for batch in lists:
            evaluator.add("lists", batch)
        return evaluator.table("lists")

    mine, seconds = timed(f"{n:,} users: Evaluator, all metrics and measures at 5, 10, 100", ours)
    theirs, slow = timed(f"{n:,} users: merge and group, four metrics at 5, 10, 100", lambda: merged(evaluator, part, lists))
    for column in theirs:
        np.testing.assert_allclose(mine[column], theirs[column], atol=1e-6)
    print(f"same figures to 1e-6; the merge takes {slow / seconds:.1f} times as much of a core for {len(theirs.columns)} of "
          f"{len(mine.columns) - 4} columns")


if __name__ == "__main__":
    main()
