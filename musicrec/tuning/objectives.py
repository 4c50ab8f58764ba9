"""What a trial is worth: NDCG@10 of warm users in the latest label window, after learning from what lies before it."""

import dataclasses
from typing import Any

from musicrec.candidates import GENERATORS
from musicrec.errors import GeneratorError, RankingError, SplitError
from musicrec.evaluation import per_user
from musicrec.lists import Lists, Recommender
from musicrec.matrix import History, Plays
from musicrec.pipeline.learning import fitted, rows_of_window
from musicrec.pipeline.workspace import Tables, Workspace, history, label_windows, labels
from musicrec.ranking import Ranked, fit_ranker, sampled_users
from musicrec.ranking.model import RankerSettings
from musicrec.split import Window
from musicrec.tuning.study import Objective

METRIC = "ndcg@10"


@dataclasses.dataclass(frozen=True)
class Slice:
    """History and labels of one label window, the labels of warm users alone, at most as many as train the ranker."""

    history: History
    labels: Plays


def slices(work: Workspace, tables: Tables) -> list[Slice]:
    """The label windows before test_start that have a history and labels, the latest last: nothing at or after test_start is read."""
    plan, found = work.settings.split, []
    for window in label_windows(work, tables):
        try:
            found.append(_slice(work, tables, window))
        except SplitError:
            continue
    if not found:
        raise SplitError(f"no label window before {plan.test_start} has plays and a history; lengthen [split] label_days.")
    return found


def _slice(work: Workspace, tables: Tables, window: Window) -> Slice:
    return Slice(history(work, tables, window.start), labels(work, tables, window.start, window.end))


def value(recommender: Recommender, on: Slice, most: int, seed: int) -> float:
    """Mean NDCG@10 of at most `most` warm users of the slice."""
    users = sampled_users(on.labels, most, seed)
    rows = on.history.user_index(users)
    users, rows = users[rows >= 0], rows[rows >= 0]
    table = per_user(Lists(users, *recommender.recommend(rows, 10)), on.labels, on.history, ks=(10,))
    return float(table.loc[table["user_id"].isin(users), METRIC].mean())


def generator_objective(work: Workspace, name: str, on: Slice) -> tuple[dict[str, Any], Objective]:
    """The present values of a generator, and the objective that fits it with others and judges it alone. What cannot be fitted counts 0."""
    present, limits = work.settings.component(f"candidates.{name}", GENERATORS[name]), work.settings.ranking

    def objective(values: dict[str, Any]) -> float:
        try:
            return value(dataclasses.replace(present, **values).fit(on.history), on, limits.max_training_users, limits.seed)
        except GeneratorError:
            return 0.0
    return {field.name: getattr(present, field.name) for field in dataclasses.fields(present)}, objective


def ranker_objective(work: Workspace, windows_before: list[Slice], on: Slice) -> tuple[dict[str, Any], Objective]:
    """The present values of [ranking], and the objective that trains on the windows before `on` and judges the ranked lists there.

    Training tables and fitted generators are made once. With a single window there is none before it: raises RankingError.
    """
    if not windows_before:
        raise RankingError("tuning the ranker needs a window to learn from and one to judge on; raise [split] label_windows to 2 or more.")
    ranking, limits = work.settings.ranking, work.settings.candidates
    tables = [rows_of_window(work, fitted(work, window.history), window.labels, len(windows_before)) for window in windows_before]
    made = fitted(work, on.history)

    def objective(values: dict[str, Any]) -> float:
        own = RankerSettings(ranking.loss, ranking.iterations, patience=ranking.patience, threads=work.settings.engine.threads,
                             seed=ranking.seed, models=1, **values)
        ranked = Ranked(made.recommenders, made.features, fit_ranker(tables, own), limits.per_generator, limits.per_user)
        return value(ranked, on, ranking.max_training_users, ranking.seed)
    return {key: getattr(ranking, key) for key in ("depth", "learning_rate", "l2_leaf_reg")}, objective
