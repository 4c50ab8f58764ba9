"""How good and how fast lists are that services compute from a user's latest plays, beside what training again would give.

    python -m benchmarks.fold_in quality --data FOLDER --puts-from 2010-02-01 --cutoff 2010-06-01
    python -m benchmarks.fold_in speed [--items 1000000] [--model als_model.npz]

quality: FOLDER holds items.parquet and events.parquet as a training run leaves them in its workspace. The run has learned from the plays
before --puts-from; those up to --cutoff come only by put; those after it are to be found. `refit` has learned from all plays before the
cutoff. New users have no play before --puts-from: their first three plays come by put, the later ones are to be found.
speed: a personal list of 100 for users who are not in the run, one at a time, on generated factors or those of a run.
"""

import argparse
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.children import machine
from benchmarks.user_knn import split_catalog
from musicrec.dataset import Dataset, Int32, TrainSet, second
from musicrec.models import ALS, ItemKNN, PopularDecayed
from musicrec.models.item_similarity import ItemSimilarity
from musicrec.serving.fold_in import FoldIn
from musicrec.serving.lookup import without

K, PLAYS = 100, (1, 2, 3, 10, 100)
Lists = Callable[[Int32, Int32], Int32]


def of_factors(item_ids: Int32, factors: np.ndarray, settings: ALS) -> FoldIn:
    """What a service makes of als_model.npz."""
    norms = np.sqrt(np.einsum("if,if->i", factors, factors))
    order = np.argsort(-norms, kind="stable")
    system = factors.T.astype(np.float64) @ factors + settings.regularization * np.eye(factors.shape[1])
    return FoldIn(item_ids[order], np.ascontiguousarray(factors[order]), norms[order].astype(np.float32), item_ids,
                  np.argsort(order).astype(np.int32), system, settings.alpha)


def folded(model: FoldIn, played: Int32, seen: Int32) -> Int32:
    """The list of a user who played these items."""
    return model.recommended(played, np.ones(len(played), np.float32), K, lambda items: without(items, np.sort(seen)))[0]


def by_similar_items(fitted: ItemSimilarity, played: Int32, seen: Int32) -> Int32:
    """The list by the sum of the similarities of the saved item-to-item matrix."""
    ids, rows = fitted.train.item_ids, fitted.train.catalog.item_ids.searchsorted(played)
    rows = rows[(rows < len(ids)) & (ids[np.minimum(rows, len(ids) - 1)] == played)]
    scores = np.asarray(fitted.similarity[rows].sum(axis=0)).ravel()
    scores[np.isin(ids, seen)] = 0
    best = np.argsort(-scores, kind="stable")[:K]
    return ids[best[scores[best] > 0]]


def rrf(*lists: Int32, weights: tuple[float, ...] = (1, 1)) -> Int32:
    """Reciprocal rank fusion of lists."""
    total: dict[int, float] = {}
    for one, weight in zip(lists, weights):
        for rank, item in enumerate(one.tolist(), 1):
            total[item] = total.get(item, 0) + weight / (60 + rank)
    return np.array(sorted(total, key=lambda item: -total[item]), np.int32)


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
    for at, user in enumerate(test.user_ids):
        row, before = int(whole.user_index(test.user_ids[at:at + 1])[0]), int(known.user_index(test.user_ids[at:at + 1])[0])
        seen, old = items_of(whole, row), items_of(known, before)
        targets = np.setdiff1d(dataset.catalog.item_ids[test_items(test, at, whole, dataset)], seen)
        if before < 0 or len(seen) == len(old) or not len(targets):
            continue
        own = known.item_ids[published.recommend(np.array([before], np.int32), 300)[0][0]]
        own = own[~np.isin(own, seen)][:K]
        fold = folded(model, seen, seen)
        lists = {"refit": whole.item_ids[refit.recommend(np.array([row], np.int32), K)[0][0]], "list of the run": own, "fold-in": fold,
                 "fold-in of puts alone": folded(model, np.setdiff1d(seen, old), seen), "run + fold-in (rrf)": rrf(own, fold), "run + 2 x": rrf(own, fold, weights=(1, 2)), "run + 3 x": rrf(own, fold, weights=(1, 3)),
                 "item-kNN": by_similar_items(neighbors, seen, seen), "fold-in + item-kNN (rrf)": rrf(fold, by_similar_items(neighbors, seen, seen))}
        for name, one in lists.items():
            rows.setdefault(name, []).append(ndcg(one, targets))
    report("known users with plays by put", rows, "refit")

    rows = {}
    for user in np.setdiff1d(every.user_ids, known.user_ids):
        items = items_of(every, int(every.user_index(np.array([user], np.int32))[0]))
        first, targets = items[:3], items[3:]
        if not len(targets):
            continue
        lists = {"popular": top[~np.isin(top, first)], "fold-in": folded(model, first, first), "item-kNN": by_similar_items(neighbors, first, first),
                 "fold-in + item-kNN (rrf)": rrf(folded(model, first, first), by_similar_items(neighbors, first, first))}
        for name, one in lists.items():
            rows.setdefault(name, []).append(ndcg(one, targets))
    report("new users after three plays", rows, "popular")


def test_items(test, at: int, whole: TrainSet, dataset: Dataset) -> np.ndarray:
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
    asked = parser.parse_args()
    quality(asked)


if __name__ == "__main__":
    main()
