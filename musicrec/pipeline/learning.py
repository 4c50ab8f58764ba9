"""From label windows to a ranker and a decision: what is learned, and whether it is worth publishing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from musicrec import split
from musicrec.errors import SplitError
from musicrec.evaluation import Decision, Judge, gate
from musicrec.lists import Lists, Recommender
from musicrec.matrix import Float32, History, Int32, Plays
from musicrec.pipeline.progress import steps
from musicrec.pipeline.workspace import Tables, Workspace, features, generators, history, labels
from musicrec.ranking import (
    Pairs,
    Ranker,
    RankerSettings,
    Ruled,
    Rules,
    TrainingTable,
    answers,
    fit_ranker,
    pairs,
    reciprocal_rank_fusion,
    sampled_users,
    training_table,
    trial_ranker,
)

RANKED, FUSION = "ranked", "fusion"


@dataclass(frozen=True)
class Fitted:
    """Generators and feature groups fitted to one history. Baselines are judged beside the generators and offer the ranker nothing."""

    history: History
    recommenders: Mapping[str, Recommender]
    baselines: Mapping[str, Recommender]
    features: Mapping[str, Any]


@dataclass(frozen=True)
class Learned:
    """The ranker of all windows, the training rows of each, what the trial of the latest window showed, and what to publish."""

    ranker: Ranker
    windows: pd.DataFrame
    latest: TrainingTable
    trial: Judge
    decision: Decision


def fitted(work: Workspace, past: History) -> Fitted:
    """All generators, baselines and feature groups of the settings, fitted to `past` and to nothing else."""
    wanted = work.settings.candidates
    ready = {name: generator.fit(past) for name, generator in steps(generators(work.settings), "generators")}
    return Fitted(past, {name: ready[name] for name in wanted.generators}, {name: ready[name] for name in wanted.baselines},
                  {name: group.fit(past) for name, group in features(work.settings).items()})


def learned(work: Workspace, tables: Tables) -> Learned:
    """A ranker trained on several label windows before test_start, each with generators and features fitted before it.

    A trial ranker that has not seen the latest window is judged there beside its generators and their plain fusion; the gate
    decides from that which lists are published. The ranker returned has then learned from all windows.
    Windows before which or in which nobody played are left out; raises SplitError when none is left.
    """
    rows: list[dict[str, object]] = []
    tables_of_windows: list[TrainingTable] = []
    plan = work.settings.split
    latest: tuple[Fitted, Plays] | None = None
    for window in split.windows(plan.test_start, plan.label_days, plan.label_windows):
        try:
            past, future = history(work, tables, window.start), labels(work, tables, window.start, window.end)
        except SplitError:
            continue
        latest = fitted(work, past), future
        table = _training_table(work, *latest)
        tables_of_windows.append(table)
        rows.append({"start": window.start, "end": window.end, "users": len(future.user_ids), "plays": future.matrix.nnz,
                     "training rows": len(table), "positives": int(table.target.sum())})
    if latest is None:
        raise SplitError(f"no label window before {plan.test_start} has plays and a history; "
                         "lengthen [split] label_days or raise label_windows.")
    attempt = trial_ranker(tables_of_windows, ranker_settings(work))
    trial = _trial(work, attempt, *latest)
    ranker = fit_ranker(tables_of_windows, ranker_settings(work), attempt)
    return Learned(ranker, pd.DataFrame(rows), tables_of_windows[-1], trial, _decision(trial))


def ranker_settings(work: Workspace) -> RankerSettings:
    """What [ranking] says about CatBoost."""
    ranking = work.settings.ranking
    return RankerSettings(ranking.loss, ranking.iterations, ranking.depth, ranking.learning_rate, ranking.l2_leaf_reg, ranking.patience,
                          work.settings.engine.threads, ranking.seed)


def _training_table(work: Workspace, made: Fitted, future: Plays) -> TrainingTable:
    settings = work.settings
    most = max(settings.ranking.max_training_users // settings.split.label_windows, 1)
    users = sampled_users(future, most, settings.ranking.seed)
    rows = made.history.user_index(users)
    found = pairs(answers(made.recommenders, rows, settings.candidates.per_generator), rows, settings.candidates.per_user)
    return training_table(found, users, future, made.features, settings.ranking.negatives, settings.ranking.seed)


def _trial(work: Workspace, ranker: Ranker, made: Fitted, future: Plays) -> Judge:
    settings = work.settings
    judge = Judge(made.history, future)
    for users, rows in batches(judge.user_ids, judge.history_rows, settings.candidates.batch_users):
        for name, offered in contenders(work, made, ranker, rows).items():
            judge.add(name, Lists(users, *offered))
    return judge


def contenders(work: Workspace, made: Fitted, ranker: Ranker | None, rows: Int32) -> dict[str, tuple[Int32, Float32]]:
    """What every baseline and generator, their plain fusion and the ranker offer these rows of the history.

    By name: items int32 (n, k) and scores float32 (n, k), where k is that of [ranking]. No ranked lists without a ranker.
    """
    k, limits = work.settings.ranking.k, work.settings.candidates
    offered = answers(made.recommenders, rows, max(limits.per_generator, k))
    lists = {**answers(made.baselines, rows, k), **_cut(offered, k), FUSION: reciprocal_rank_fusion(offered, k)}
    if ranker is None:
        return lists
    found = pairs(_cut(offered, limits.per_generator), rows, limits.per_user)
    return {**lists, RANKED: Ruled(_RankedPairs(ranker, found, made.features), rules(work), made.history).recommend(rows, k)}


@dataclass(frozen=True)
class _RankedPairs:
    # A recommender of the users whose pairs are at hand already.
    ranker: Ranker
    found: Pairs
    features: Mapping[str, Any]

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        return self.ranker.rank(self.found, self.features, k)


def rules(work: Workspace) -> Rules:
    """What [ranking] says about the shape of ranked lists."""
    ranking = work.settings.ranking
    return Rules(ranking.max_per_artist, ranking.min_tail_share, ranking.exploration, ranking.seed)


def _cut(offered: Mapping[str, tuple[Int32, Float32]], k: int) -> dict[str, tuple[Int32, Float32]]:
    return {name: (items[:, :k], scores[:, :k]) for name, (items, scores) in offered.items()}


def batches(user_ids: Int32, rows: Int32, size: int) -> list[tuple[Int32, Int32]]:
    """The users and their rows, `size` at a time."""
    cuts = range(size, len(user_ids), size)
    return list(zip(np.split(user_ids, cuts), np.split(rows, cuts)))


def singles(judge: Judge) -> tuple[str, ...]:
    """The judged lists that come from one generator: what fused and ranked lists have to beat."""
    return tuple(name for name in judge.names if name not in (RANKED, FUSION))


def _decision(trial: Judge) -> Decision:
    # Only users with a history get a personal list, so only they decide whose it is.
    warm = trial.members("warm")
    single = max(singles(trial), key=lambda name: float(trial.relevance(name)["ndcg@10"][warm].mean()))
    return gate({name: trial.table(name)[warm] for name in (RANKED, FUSION, single)})
