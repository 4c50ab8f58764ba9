"""From label windows to a ranker and a decision: what is learned, and whether it is worth publishing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

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

    tried: what the latest window was judged with.
    """

    ranker: Ranker
    windows: pd.DataFrame
    training: Sequence[TrainingTable]
    trial: Sequence[Judge]
    decision: Decision
    tried: Tried

    @property
    def latest(self) -> TrainingTable:
        """The training rows of the latest window."""
        return self.training[-1]

    def sample(self, most: int = 2000, seed: int = 0) -> TrainingTable:
        """At most `most` rows of the latest window, drawn at random: enough for a picture."""
        table = self.latest
        kept = np.sort(np.random.default_rng(seed).permutation(len(table))[:most])
        return TrainingTable(table.features[kept], table.names, table.target[kept], table.group[kept])


def fitted(work: Workspace, past: History) -> Fitted:
    """All generators, baselines and feature groups of the settings, fitted to `past` and to nothing else."""
    wanted = work.settings.candidates
    ready = {name: generator.fit(past) for name, generator in steps(generators(work.settings), "generators")}
    return Fitted(past, {name: ready[name] for name in wanted.generators}, {name: ready[name] for name in wanted.baselines},
                  {name: group.fit(past) for name, group in features(work.settings).items()})


def learned(work: Workspace, tables: Tables) -> Learned:
    """A ranker trained on several label windows before test_start, each with generators and features fitted before it.

    Each window is judged with a trial ranker that has not seen it, beside its generators and their fusions; the gate decides from all
    windows which lists are published. The ranker returned has then learned from all of them.
    Windows before which or in which nobody played are left out; raises SplitError when none is left.
    """
    rows: list[dict[str, object]] = []
    training: list[TrainingTable] = []
    tries: list[Tried] = []
    for window in label_windows(work, tables):
        try:
            past, future = history(work, tables, window.start), labels(work, tables, window.start, window.end)
        except SplitError:
            continue
        made = fitted(work, past)
        training.append(rows_of_window(work, made, future))
        tries.append(tried(work, made, future))
        rows.append({"start": window.start, "end": window.end, "users": len(future.user_ids), "plays": future.matrix.nnz,
                     "training rows": len(training[-1]), "positives": int(training[-1].target.sum())})
    if not rows:
        raise SplitError(f"no label window before {work.settings.split.test_start} has plays and a history; "
                         "lengthen [split] label_days or raise label_windows.")
    judges = trial(work, tries, training, ranker_settings(work))
    return Learned(fit_ranker(training, ranker_settings(work)), pd.DataFrame(rows), training, judges, decision(judges), tries[-1])


def ranker_settings(work: Workspace) -> RankerSettings:
    """What [ranking] says about CatBoost."""
    ranking = work.settings.ranking
    return RankerSettings(ranking.loss, ranking.iterations, ranking.depth, ranking.learning_rate, ranking.l2_leaf_reg, ranking.patience,
                          work.settings.engine.threads, ranking.seed, ranking.models)


def rows_of_window(work: Workspace, made: Fitted, future: Plays) -> TrainingTable:
    """The training rows of one window, for a sample of its users."""
    settings = work.settings
    most = max(settings.ranking.max_training_users // settings.split.label_windows, 1)
    users = sampled_users(future, most, settings.ranking.seed)
    rows = made.history.user_index(users)
    found = offered_pairs(work, made, rows)
    return training_table(found, users, future, made.features, settings.ranking.negatives, settings.ranking.seed)
