"""Who offers what: fitted generators and features of one history, and the lists of every contender for publication."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicrec.candidates import Continuing, Generator
from musicrec.evaluation import Judge
from musicrec.lists import Recommender
from musicrec.matrix import Float32, History, Int32
from musicrec.pipeline.workspace import Workspace, features
from musicrec.ranking import Pairs, Ranker, Ruled, Rules, Scored, answers, pairs, top
from musicrec.ranking.matrices import generator_names
from musicrec.settings import bytes_of

RANKED, WEIGHTED, FUSION = "ranked", "weighted", "fusion"


@dataclass(frozen=True)
class Fitted:
    """Generators and feature groups fitted to one history. Baselines are judged beside the generators and offer the ranker nothing."""

    history: History
    recommenders: Mapping[str, Recommender]
    baselines: Mapping[str, Recommender]
    features: Mapping[str, Any]

    def only(self, *names: str) -> "Fitted":
        """The generators and baselines of these names alone, and no features: what the others hold can go when they are done."""
        offering, judged = ({name: one for name, one in of.items() if name in names} for of in (self.recommenders, self.baselines))
        return Fitted(self.history, offering, judged, {})

    @property
    def onward(self) -> dict[str, Generator]:
        """The generators that can go on from here when a later history is learned; they keep nothing of this one but their start."""
        every = {**self.baselines, **self.recommenders}
        return {name: one.onward() for name, one in every.items() if isinstance(one, Continuing)}


def contenders(work: Workspace, made: Fitted, ranker: Ranker | None, rows: Int32) -> dict[str, tuple[Int32, Float32]]:
    """What every baseline and generator, their fusions and the ranker offer these rows of the history.

    By name: items int32 (n, k) and scores float32 (n, k), where k is that of [ranking]. No weighted and ranked lists without a ranker.
    """
    k, (lists, found) = work.settings.ranking.k, without_model(work, made, rows)
    if ranker is None:
        return lists
    ranked = Ruled(Scored(found, ranker.scores(found, made.features)), rules(work), made.history)
    return {**lists, WEIGHTED: top(found, ranker.fusion.scores(found), k), RANKED: ranked.recommend(rows, k)}


def without_model(work: Workspace, made: Fitted, rows: Int32) -> tuple[dict[str, tuple[Int32, Float32]], Pairs]:
    """What contenders offers without a ranker, and the candidates of the same rows as the ranker sees them: generators are asked once."""
    k, limits = work.settings.ranking.k, work.settings.candidates
    offered = answers(made.recommenders, rows, max(limits.per_generator, k))
    found = pairs(_cut(offered, limits.per_generator), rows, limits.per_user)
    return {**answers(made.baselines, rows, k), **_cut(offered, k), FUSION: top(found, found.fused, k)}, found


def offered_pairs(work: Workspace, made: Fitted, rows: Int32) -> Pairs:
    """The candidates of these rows of the history, as the ranker sees them."""
    limits = work.settings.candidates
    return pairs(answers(made.recommenders, rows, limits.per_generator), rows, limits.per_user)


def rules(work: Workspace) -> Rules:
    """What [ranking] says about the shape of ranked lists."""
    ranking = work.settings.ranking
    return Rules(ranking.max_per_artist, ranking.min_tail_share, ranking.exploration, ranking.seed)


def _cut(offered: Mapping[str, tuple[Int32, Float32]], k: int) -> dict[str, tuple[Int32, Float32]]:
    return {name: (items[:, :k], scores[:, :k]) for name, (items, scores) in offered.items()}


def batch_users(work: Workspace) -> int:
    """How many users can be answered at a time within [candidates] batch_memory, from 64 to 65,536.

    A pair takes its row of the feature matrix, CatBoost's copy of it and what the generators said, about 12 bytes a column; one batch
    a thread is in the making and one waits.
    """
    limits = work.settings.candidates
    columns = len(generator_names(limits.generators)) + sum(len(group.names) for group in features(work.settings).values())
    a_user = 12 * limits.per_user * columns
    return int(np.clip(bytes_of(limits.batch_memory) // ((work.settings.engine.threads + 1) * a_user), 64, 1 << 16))


def batches(user_ids: Int32, rows: Int32, size: int) -> list[tuple[Int32, Int32]]:
    """The users and their rows, `size` at a time."""
    cuts = range(size, len(user_ids), size)
    return list(zip(np.split(user_ids, cuts), np.split(rows, cuts)))


def singles(judge: Judge) -> tuple[str, ...]:
    """The judged lists that come from one generator: what fused and ranked lists have to beat."""
    return tuple(name for name in judge.names if name not in (RANKED, WEIGHTED, FUSION))
