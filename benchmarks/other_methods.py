"""Whether EASE, RP3beta or BPR would earn a place among the models: what each would add to the union of those at hand.

    python -m benchmarks.other_methods --data DIR --cutoff 2010-06-01 [--interactions FILE] [--max-items 12000]

--data holds the three raw files; lists of 100 are evaluated in time, over users with a train set. EASE (Steck, 2019) and RP3beta (Paudel et
al., 2017) are written here in their closed forms over the items with most listeners, BPR (Rendle et al., 2009) is implicit's. Their
settings are those that tuning found for others on such sets; a method that adds hardly anything to the union is not worth its cost.
"""

import argparse
import tempfile
import warnings
from datetime import date
from pathlib import Path

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy import sparse

from musicrec import pipeline, settings
from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.evaluation import Evaluator, comparison, marginal_hits
from musicrec.lists import Lists
from musicrec.models.slim import most_seen
from musicrec.models.top_k import rows_of, top_k

K = 100


def ease(seen: sparse.csr_matrix, penalty: float = 3000.0) -> Float32:
    """Item x item weights B with zero diagonal that minimise |X - X B|^2 + penalty |B|^2."""
    gram = (seen.T @ seen).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += penalty
    inverse = np.linalg.inv(gram)
    weights: Float32 = -inverse / np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return weights


def rp3beta(seen: sparse.csr_matrix, alpha: float = 0.8, beta: float = 0.1, kept: int = 500) -> Float32:
    """Chances of walks of three steps from item to item, to the power alpha a step, divided by popularity ** beta; `kept` an item."""
    users = sparse.diags(1 / np.maximum(np.asarray(seen.sum(axis=1)).ravel(), 1))
    listeners = np.maximum(np.asarray(seen.sum(axis=0)).ravel(), 1)
    to_users, to_items = sparse.diags(1 / listeners) @ seen.T, users @ seen
    walks = (to_users.power(alpha) @ to_items.power(alpha)).toarray().astype(np.float32) / listeners**beta
    np.fill_diagonal(walks, 0)
    walks[walks < -np.sort(-walks, axis=1)[:, min(kept, walks.shape[1]) - 1:][:, :1]] = 0
    result: Float32 = walks
    return result


def lists_of(weights: Float32, train: TrainSet, items: Int32, rows: Int32) -> tuple[Int32, Float32]:
    """The K best unseen items of each row by (seen items) @ weights, in item indices of the train set."""
    seen = rows_of(train.matrix, rows)[:, items]
    seen.sort_indices()
    seen.data[:] = 1
    found, scores = top_k(np.asarray(seen @ weights, np.float32), seen.indptr, seen.indices, K)
    return np.where(found >= 0, items[found], -1).astype(np.int32), scores


def bpr(train: TrainSet, rows: Int32) -> tuple[Int32, Float32]:
    """implicit's lists."""
    model = BayesianPersonalizedRanking(factors=136, learning_rate=0.018, iterations=40, random_state=0, num_threads=1)
    binary = train.matrix.copy()
    binary.data[:] = 1
    model.fit(binary, show_progress=False)
    items, scores = model.recommend(rows, binary[rows], N=K)
    return items.astype(np.int32), scores.astype(np.float32)


def main() -> None:
    """Print quality and marginal hits of the models at hand with the three others beside them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cutoff", type=date.fromisoformat, required=True)
    parser.add_argument("--interactions", default="interactions.parquet")
    parser.add_argument("--max-items", type=int, default=12_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environ = {"MUSICREC_DATA_FOLDER": str(options.data), "MUSICREC_DATA_INTERACTIONS": options.interactions,
                   "MUSICREC_DATA_WORK_FOLDER": folder, "MUSICREC_SPLIT_TEST_START": str(options.cutoff)}
        work = pipeline.workspace(settings.load(settings.CONFIG, environ))
        raw = pipeline.raw_tables(work)
        tables = pipeline.preprocessed_tables(work, raw)
        past, future = tables.dataset.split(pipeline.plan(work, raw.interactions).cutoff)
        made = pipeline.fitted(work, pipeline.recommender(work.settings), past)
    evaluator = Evaluator(past, future)
    warm = evaluator.members("warm")
    users, rows = evaluator.user_ids[warm], evaluator.train_rows[warm]
    items = most_seen(past, 1, options.max_items)
    seen = past.matrix[:, items].astype(np.float32)
    seen.data[:] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others = {"EASE": lists_of(ease(seen), past, items, rows), "RP3beta": lists_of(rp3beta(seen), past, items, rows),
                  "BPR": bpr(past, rows)}
    offered = {name: one.recommend(rows, K) for name, one in made.fitted.models.items()}
    for name, found in {**offered, **others}.items():
        evaluator.add(name, Lists(users, *found))
    print(f"{len(users):,} users with a train set, {len(items):,} items for EASE and RP3beta")
    print(comparison(evaluator, users="warm", samples=0)[["model", "ndcg@10", "recall@10", "recall@100"]].to_string(index=False))
    base = marginal_hits(evaluator, tuple(offered)).set_index("model").loc["union"]
    print(f"union of the models at hand: {base['hits']} hits, recall {base['recall']:.4f}")
    for name in others:
        table = marginal_hits(evaluator, (*offered, name)).set_index("model")
        print(f"with {name:8s} {table.loc['union', 'hits']} hits, recall {table.loc['union', 'recall']:.4f}; "
              f"{table.loc[name, 'only_here']} hits that only it finds")


if __name__ == "__main__":
    main()
