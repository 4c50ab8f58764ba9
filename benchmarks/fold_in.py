"""How good and how fast lists are that services compute from a user's latest plays, beside what training again would give.

    python -m benchmarks.fold_in quality --data FOLDER --puts-from 2010-02-01 --cutoff 2010-06-01
    python -m benchmarks.fold_in speed [--items 1000000] [--model als_model.npz]
    python -m benchmarks.fold_in http --folder FOLDER [--items 1000000]

quality: FOLDER holds items.parquet and events.parquet as a training run leaves them in its workspace. The run has learned from the plays
before --puts-from; those up to --cutoff come only by put; those after it are to be found. `refit` has learned from all plays before the
cutoff. New users have no play before --puts-from: their first three plays come by put, the later ones are to be found.
speed: a personal list of 100 for users who are not in the run, one at a time, on generated factors or those of a run.
http: the same through the services, one worker each, at 100 requests a second, for users who have put two plays. FOLDER keeps the run.
"""

import argparse
import os
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import requests

from benchmarks.children import machine
from benchmarks.http_load import at_rate, in_turns, targets
from benchmarks.serving import ours
from benchmarks.serving_artifacts import Size, artifacts
from benchmarks.user_knn import split_catalog
from musicrec.dataset import Dataset, Int32, Interactions, TrainSet, second
from musicrec.models import ALS, ItemKNN, PopularDecayed
from musicrec.models.item_similarity import ItemSimilarity
from musicrec.serving.fold_in import SINCE_THE_RUN, FoldIn, fused
from musicrec.serving.lookup import without

K = 100
NOTHING = np.empty(0, np.int32)


def of_factors(item_ids: Int32, factors: np.ndarray, settings: ALS) -> FoldIn:
    """What a service makes of als_model.npz."""
    norms = np.sqrt(np.einsum("if,if->i", factors, factors))
    order = np.argsort(-norms, kind="stable")
    system = factors.T.astype(np.float64) @ factors + settings.regularization * np.eye(factors.shape[1])
    return FoldIn(item_ids[order], np.ascontiguousarray(factors[order]), norms[order].astype(np.float32), item_ids,
                  np.argsort(order).astype(np.int32), system, settings.alpha)


def folded(model: FoldIn, new: Int32, before: Int32 = NOTHING, weight: float = SINCE_THE_RUN) -> Int32:
    """The list of a user who played the items `new` since the run, and `before` up to it."""
    seen = np.sort(np.concatenate((new, before)))
    return model.recommended(new, np.full(len(new), weight, np.float32), before, K, lambda items: without(items, seen))[0]


def by_similar_items(fitted: ItemSimilarity, played: Int32) -> Int32:
    """The list by the sum of the similarities of the item-to-item matrix, which a service would have to map as well."""
    ids, rows = fitted.train.item_ids, fitted.train.catalog.item_ids.searchsorted(played)
    rows = rows[(rows < len(ids)) & (ids[np.minimum(rows, len(ids) - 1)] == played)]
    scores = np.asarray(fitted.similarity[rows].sum(axis=0)).ravel()
    scores[np.isin(ids, played)] = 0
    best = np.argsort(-scores, kind="stable")[:K]
    return ids[best[scores[best] > 0]]


def ndcg(found: Int32, targets: Int32, k: int = 10) -> float:
    """NDCG@k of one list."""
    gain = 1 / np.log2(np.arange(2, k + 2))
    return float(gain[:len(found[:k])][np.isin(found[:k], targets)].sum() / gain[:min(k, len(targets))].sum())


def items_of(train: TrainSet, row: int) -> Int32:
    """Ids of the items of a user, by the time of the latest play; none for row -1."""
    part = slice(*train.matrix.indptr[row:row + 2]) if row >= 0 else slice(0)
    return train.item_ids[train.matrix.indices[part][np.argsort(train.last_played[part], kind="stable")]]


