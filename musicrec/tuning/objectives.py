"""Objectives of tuning: NDCG@10 of the warm users of a fold, with a model or ranker that learned from the time before it."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd

from musicrec.dataset import Dataset, Fold, Interactions, TrainSet, of_users
from musicrec.dataset.split import train_set_of_users
from musicrec.errors import ModelError, RankingError, SplitError
from musicrec.evaluation import ALL_PLAYS, DISCOVERY, Backtest, Evaluator
from musicrec.lists import Lists
from musicrec.models import Model
from musicrec.ranking import TrainingTable, best_candidates, fit_ranker, learnable, sampled_users
from musicrec.recommender import CandidateTable, TwoStageRecommender
from musicrec.tuning.search import Evaluated

METRIC, LENGTH = "ndcg@10", 10


@dataclasses.dataclass(frozen=True)
class Slice:
    """One fold: the train set before it, and the test set of its warm users."""

    train: TrainSet
    test: Interactions


def slices(dataset: Dataset, folds: Sequence[Fold]) -> list[Slice]:
    """The folds that have a train set and warm users, in their order; all of them are in memory.

    Raises SplitError when there is none.
    """
    found = []
    for fold in folds:
        try:
            train, test = dataset.split(fold.start, fold.end)
        except SplitError:
            continue
        if len(warm := of_users(test, train.user_ids).user_ids):
            found.append(Slice(train, of_users(test, warm)))
    if not found:
        raise SplitError("no fold before the cutoff has users who played before and in it, so there is nothing to tune on; use more of "
                         "the logs.")
    return found


def model_evaluated(model: Model, folds: Sequence[Slice], max_users: int, seed: int) -> tuple[dict[str, Any], Evaluated]:
    """The values of a model, and a function that evaluates other values in a fold, with the lists of this model alone.

    At most max_users of each fold are evaluated, a model of seen items by ALL_PLAYS. Values with which the model cannot be fitted have
    NDCG 0.
    """
    model = dataclasses.replace(model, **getattr(model, "search_with", {}))  # type: ignore[type-var]  # every model is a dataclass
    rules, method = (ALL_PLAYS, "recommend_with_seen") if getattr(model, "only_seen", False) else (DISCOVERY, "recommend")
    samples = [of_users(on.test, sampled_users(on.test, max_users, seed)) for on in folds]

    def evaluated(values: dict[str, Any], place: int) -> "pd.Series[float]":
        train, evaluator = folds[place].train, Evaluator(folds[place].train, samples[place], (LENGTH,), rules)
        try:
            fitted = dataclasses.replace(model, **values).fit(train)  # type: ignore[type-var]  # every model is a dataclass
        except ModelError:
            return pd.Series(0.0, evaluator.user_ids)
        evaluator.add("model", Lists(evaluator.user_ids, *getattr(fitted, method)(evaluator.train_rows, LENGTH)))
        return pd.Series(evaluator.relevance("model")[METRIC], evaluator.user_ids)
    return {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}, evaluated  # type: ignore[arg-type]


def ranker_evaluated(recommender: TwoStageRecommender, backtest: Backtest, folds: Sequence[Slice]) -> tuple[dict[str, Any], Evaluated]:
    """The values of the ranker, and a function that evaluates other values in a fold, with a ranker of all earlier folds.

    backtest: its numbers of users and negatives and its ranker are used. Training rows, candidates and features are computed once, so that
    an evaluation only fits trees and sorts. The first fold has no earlier one, so its result is empty. Raises RankingError where there is
    a single fold.
    """
    if len(folds) < 2:
        raise RankingError("tuning the ranker needs a fold to learn from and a later one to evaluate; raise [split] folds to 2 or more.")
    made = [_rows_and_candidates(dataclasses.replace(recommender, baselines={}), backtest, on, len(folds)) for on in folds]
    settings = dataclasses.replace(backtest.ranker, n_seeds=1)

    def evaluated(values: dict[str, Any], place: int) -> "pd.Series[float]":
        earlier = learnable([rows for rows, _, _ in made[:place]])
        if not earlier:
            return pd.Series(dtype=float)
        ranker, (_, table, on) = fit_ranker(earlier, dataclasses.replace(settings, **values)), made[place]
        evaluator = Evaluator(on.train, on.test, (LENGTH,))
        lists = best_candidates(table.candidates, ranker.scores_of_rows(table.features), LENGTH)
        evaluator.add("ranked", Lists(table.user_ids, *lists))
        return pd.Series(evaluator.relevance("ranked")[METRIC], evaluator.user_ids)
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}, evaluated


def _rows_and_candidates(recommender: TwoStageRecommender, backtest: Backtest, on: Slice,
                         folds: int) -> tuple[TrainingTable, CandidateTable, Slice]:
    made = recommender.fit(on.train)
    test = of_users(on.test, sampled_users(on.test, max(backtest.max_users // folds, 1), backtest.seed))
    sample = Slice(train_set_of_users(on.train, test.user_ids), test)
    return backtest.training_table(made, on.test, folds), made.candidates(test.user_ids), sample
