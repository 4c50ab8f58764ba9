"""The evaluator: lists of several models, added batch by batch, for the same users and the same targets."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.dataset import Int32, Interactions, TrainSet
from musicrec.evaluation.accumulator import MEASURES, Accumulator, TrainStatistics, add, empty_accumulator, profile_means, statistics
from musicrec.evaluation.metrics import Float64, relevance
from musicrec.evaluation.targets import DISCOVERY, TargetRules, targets
from musicrec.lists import Lists

KS = (5, 10, 100)


class Evaluator:
    """What all tables of the evaluation are made from; see comparison, segments, marginal_hits and figures.

    The evaluated users are those of the test set with at least one target (see TargetRules), cold ones included; `user_ids` and
    `train_rows` are the users who need lists. Memory: per model about 20 bytes per user and k, 2 per target, 8 per item and k.

        evaluator = Evaluator(train, test)
        for batch in lists.batches(als, evaluator.user_ids, evaluator.train_rows, 100, 4096):
            evaluator.add("als", batch)
        comparison(evaluator, baselines=("popular",))
    """

    def __init__(self, train: TrainSet, test: Interactions, ks: tuple[int, ...] = KS, rules: TargetRules = DISCOVERY) -> None:
        self.ks = tuple(sorted(ks))
        self.train, self.targets = train, targets(train, test, rules)
        self.statistics: TrainStatistics = statistics(train)
        unseen = self.targets if rules == DISCOVERY else targets(train, test)
        self.listeners_in_all: NDArray[np.int64] = np.bincount(unseen.items, minlength=test.matrix.shape[1])
        self.listeners_in_all[:len(train.item_ids)] += train.n_listeners
        self.accumulators: dict[str, Accumulator] = {}
        pairs = np.flatnonzero(test.unjudged)
        rows = np.searchsorted(test.matrix.indptr, pairs, side="right") - 1
        self._unjudged = test.user_ids[rows].astype(np.int64) << 32 | test.matrix.indices[pairs]

    @property
    def user_ids(self) -> Int32:
        """The evaluated users, ascending, int32 (n,)."""
        return self.targets.user_ids

    @property
    def train_rows(self) -> Int32:
        """Their rows in the train set, -1 for cold users, int32 (n,)."""
        return self.targets.train_rows

    @property
    def names(self) -> tuple[str, ...]:
        """The models that have been added, in order of their first batch."""
        return tuple(self.accumulators)

    def add(self, name: str, lists: Lists) -> None:
        """Add one batch of the lists of model `name`; users who are not evaluated are left out.

        Raises ValueError when a user comes twice under one name.
        """
        if name not in self.accumulators:
            self.accumulators[name] = empty_accumulator(self.targets, len(self.train.item_ids), len(self.ks))
        if len(self._unjudged):
            lists = lists.without(self._unjudged)
        add(self.accumulators[name], lists, self.targets, self.statistics, self.ks)

    def members(self, users: str = "all") -> NDArray[np.bool_]:
        """True for the evaluated users of a group: "all", "warm" (in the train set) or "cold"; (n,)."""
        warm = self.targets.warm
        return {"all": np.ones(len(warm), bool), "warm": warm, "cold": ~warm}[users]

    def position_of(self, k: int) -> int:
        """The position of `k` among the evaluated lengths. Raises ValueError for another length."""
        if k not in self.ks:
            raise ValueError(f"lists were not evaluated at k = {k}; choose one of {', '.join(map(str, self.ks))}.")
        return self.ks.index(k)

    @cached_property
    def profile_listeners(self) -> Float64:
        """Mean number of listeners of the items that each evaluated user has seen, float64 (n,); NaN for cold users."""
        return profile_means(self.statistics, self.train_rows)

    def relevance(self, name: str) -> dict[str, Float64]:
        """Ranking metrics of every evaluated user, see metrics.relevance; 0 for users without a list."""
        return relevance(self.targets, self.accumulators[name].ranks, self.ks)

    def measures(self, name: str) -> dict[str, Float64]:
        """Measures beyond relevance of every evaluated user: columns "novelty@5", ...; float64 (n,), NaN where there is no list.

        novelty: share of items that the user has not seen. self_information: mean of -log2 of the share of users who have seen the item,
        in bits (Zhou et al. 2010). artist_diversity, genre_diversity: mean over pairs of items of 1 - cosine of their names (Ziegler et
        al. 2005), NaN with fewer than two items. listeners: mean number of listeners of the items.
        """
        kept = self.accumulators[name].measures
        return {f"{measure}@{k}": kept[:, m, j].astype(np.float64) for j, k in enumerate(self.ks) for m, measure in enumerate(MEASURES)}

    def table(self, name: str) -> pd.DataFrame:
        """One row per evaluated user, ascending: user_id, warm, n_targets, n_listed, then all metrics and measures (float64)."""
        lengths = np.maximum(self.accumulators[name].lengths, 0)
        known: Mapping[str, object] = {"user_id": self.user_ids, "warm": self.targets.warm, "n_targets": self.targets.counts,
                                       "n_listed": lengths}
        return pd.DataFrame({**known, **self.relevance(name), **self.measures(name)})