def quality(asked: argparse.Namespace) -> None:
    """Print NDCG@10 of known users with plays by put, and of new users after three."""
    dataset = Dataset(asked.data / "events.parquet", split_catalog(asked.data))
    known, _ = dataset.split(second(asked.puts_from))
    whole, test = dataset.split(second(asked.cutoff))
    every = dataset.train_set()
    als, knn, popular = ALS(), ItemKNN(), PopularDecayed()
    published, neighbors = als.fit(known), knn.fit(known)
    model = of_factors(known.item_ids, published.item_factors, als)
    top = known.item_ids[popular.fit(known).recommend(np.full(1, -1, np.int32), 1000)[0][0]]
    refit = als.fit(whole)
    print(f"{len(known.user_ids):,} users x {len(known.item_ids):,} tracks, {known.matrix.nnz:,} pairs before {asked.puts_from:%Y-%m-%d}; "
          f"{machine()}")

    rows: dict[str, list[float]] = {}
    for at in range(len(test.user_ids)):
        row, before = (int(one.user_index(test.user_ids[at:at + 1])[0]) for one in (whole, known))
        seen, old = items_of(whole, row), items_of(known, before)
        targets = np.setdiff1d(dataset.catalog.item_ids[test_items(test, at, whole, dataset)], seen)
        if before < 0 or len(seen) == len(old) or not len(targets):
            continue
        new = seen[~np.isin(seen, old)][::-1]
        own = known.item_ids[published.recommend(np.array([before], np.int32), 300)[0][0]]
        own = own[~np.isin(own, seen)][:K]
        fold = folded(model, new, old)
        lists = {"refit": whole.item_ids[refit.recommend(np.array([row], np.int32), K)[0][0]], "list of the run": own,
                 "fold-in": fold, "fold-in, all weights 1": folded(model, new, old, 1.0), "as served": fused(own, fold)[0],
                 "item-kNN": by_similar_items(neighbors, seen)}
        for name, one in lists.items():
            rows.setdefault(name, []).append(ndcg(one, targets))
    report("known users with plays by put", rows, "refit")

    rows = {}
    for user in np.setdiff1d(every.user_ids, known.user_ids):
        items = items_of(every, int(every.user_index(np.array([user], np.int32))[0]))
        first, targets = items[:3], items[3:]
        if not len(targets):
            continue
        lists = {"popular": top[~np.isin(top, first)], "as served (fold-in)": folded(model, first),
                 "fold-in, all weights 1": folded(model, first, weight=1.0), "item-kNN": by_similar_items(neighbors, first)}
        for name, one in lists.items():
            rows.setdefault(name, []).append(ndcg(one, targets))
    report("new users after three plays", rows, "popular")


def speed(asked: argparse.Namespace) -> None:
    """Print the time of a personal list of a user whom the run does not know."""
    rng = np.random.default_rng(0)
    if asked.model:
        with np.load(asked.model) as stored:
            ids, factors = stored["item_ids"], stored["item_factors"]
    else:
        ids, factors = np.arange(asked.items, dtype=np.int32), generated(asked.items, rng)
    model, popularity = of_factors(ids, factors, ALS()), np.linalg.norm(factors, axis=1)
    print(f"{len(ids):,} items x {factors.shape[1]} factors, lists of {K}; {machine()}")
    for plays in (2, 3, 10, 200):
        took, core = [], []
        for _ in range(asked.users):
            items = rng.choice(ids, plays, replace=False, p=popularity / popularity.sum())
            began, cpu = time.perf_counter(), time.thread_time()
            folded(model, items)
            took.append(time.perf_counter() - began)
            core.append(time.thread_time() - cpu)
        times = [f"{name} median {np.quantile(one, 0.5) * 1000:.2f} ms, p99 {np.quantile(one, 0.99) * 1000:.2f} ms"
                 for name, one in (("clock", took), ("core", core))]
        print(f"  {plays:3d} plays: {'; '.join(times)}", flush=True)


