"""What values are worth: NDCG@10 of warm users in a label window, after learning from what lies outside it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from musicrec.candidates import GENERATORS
from musicrec.errors import GeneratorError, RankingError, SplitError
from musicrec.evaluation import Judge
from musicrec.evaluation.metrics import Float64
from musicrec.lists import Lists
from musicrec.matrix import History, Plays
from musicrec.pipeline.learning import fitted, ranker_settings, rows_of_window
from musicrec.pipeline.trial import Tried, of_other_windows, tried
from musicrec.pipeline.workspace import Tables, Workspace, history, label_windows, labels
from musicrec.ranking import TrainingTable, fit_ranker, sampled_users, top
from musicrec.split import Window, of_users

METRIC, LENGTH = "ndcg@10", 10
# Values and the place of a window -> what each of its judged users got, float64 (n,).
Judged = Callable[[dict[str, Any], int], Float64]


@dataclasses.dataclass(frozen=True)
class Slice:
    """History and labels of one label window, the labels of warm users alone."""

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
    past, future = history(work, tables, window.start), labels(work, tables, window.start, window.end)
    return Slice(past, of_users(future, past.user_ids))


def generator_judged(work: Workspace, name: str, windows: Sequence[Slice]) -> tuple[dict[str, Any], Judged]:
    """The present values of a generator, and what it alone is worth with others, fitted to the history of the window asked about.

    At most [ranking] max_training_users of each window are judged. Values it can not be fitted with count 0.
    """
    present, limits = work.settings.component(f"candidates.{name}", GENERATORS[name]), work.settings.ranking
    samples = [of_users(on.labels, sampled_users(on.labels, limits.max_training_users, limits.seed)) for on in windows]

    def judged(values: dict[str, Any], place: int) -> Float64:
        past, judge = windows[place].history, Judge(windows[place].history, samples[place], (LENGTH,))
        try:
            made = dataclasses.replace(present, **values).fit(past)
        except GeneratorError:
            return np.zeros(len(judge.user_ids))
        judge.add(name, Lists(judge.user_ids, *made.recommend(judge.history_rows, LENGTH)))
        return judge.relevance(name)[METRIC]
    return {field.name: getattr(present, field.name) for field in dataclasses.fields(present)}, judged


def ranker_judged(work: Workspace, windows: Sequence[Slice]) -> tuple[dict[str, Any], Judged]:
    """The present values of [ranking], and what the ranked lists of a ranker of all other windows are worth in the window asked about.

    Training rows, and the candidates of the judged users with their features, are made once: to judge is to fit trees and to sort.
    With a single window there is no other: raises RankingError.
    """
    if len(windows) < 2:
        raise RankingError("tuning the ranker needs a window to learn from and one to judge on; raise [split] label_windows to 2 or more.")
    made = [_rows_and_trial(work, on, len(windows)) for on in windows]
    settings = dataclasses.replace(ranker_settings(work), models=1)

    def judged(values: dict[str, Any], place: int) -> Float64:
        learnt_from = of_other_windows([table for table, _ in made], place)
        ranker, on = fit_ranker(learnt_from, dataclasses.replace(settings, **values)), made[place][1]
        judge = Judge(on.history, on.future, (LENGTH,))
        for users, found, matrix in on.batches:
            judge.add("ranked", Lists(users, *top(found, ranker.scores_of_rows(matrix), LENGTH)))
        return judge.relevance("ranked")[METRIC]
    return {key: getattr(settings, key) for key in ("depth", "learning_rate", "l2_leaf_reg")}, judged


def _rows_and_trial(work: Workspace, on: Slice, windows: int) -> tuple[TrainingTable, Tried]:
    made = fitted(work, on.history)
    return rows_of_window(work, made, on.labels, windows), tried(work, made, on.labels, windows)
