"""The trial before publishing: every label window is judged with a ranker that has not seen it, and all windows decide together."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicrec import split
from musicrec.evaluation import Decision, Judge, gate, pooled
from musicrec.lists import Lists
from musicrec.matrix import Float32, History, Int32, Plays
from musicrec.pipeline.contending import FUSION, RANKED, WEIGHTED, Fitted, batch_users, batches, rules, singles, without_model
from musicrec.pipeline.workspace import Workspace
from musicrec.ranking import Pairs, Ranker, RankerSettings, Ruled, Scored, TrainingTable, feature_matrix, fit_ranker, sampled_users
from musicrec.ranking.matrices import generator_names


@dataclass(frozen=True)
class Tried:
    """Some users of one window: a judge that knows the lists without a model, and batches of their pairs with the feature matrix.

    future: what they went on to play. names: the columns of the matrix.
    """

    history: History
    future: Plays
    judge: Judge
    names: tuple[str, ...]
    batches: tuple[tuple[Int32, Pairs, Float32], ...]


def tried(work: Workspace, made: Fitted, future: Plays, windows: int = 1) -> Tried:
    """What one of so many windows is judged with, for a sample of its users with a history. Memory: pairs x features x 4 bytes.

    The judge knows the history of these users alone, so that several windows fit into memory; it is asked for relevance only.
    """
    settings, past = work.settings, made.history
    most = max(settings.ranking.trial_users // windows, 1)
    chosen = sampled_users(split.of_users(future, past.user_ids), most, settings.ranking.seed)
    own = split.of_users(past, chosen)
    small = History(own.user_ids, own.matrix, own.minutes, past.catalogue, past.cutoff)
    theirs = split.of_users(future, chosen)
    judge = Judge(small, theirs)
    kept, names = [], (*generator_names(tuple(made.recommenders)), *(name for group in made.features.values() for name in group.names))
    for users, rows in batches(judge.user_ids, past.user_index(judge.user_ids), batch_users(work)):
        lists, found = without_model(work, made, rows)
        for name, offered in lists.items():
            judge.add(name, Lists(users, *offered))
        kept.append((users, found, feature_matrix(found, made.features)))
    return Tried(past if rules(work).any else small, theirs, judge, names, tuple(kept))


def trial(work: Workspace, windows: Sequence[Tried], tables: Sequence[TrainingTable], settings: RankerSettings) -> list[Judge]:
    """The judges of the windows that have somebody to judge, with what a ranker of all other windows, and its weights alone, list there.

    Neither the trees nor their number know the judged window. A single window is halved: each half of the users is judged with a
    ranker of the other, and with the plain fusion where the other has nothing to learn from. One seed stands for the mean of
    several, which does no worse: the trial costs a fit a window.
    """
    settings = dataclasses.replace(settings, models=1)
    for place, window in enumerate(windows):
        others = of_other_windows(tables, place)
        if others:
            _judged(work, window, fit_ranker(others, settings), None)
            continue
        for half in (0, 1):
            learnt_from = _without(tables[place], half)
            _judged(work, window, fit_ranker([learnt_from], settings) if learnt_from.target.any() else None, half)
    return [window.judge for window in windows if len(window.judge.user_ids)]


def of_other_windows(tables: Sequence[TrainingTable], place: int) -> list[TrainingTable]:
    """What a ranker that is judged on the window at `place` may learn from: the tables of all others that have a hit."""
    return [table for other, table in enumerate(tables) if other != place and table.target.any()]


def decision(judges: Sequence[Judge]) -> Decision:
    """What the gate says to the ranked list, both fusions and the best single generator, over all windows: the first two have to prove."""
    if not judges:
        return Decision(FUSION, f"{FUSION} is published because no label window has a user with a history to try anything on.")
    tables = pooled(judges, "warm")
    single = max(singles(judges[0]), key=lambda name: float(tables[name]["ndcg@10"].mean()))
    return gate({name: tables[name] for name in (RANKED, FUSION, WEIGHTED, single)}, prove=2)


def _judged(work: Workspace, window: Tried, ranker: Ranker | None, half: int | None) -> None:
    k = work.settings.ranking.k
    for users, found, matrix in window.batches:
        there = np.ones(len(users), bool) if half is None else users % 2 == half
        ranked = Ruled(Scored(found, ranker.scores_of_rows(matrix) if ranker else found.fused), rules(work), window.history)
        weighted = Scored(found, ranker.fusion.scores(found) if ranker else found.fused)
        for name, recommender in ((RANKED, ranked), (WEIGHTED, weighted)):
            items, scores = recommender.recommend(found.user_index, k)
            window.judge.add(name, Lists(users[there], items[there], scores[there]))


def _without(table: TrainingTable, half: int) -> TrainingTable:
    other = table.group % 2 != half
    return TrainingTable(table.features[other], table.names, table.target[other], table.group[other])
