"""What a trial is worth: NDCG@10 of warm users in the latest label window, after learning from what lies before it."""

import dataclasses
from typing import Any

from musicrec.candidates import GENERATORS
from musicrec.errors import GeneratorError, RankingError, SplitError
from musicrec.evaluation import per_user
from musicrec.lists import Lists
from musicrec.matrix import History, Int32, Plays
from musicrec.pipeline.contending import offered_pairs
from musicrec.pipeline.learning import fitted, rows_of_window
from musicrec.pipeline.workspace import Tables, Workspace, history, label_windows, labels
from musicrec.ranking import feature_matrix, fit_ranker, sampled_users, top
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


def asked(on: Slice, most: int, seed: int) -> tuple[Int32, Int32]:
    """At most `most` warm users of the slice, ids and rows of its history, int32 (n,) each; which ones depends on the seed alone."""
    users = sampled_users(on.labels, most, seed)
    rows = on.history.user_index(users)
    return users[rows >= 0], rows[rows >= 0]


def value(lists: Lists, on: Slice) -> float:
    """Mean NDCG@10 over the users of the lists, who have labels in the slice."""
    table = per_user(lists, on.labels, on.history, ks=(10,))
    return float(table.loc[table["user_id"].isin(lists.user_ids), METRIC].mean())


def generator_objective(work: Workspace, name: str, on: Slice) -> tuple[dict[str, Any], Objective]:
    """The present values of a generator, and the objective that fits it with others and judges it alone. What cannot be fitted counts 0."""
    present, limits = work.settings.component(f"candidates.{name}", GENERATORS[name]), work.settings.ranking
    users, rows = asked(on, limits.max_training_users, limits.seed)

    def objective(values: dict[str, Any]) -> float:
        try:
            return value(Lists(users, *dataclasses.replace(present, **values).fit(on.history).recommend(rows, 10)), on)
        except GeneratorError:
            return 0.0
    return {field.name: getattr(present, field.name) for field in dataclasses.fields(present)}, objective


def ranker_objective(work: Workspace, windows_before: list[Slice], on: Slice) -> tuple[dict[str, Any], Objective]:
    """The present values of [ranking], and the objective that trains on the windows before `on` and judges the ranked lists there.

    Training tables, and the candidates of the judged users with their features, are made once: a trial fits trees and sorts.
    With a single window there is none before it: raises RankingError.
    """
    if not windows_before:
        raise RankingError("tuning the ranker needs a window to learn from and one to judge on; raise [split] label_windows to 2 or more.")
    ranking = work.settings.ranking
    tables = [rows_of_window(work, fitted(work, window.history), window.labels, len(windows_before)) for window in windows_before]
    users, rows = asked(on, ranking.max_training_users, ranking.seed)
    made = fitted(work, on.history)
    found = offered_pairs(work, made, rows)
    matrix = feature_matrix(found, made.features)

    def objective(values: dict[str, Any]) -> float:
        own = RankerSettings(ranking.loss, ranking.iterations, patience=ranking.patience, threads=work.settings.engine.threads,
                             seed=ranking.seed, models=1, **values)
        return value(Lists(users, *top(found, fit_ranker(tables, own).scores_of_rows(matrix), 10)), on)
    return {key: getattr(ranking, key) for key in ("depth", "learning_rate", "l2_leaf_reg")}, objective
