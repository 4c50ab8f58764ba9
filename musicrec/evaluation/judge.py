"""The judge: takes lists of several generators batch by batch, for the same users and the same targets."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.metrics import Float64, relevance
from musicrec.evaluation.tally import MEASURES, Tally, World, add, empty_tally, profile_means, world
from musicrec.evaluation.targets import TEMPORAL, Rules, targets
from musicrec.lists import Lists
from musicrec.matrix import History, Int32, Plays

KS = (5, 10, 100)


class Judge:
    """What all tables of evaluation are made from; see comparison.comparison, segments.segments, union.marginal_hits, seeds.figures.

    The judged users are those of `future` with at least one target (see targets.Rules), cold ones included; `user_ids` and
    `history_rows` say whom to recommend to. Memory: per generator about 20 bytes a user and k, 2 a target, 8 an item and k.

        judge = Judge(history, future)
        for batch in lists.batches(als, judge.user_ids, judge.history_rows, 100, 4096):
            judge.add("als", batch)
        comparison(judge, baselines=("popular",))
    """

    def __init__(self, history: History, future: Plays, ks: tuple[int, ...] = KS, rules: Rules = TEMPORAL) -> None:
        self.ks = tuple(sorted(ks))
        self.history, self.targets = history, targets(history, future, rules)
        self.world: World = world(history)
        news = self.targets if rules == TEMPORAL else targets(history, future)
        self.listeners_in_all: NDArray[np.int64] = history.n_listeners + np.bincount(news.items, minlength=len(history.item_ids))
        self.tallies: dict[str, Tally] = {}

    @property
    def user_ids(self) -> Int32:
        """The judged users, ascending, int32 (n,)."""
        return self.targets.user_ids

    @property
    def history_rows(self) -> Int32:
        """Their rows in the history, -1 for cold users, int32 (n,)."""
        return self.targets.history_rows

    @property
    def names(self) -> tuple[str, ...]:
        """The generators that have been added, in order of their first batch."""
        return tuple(self.tallies)

    def add(self, name: str, lists: Lists) -> None:
        """Enter one batch of the lists of generator `name`; users who are not judged are passed over.

        Raises ValueError when a user comes twice under one name.
        """
        if name not in self.tallies:
            self.tallies[name] = empty_tally(self.targets, len(self.history.item_ids), len(self.ks))
        add(self.tallies[name], lists, self.targets, self.world, self.ks)

    def members(self, users: str = "all") -> NDArray[np.bool_]:
        """True for the judged users of a group: "all", "warm" (with a history) or "cold"; (n,)."""
        warm = self.targets.warm
        return {"all": np.ones(len(warm), bool), "warm": warm, "cold": ~warm}[users]

    def place_of(self, k: int) -> int:
        """Where `k` stands among the judged lengths. Raises ValueError for another."""
        if k not in self.ks:
            raise ValueError(f"lists were not judged at k = {k}; choose one of {', '.join(map(str, self.ks))}.")
        return self.ks.index(k)

    @cached_property
    def profile_listeners(self) -> Float64:
        """Mean number of listeners of the tracks in each judged user's history, float64 (n,); NaN for cold users."""
        return profile_means(self.world, self.history_rows)

    def relevance(self, name: str) -> dict[str, Float64]:
        """Ranking metrics of every judged user, see metrics.relevance; 0 for users without a list."""
        return relevance(self.targets, self.tallies[name].ranks, self.ks)

    def measures(self, name: str) -> dict[str, Float64]:
        """What lists are like apart from being right: columns "unheard@5", ...; float64 (n,), NaN where there is no list.

        unheard: share of tracks that the user has not heard (the seeds' novelty). self_information: mean of -log2 of the share of
        users who heard the track, in bits (Zhou et al. 2010). artist_diversity, genre_diversity: mean over pairs of tracks of 1 - cosine
        of their names (Ziegler et al. 2005), NaN with fewer than two tracks. listeners: mean number of listeners of the tracks.
        """
        kept = self.tallies[name].measures
        return {f"{measure}@{k}": kept[:, m, j].astype(np.float64) for j, k in enumerate(self.ks) for m, measure in enumerate(MEASURES)}

    def table(self, name: str) -> pd.DataFrame:
        """One row a judged user, ascending: user_id, warm, n_targets, n_listed, then all metrics and measures (float64)."""
        lengths = np.maximum(self.tallies[name].lengths, 0)
        known: Mapping[str, object] = {"user_id": self.user_ids, "warm": self.targets.warm, "n_targets": self.targets.counts,
                                       "n_listed": lengths}
        return pd.DataFrame({**known, **self.relevance(name), **self.measures(name)})


def per_user(lists: Lists, future: Plays, history: History, ks: tuple[int, ...] = KS) -> pd.DataFrame:
    """Judge.table for one generator whose lists are all at hand."""
    judge = Judge(history, future, ks)
    judge.add("lists", lists)
    return judge.table("lists")
