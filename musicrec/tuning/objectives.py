"""What values are worth: NDCG@10 of warm users in a fold, after learning from what lies before it."""

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
# Values and the place of a fold -> NDCG@10 of each of its evaluated users, by user id.
Evaluated = Callable[[dict[str, Any], int], "pd.Series[float]"]


@dataclasses.dataclass(frozen=True)
class Slice:
    """The train set before one fold, and what warm users played in it."""

    train: TrainSet
    test: Interactions


def slices(tables: Tables, chosen: Plan) -> list[Slice]:
    """The folds of the plan that have a train set and warm users, the latest last: nothing from the cutoff on is read.

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
    """The present values of a model, and what it alone is worth with others, fitted to the train set of the fold asked about.

    At most [ranking] max_training_users of each fold are evaluated. Values it can not be fitted with count 0.
    """
    present, limits = model(work.settings, name), work.settings.ranking
    samples = [of_users(on.test, sampled_users(on.test, limits.max_training_users, limits.seed)) for on in folds]

    def evaluated(values: dict[str, Any], place: int) -> "pd.Series[float]":
        train, evaluator = folds[place].train, Evaluator(folds[place].train, samples[place], (LENGTH,))
        try:
            made = dataclasses.replace(present, **values).fit(train)  # type: ignore[type-var]  # every model is a dataclass
        except ModelError:
            return pd.Series(0.0, evaluator.user_ids)
        evaluator.add(name, Lists(evaluator.user_ids, *made.recommend(evaluator.train_rows, LENGTH)))
        return pd.Series(evaluator.relevance(name)[METRIC], evaluator.user_ids)
    return {field.name: getattr(present, field.name) for field in dataclasses.fields(present)}, evaluated  # type: ignore[arg-type]


def ranker_evaluated(work: Workspace, folds: Sequence[Slice]) -> tuple[dict[str, Any], Evaluated]:
    """The present values of [ranking], and what the ranked lists of a ranker of all earlier folds are worth in the fold asked about.

    Training rows, and the candidates of the evaluated users with their features, are made once: to evaluate is to fit trees and to sort.
    The first fold has none before it: raises RankingError where there is a single fold, and counts nobody when asked about the first.
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
    theirs = of_users(on.test, sampled_users(on.test, max(evaluation.backtest_users // folds, 1), limits.seed))
    small = Slice(train_set_of_users(on.train, theirs.user_ids), theirs)
    return made.training_table(learning, on.test, limits.negatives, limits.seed), made.candidates(theirs.user_ids), small