def http(asked: argparse.Namespace) -> None:
    """Print the latency of personal and blended lists of users whom the run does not know, after two plays."""
    rng = np.random.default_rng(0)
    factors, settings = generated(asked.items, rng), ALS()
    popularity = np.linalg.norm(factors, axis=1)

    def add(run: Path) -> None:
        np.savez(run / "als_model.npz", item_ids=np.arange(asked.items, dtype=np.int32), item_factors=factors, alpha=settings.alpha,
                 regularization=settings.regularization)
    root = artifacts(asked.folder, Size(10_000, asked.items, 20), add)
    users = np.arange(10_000_000, 10_000_000 + asked.users)
    played = rng.choice(asked.items, (asked.users, 2), p=popularity / popularity.sum())
    print(f"{asked.items:,} items x {factors.shape[1]} factors, 1 worker, {asked.rate} requests a second; {machine()}")
    with ours(root, 1) as (ports, _):
        puts = in_turns(ports["events"], [f"/put?user_id={user}&item_id={item}" for user, items in zip(users, played) for item in items], 8)
        url = f"http://127.0.0.1:{ports['recommendations']}/recommendations_offline"
        strategies = {requests.post(url, params={"user_id": user}, timeout=10).headers["X-Strategy"] for user in users[:20]}
        print(f"  {puts.failed} puts failed; lists are {', '.join(strategies)}")
        for path in ("/recommendations_offline", "/recommendations"):
            wanted = targets(path, users, lambda _: f"&k={K}")
            in_turns(ports["recommendations"], wanted[:100], 1)
            for at in range(asked.repeat):
                load = at_rate(ports["recommendations"], np.roll(wanted, 500 * at).tolist(), asked.rate)
                quantiles = ", ".join(f"{name} {load.ms(q):.1f} ms" for name, q in (("median", 0.5), ("p95", 0.95), ("p99", 0.99)))
                print(f"  {path}: {quantiles}, longest {load.ms(1):.1f} ms of {len(wanted):,}; {load.failed} failed, "
                      f"{load.degraded} degraded; load {os.getloadavg()[0]:.1f}", flush=True)


def generated(n: int, rng: np.random.Generator, factors: int = 64) -> np.ndarray:
    """Factors of items of 170 genres, with norms that fall with the rank of popularity as those of ALS do."""
    genres = rng.normal(size=(170, factors))
    directions = genres[rng.integers(0, 170, n)] + rng.normal(size=(n, factors)) * 0.7
    norms = 0.12 * (np.arange(1, n + 1) / n) ** -0.35
    return (directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.permutation(norms)[:, None]).astype(np.float32)


def test_items(test: Interactions, at: int, whole: TrainSet, dataset: Dataset) -> np.ndarray:
    """Catalog places of the items of a user of the test set: its columns are the items of the train set, then the others."""
    existing = np.isin(dataset.catalog.item_ids, whole.item_ids)
    places = np.concatenate((np.flatnonzero(existing), np.flatnonzero(~existing)))
    return places[test.matrix.indices[slice(*test.matrix.indptr[at:at + 2])]]


def report(title: str, rows: dict[str, list[float]], reference: str) -> None:
    """A row a method: NDCG@10 and its ratio to the reference."""
    base = np.mean(rows[reference])
    print(f"{title}: {len(rows[reference])}")
    for name, values in rows.items():
        print(f"  {name:28s} ndcg@10 {np.mean(values):.4f}   {np.mean(values) / base:5.2f} x {reference}")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("quality")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--puts-from", type=datetime.fromisoformat, required=True)
    one.add_argument("--cutoff", type=datetime.fromisoformat, required=True)
    one = kinds.add_parser("speed")
    one.add_argument("--items", type=int, default=1_000_000)
    one.add_argument("--model", type=Path)
    one.add_argument("--users", type=int, default=500)
    one = kinds.add_parser("http")
    one.add_argument("--folder", type=Path, required=True)
    one.add_argument("--items", type=int, default=1_000_000)
    one.add_argument("--users", type=int, default=2000)
    one.add_argument("--rate", type=int, default=100)
    one.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    {"quality": quality, "speed": speed, "http": http}[asked.kind](asked)


if __name__ == "__main__":
    main()
