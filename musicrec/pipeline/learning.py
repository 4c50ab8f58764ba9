"""From label windows to a ranker and a decision: what is learned, and whether it is worth publishing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from musicrec import split
from musicrec.candidates import Generator
from musicrec.errors import SplitError
from musicrec.evaluation import Decision, Judge
from musicrec.matrix import History, Plays
from musicrec.pipeline.contending import Fitted, offered_pairs
from musicrec.pipeline.progress import steps
from musicrec.pipeline.trial import Tried, decision, trial, tried
from musicrec.pipeline.workspace import Tables, Workspace, features, generators, history, label_windows, labels
from musicrec.ranking import Ranker, RankerSettings, TrainingTable, fit_ranker, sampled_users, training_table


@dataclass(frozen=True)
class Learned:
    """The ranker of all windows, the training rows of each, what the trial of each window showed, and what to publish.

    tried: what the latest window was judged with. onward: generators that go on from what they learned before it.
    """

    ranker: Ranker
    windows: pd.DataFrame
    training: Sequence[TrainingTable]
    trial: Sequence[Judge]
    decision: Decision
    tried: Tried
    onward: Mapping[str, Generator]

    @property
    def latest(self) -> TrainingTable:
        """The training rows of the latest window."""
        return self.training[-1]

    def sample(self, most: int = 2000, seed: int = 0) -> TrainingTable:
        """At most `most` rows of the latest window, drawn at random: enough for a picture."""
        table = self.latest
        kept = np.sort(np.random.default_rng(seed).permutation(len(table))[:most])
        return TrainingTable(table.features[kept], table.names, table.target[kept], table.group[kept])


def fitted(work: Workspace, past: History, onward: Mapping[str, Generator] | None = None) -> Fitted:
    """All generators, baselines and feature groups of the settings, fitted to `past` and to nothing else.

    onward: generators that go on from an earlier part of the same history, see Fitted.onward.
    """
    wanted, ready = work.settings.candidates, {}
    for name, generator in steps({**generators(work.settings), **(onward or {})}, "generators"):
        with work.stages.measured(f"fit {name}"):
            ready[name] = generator.fit(past)
    with work.stages.measured("fit features"):
        described = {name: group.fit(past) for name, group in features(work.settings).items()}
    return Fitted(past, {name: ready[name] for name in wanted.generators}, {name: ready[name] for name in wanted.baselines}, described)


def learned(work: Workspace, tables: Tables) -> Learned:
    """A ranker trained on several label windows before test_start, each with generators and features fitted before it.

    Each window is judged with a trial ranker that has not seen it, beside its generators and their fusions; the gate decides from all
    windows which lists are published. The ranker returned has then learned from all of them.
    Windows before which or in which nobody played are left out; raises SplitError when none is left.
    """
    rows: list[dict[str, object]] = []
    training: list[TrainingTable] = []
    tries: list[Tried] = []
    windows = label_windows(work, tables)
    onward: Mapping[str, Generator] = {}
    for window in windows:
        try:
            table, judged, onward, size = _of_window(work, tables, window, onward, len(windows))
        except SplitError:
            continue
        training.append(table)
        tries.append(judged)
        rows.append(size)
    if not rows:
        raise SplitError(f"no label window before {work.settings.split.test_start} has plays and a history; "
                         "lengthen [split] label_days or raise label_windows.")
    with work.stages.measured("trial"):
        judges = trial(work, tries, training, ranker_settings(work))
    with work.stages.measured("ranker"):
        ranker = fit_ranker(training, ranker_settings(work))
    return Learned(ranker, pd.DataFrame(rows), training, judges, decision(judges), tries[-1], onward)


def _of_window(work: Workspace, tables: Tables, window: split.Window, onward: Mapping[str, Generator],
               windows: int) -> tuple[TrainingTable, Tried, Mapping[str, Generator], dict[str, object]]:
    # A function of its own, so that what was fitted to one window is gone before the next one is fitted.
    with work.stages.measured("read plays"):
        past, future = history(work, tables, window.start), labels(work, tables, window.start, window.end)
    made = fitted(work, past, onward)
    with work.stages.measured("candidates and features"):
        table, judged = rows_of_window(work, made, future, windows), tried(work, made, future, windows)
    size = {"start": window.start, "end": window.end, "users": len(future.user_ids), "plays": future.matrix.nnz,
            "training rows": len(table), "positives": int(table.target.sum())}
    return table, judged, made.onward, size


def ranker_settings(work: Workspace) -> RankerSettings:
    """What [ranking] says about CatBoost."""
    ranking = work.settings.ranking
    return RankerSettings(ranking.loss, ranking.iterations, ranking.depth, ranking.learning_rate, ranking.l2_leaf_reg, ranking.patience,
                          work.settings.engine.threads, ranking.seed, ranking.models)


def rows_of_window(work: Workspace, made: Fitted, future: Plays, windows: int = 1) -> TrainingTable:
    """The training rows of one of so many windows, for a sample of its users."""
    settings = work.settings
    most = max(settings.ranking.max_training_users // windows, 1)
    users = sampled_users(future, most, settings.ranking.seed)
    rows = made.history.user_index(users)
    found = offered_pairs(work, made, rows)
    return training_table(found, users, future, made.features, settings.ranking.negatives, settings.ranking.seed)
