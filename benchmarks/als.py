"""Training of ALS: implicit against our kernel, from the same start and on the same matrix, in turns on the same machine.

    python -m benchmarks.als --data FOLDER [--cutoff 2022-12-16] [--users 20000]

FOLDER holds items.parquet and events.parquet as `preprocess` writes them. implicit makes the iterations that [candidates.als] allows, ours
ends when item factors hardly change. NDCG@10 and recall@100 are those of the lists for users of the test set.
"""

import argparse
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from benchmarks.children import machine
from benchmarks.user_knn import split_catalog
from musicrec.dataset import Dataset, Interactions, TrainSet, of_users, second
from musicrec.evaluation import Evaluator
from musicrec.lists import Lists
from musicrec.models.als import ALS, FittedALS
from musicrec.ranking import sampled_users


def trained_by_implicit(train: TrainSet, settings: ALS) -> FittedALS:
    """The model with factors that implicit has trained on the same matrix."""
    confidence = settings._confidence(train)
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(settings.factors, settings.regularization, iterations=settings.iterations, dtype=np.float32,
                                        random_state=settings.seed)
        model.fit(confidence, show_progress=False)
    return FittedALS(train, model.user_factors[: len(train.user_ids)], model.item_factors, settings)


def quality(fitted: FittedALS, train: TrainSet, test: Interactions) -> str:
    """NDCG@10 and recall@100 of the lists."""
    evaluator = Evaluator(train, test)
    evaluator.add("als", Lists(evaluator.user_ids, *fitted.recommend(evaluator.train_rows, 100)))
    relevance = evaluator.relevance("als")
    return f"ndcg@10 {relevance['ndcg@10'].mean():.4f}  recall@100 {relevance['recall@100'].mean():.4f}"


def main() -> None:
    """Train by both, print what each takes and how good it is, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cutoff", type=datetime.fromisoformat, default=datetime(2022, 12, 16))
    parser.add_argument("--users", type=int, default=20_000)
    options = parser.parse_args()
    train, test = Dataset(options.data / "events.parquet", split_catalog(options.data)).split(second(options.cutoff))
    test = of_users(test, sampled_users(test, options.users, 0))
    print(f"{machine()}\n{len(train.user_ids):,} users, {len(train.catalog):,} items, {train.matrix.nnz:,} pairs")
    settings, spent = ALS(), list[tuple[float, float]]()
    ALS(iterations=1).fit(train)  # compiles
    for name, fit in (("implicit", lambda: trained_by_implicit(train, settings)), ("ours", lambda: settings.fit(train))):
        clock, core = time.perf_counter(), time.process_time()
        fitted = fit()
        spent.append((time.perf_counter() - clock, time.process_time() - core))
        print(f"{name:9s} {spent[-1][0]:8.1f} s {spent[-1][1]:8.1f} s of a core  {quality(fitted, train, test)}", flush=True)
    print(f"implicit / ours: {spent[0][0] / spent[1][0]:.1f} on the clock, {spent[0][1] / spent[1][1]:.1f} of a core")


if __name__ == "__main__":
    main()
