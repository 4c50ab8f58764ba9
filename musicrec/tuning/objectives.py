"""Objectives of tuning: NDCG@10 of the warm users of a fold, with a model or ranker that learned from the time before it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from musicrec.dataset import Interactions, TrainSet, of_users
from musicrec.dataset.split import train_set_of_users
from musicrec.errors import ModelError, RankingError, SplitError
from musicrec.evaluation import Evaluator
from musicrec.lists import Lists
from musicrec.pipeline.plan import Plan
from musicrec.pipeline.workspace import Tables, Workspace, model, ranker_settings, recommender
from musicrec.ranking import TrainingTable, best_candidates, fit_ranker, learnable, sampled_users
from musicrec.recommender import CandidateTable

METRIC, LENGTH = "ndcg@10", 10
# Values and the position of a fold -> NDCG@10 of each of its evaluated users, by user id.
Evaluated = Callable[[dict[str, Any], int], "pd.Series[float]"]


@dataclasses.dataclass(frozen=True)
class Slice:
    """One fold: the train set before it, and the test set of its warm users."""

    train: TrainSet
    test: Interactions


def slices(tables: Tables, chosen: Plan) -> list[Slice]:
    """The folds of the plan that have a train set and warm users, the latest last; nothing after the cutoff is read.

    Raises SplitError when there is none.
    """
    found = []
    for fold in chosen.folds:
        try:
            train, test = tables.dataset.split(fold.start, fold.end)
        except SplitError:
            continue
        if len(warm := of_users(test, train.user_ids).user_ids):
            found.append(Slice(train, of_users(test, warm)))
    if not found:
        raise SplitError(f"no fold before {chosen.test_start} has users who played before and in it, so there is nothing to tune on; "
                         "use more of the logs.")
    return found


def model_evaluated(work: Workspace, name: str, folds: Sequence[Slice]) -> tuple[dict[str, Any], Evaluated]:
    """The current values of a model, and a function that evaluates other values in a fold, with the lists of this model alone.

    At most [ranking] max_training_users of each fold are evaluated. Values with which the model cannot be fitted have NDCG 0.
    """
    current, limits = model(work.settings, name), work.settings.ranking
    samples = [of_users(on.test, sampled_users(on.test, limits.max_training_users, limits.seed)) for on in folds]

    def evaluated(values: dict[str, Any], place: int) -> "pd.Series[float]":
        train, evaluator = folds[place].train, Evaluator(folds[place].train, samples[place], (LENGTH,))
        try:
            fitted = dataclasses.replace(current, **values).fit(train)  # type: ignore[type-var]  # every model is a dataclass
        except ModelError:
            return pd.Series(0.0, evaluator.user_ids)
        evaluator.add(name, Lists(evaluator.user_ids, *fitted.recommend(evaluator.train_rows, LENGTH)))
        return pd.Series(evaluator.relevance(name)[METRIC], evaluator.user_ids)
    return {field.name: getattr(current, field.name) for field in dataclasses.fields(current)}, evaluated  # type: ignore[arg-type]


def ranker_evaluated(work: Workspace, folds: Sequence[Slice]) -> tuple[dict[str, Any], Evaluated]:
    """The current values of [ranking], and a function that evaluates other values in a fold, with a ranker of all earlier folds.

    Training rows, candidates and features are computed once, so that an evaluation only fits trees and sorts. The first fold has no
    earlier one, so its result is empty. Raises RankingError where there is a single fold.
    """
    if len(folds) < 2:
        raise RankingError("tuning the ranker needs a fold to learn from and a later one to evaluate; raise [split] folds to 2 or more.")
    made = [_rows_and_candidates(work, on, len(folds)) for on in folds]
    settings = dataclasses.replace(ranker_settings(work.settings), n_seeds=1)

    def evaluated(values: dict[str, Any], place: int) -> "pd.Series[float]":
        earlier = learnable([rows for rows, _, _ in made[:place]])
        if not earlier:
            return pd.Series(dtype=float)
        ranker, (_, table, on) = fit_ranker(earlier, dataclasses.replace(settings, **values)), made[place]
        evaluator = Evaluator(on.train, on.test, (LENGTH,))
        lists = best_candidates(table.candidates, ranker.scores_of_rows(table.features), LENGTH)
        evaluator.add("ranked", Lists(table.user_ids, *lists))
        return pd.Series(evaluator.relevance("ranked")[METRIC], evaluator.user_ids)
    return {key: getattr(settings, key) for key in ("depth", "learning_rate", "l2_leaf_reg")}, evaluated


def _rows_and_candidates(work: Workspace, on: Slice, folds: int) -> tuple[TrainingTable, CandidateTable, Slice]:
    limits, evaluation = work.settings.ranking, work.settings.evaluation
    made = dataclasses.replace(recommender(work.settings), baselines={}).fit(on.train)
    learning = sampled_users(on.test, max(limits.max_training_users // folds, 1), limits.seed)
    test = of_users(on.test, sampled_users(on.test, max(evaluation.backtest_users // folds, 1), limits.seed))
    sample = Slice(train_set_of_users(on.train, test.user_ids), test)
    return made.training_table(learning, on.test, limits.negatives, limits.seed), made.candidates(test.user_ids), sample
