"""Two-stage recommendation: models recommend candidates, features describe them, a ranker orders them, constraints limit the lists."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from musicrec.dataset import Float32, Int32, Interactions, TrainSet
from musicrec.errors import RankingError
from musicrec.features import FeatureGroup
from musicrec.lists import Lists, empty
from musicrec.models import FittedModel, Model, WarmStarting
from musicrec.ranking import (
    Candidates,
    Constraints,
    FeatureColumns,
    Features,
    ModelLists,
    Ranker,
    TrainingTable,
    best_candidates,
    candidates,
    columns,
    constrained,
    feature_matrix,
    first_k,
    lists_of_models,
    training_table,
)
from musicrec.recommender import saving
from musicrec.recommender.tables import CandidateTable, Recommendations

RANKED, BLENDED, RRF = "ranked", "blended", "rrf"
Measured = Callable[[str], AbstractContextManager[None]]


def not_measured(_: str) -> AbstractContextManager[None]:
    """A Measured that measures nothing."""
    return nullcontext()


@dataclass(frozen=True)
class Fitted:
    """What a recommender has learned from one train set."""

    train: TrainSet
    models: Mapping[str, FittedModel]
    features: Features


@dataclass(frozen=True)
class TwoStageRecommender:
    """Models that recommend candidates, feature groups that describe them, and a ranker that orders them.

    models, features: settings by name. baselines: models that are compared and may be published, but recommend no candidates.
    ranker: learned on the folds of a backtest; without one there are no orders "ranked" and "blended".
    order: how `recommend` orders: "ranked", "blended", "rrf", or the name of a model or baseline, whose own list is then recommended.
    candidates_per_model: items that each model recommends to a user. max_candidates: the most candidates of a user, those with the
    highest rrf. constraints hold for `order` and for all orders of candidates, not for the lists of the other models.
    state: what `fit` has learned, None before.
    """

    models: Mapping[str, Model]
    features: Mapping[str, FeatureGroup] = field(default_factory=dict)
    baselines: Mapping[str, Model] = field(default_factory=dict)
    ranker: Ranker | None = None
    constraints: Constraints = field(default_factory=Constraints)
    order: str = RRF
    candidates_per_model: int = 100
    max_candidates: int = 300
    state: Fitted | None = field(default=None, repr=False)

    def fit(self, train: TrainSet, warm_start: Mapping[str, Model] | None = None,
            measured: Measured = not_measured) -> "TwoStageRecommender":
        """A copy whose models and features are fitted to `train` and to nothing else.

        warm_start: models that start from an earlier part of the same log, see warm_starts. measured: called with the name of each model
        and with "features", and entered as a context while they are fitted. Cost and memory: those of the models together.
        """
        models = {}
        for name, model in {**self.baselines, **self.models, **(warm_start or {})}.items():
            with measured(name):
                models[name] = model.fit(train)
        with measured("features"):
            features = {name: group.fit(train) for name, group in self.features.items()}
        return dataclasses.replace(self, state=Fitted(train, models, features))

    @property
    def fitted(self) -> Fitted:
        """What was learned. Raises RankingError before `fit`."""
        if self.state is None:
            raise RankingError("the recommender is not fitted yet; call fit(train) first and use what it returns.")
        return self.state

    @property
    def unfitted(self) -> "TwoStageRecommender":
        """The same before `fit`."""
        return dataclasses.replace(self, state=None)

    @property
    def steps(self) -> int:
        """The number of parts that `fit` measures."""
        return len({**self.baselines, **self.models}) + 1

    @property
    def warm_starts(self) -> dict[str, Model]:
        """The models that can start from what was learned here when they are fitted to a later train set, by name."""
        return {name: one.warm_start() for name, one in self.fitted.models.items() if isinstance(one, WarmStarting)}

    @property
    def orders(self) -> tuple[str, ...]:
        """The possible values of `order`: baselines, models, "rrf", and with a ranker "blended" and "ranked"."""
        return (*self.baselines, *self.models, RRF, *((BLENDED, RANKED) if self.ranker else ()))

    @property
    def columns(self) -> FeatureColumns:
        """The columns of the feature matrix."""
        return columns(tuple(self.models), self.features)  # type: ignore[arg-type]  # settings name the same columns as what is fitted

    def with_order(self, order: str) -> "TwoStageRecommender":
        """The same with another order. Raises RankingError for one that it does not have."""
        self._check(order)
        return dataclasses.replace(self, order=order)

    def with_ranker(self, ranker: Ranker | None) -> "TwoStageRecommender":
        """The same with another ranker."""
        return dataclasses.replace(self, ranker=ranker)

    def only(self, names: Collection[str]) -> "TwoStageRecommender":
        """The same with these fitted models alone, without features and ranker, so that the memory of the rest can be freed.

        The order becomes "rrf" where the one before is not available.
        """
        state = self.fitted
        kept = Fitted(state.train, {name: one for name, one in state.models.items() if name in names}, {})
        models, baselines = ({name: one for name, one in of.items() if name in names} for of in (self.models, self.baselines))
        order = self.order if self.order in (*models, *baselines) else RRF
        return dataclasses.replace(self, models=models, baselines=baselines, features={}, ranker=None, order=order, state=kept)

    def candidates(self, user_ids: ArrayLike) -> CandidateTable:
        """The candidates of these users with all features and the score by `order`, or by rrf where the order is that of a model.

        Unknown users are cold users. Memory: users x max_candidates x columns x 4 bytes.
        """
        fitted, users = self.fitted, int32_ids(user_ids)
        found = self._candidates(fitted.train.user_index(users))
        scores = self._scores(found, RRF if self.order in fitted.models else self.order)
        items = fitted.train.item_ids[found.item_index]
        return CandidateTable(found, users, items, scores, feature_matrix(found, fitted.features), columns(found.models, fitted.features))

    def recommend(self, user_ids: ArrayLike, k: int = 10, batch_users: int = 4096) -> Recommendations:
        """The k best items of each user in `order`, none of them seen; unknown users are cold users. `batch_users` at a time."""
        ids, users = self.fitted.train.item_ids, int32_ids(user_ids)
        items, scores = empty(len(users), k)
        for start in range(0, len(users), batch_users):
            batch = slice(start, start + batch_users)
            lists = self.lists(users[batch], k, [self.order])[self.order]
            items[batch], scores[batch] = np.where(lists.items >= 0, ids[lists.items], -1), lists.scores
        return Recommendations(users, items, scores)

    def contributions(self, user_ids: ArrayLike, k: int, places: int = 10, parts: int = 4) -> pd.DataFrame:
        """Why the first `places` items of the lists of k items are there, in the order "ranked": the `parts` that add most to each score.

        Columns user_id, item_id, rank, part (a model, "agreement" between models, or a feature group), value: the sum of its SHAP values in
        log-odds, the largest sizes first. Cold users have no rows. Raises RankingError without a ranker. Memory as that of candidates.
        """
        if self.ranker is None:
            raise RankingError("the recommender has no ranker whose scores could be explained; learn one on a backtest.")
        train, ids = self.fitted.train, int32_ids(user_ids)
        ids = ids[train.user_index(ids) >= 0]
        found = self._candidates(train.user_index(ids))
        matrix, starts, n = feature_matrix(found, self.fitted.features), self.columns.parts, len(train.item_ids)
        best = best_candidates(found, self.ranker.scores_of_rows(matrix), self._pool(k))
        items = self._constrained(RANKED, best, ids, k)[0][:, :places]
        user, place = np.nonzero(items >= 0)
        keys = np.repeat(np.arange(len(ids)), np.diff(found.indptr)) * n + found.item_index
        rows = keys.searchsorted(user * n + items[user, place])
        added = np.add.reduceat(self.ranker.shap(matrix, rows), list(starts.values()), axis=1) if len(rows) else np.empty((0, len(starts)))
        order = np.argsort(-np.abs(added), axis=1, kind="stable")[:, :parts]
        columns = {"user_id": ids[user], "item_id": train.item_ids[found.item_index[rows]], "rank": (place + 1).astype(np.int32)}
        return pd.DataFrame({name: values.repeat(order.shape[1]) for name, values in columns.items()}).assign(
            part=np.array(list(starts))[order.ravel()], value=np.take_along_axis(added, order, axis=1).ravel())

    def lists(self, user_ids: Int32, k: int, orders: Collection[str] | None = None) -> dict[str, Lists]:
        """The lists of these users in several orders (all when None) from one set of candidates; items as indices of the train set.

        Raises RankingError for an order that it does not have.
        """
        state, wanted = self.fitted, self.orders if orders is None else tuple(orders)
        for order in wanted:
            self._check(order)
        rows = state.train.user_index(user_ids)
        found = self._lists(rows, self._pool(k), wanted)
        # Constraints apply to the lists of this recommender, not to those of single models.
        free = set(state.models) - {self.order}
        return {order: Lists(user_ids, *(first_k(found, k)[order] if order in free else
                                         self._constrained(order, found[order], user_ids, k))) for order in wanted}

    def training_table(self, user_ids: Int32, test: Interactions, negatives: int, seed: int = 0) -> TrainingTable:
        """The rows of these users for the ranker, see ranking.training_table; `test` holds their plays after the train set."""
        found = self._candidates(self.fitted.train.user_index(user_ids))
        return training_table(found, user_ids, test, self.fitted.features, negatives, seed)

    def batch_users(self, memory: int) -> int:
        """The number of users whose candidates fit into so many bytes, from 64 to 65,536.

        A candidate takes its ranks and scores by every model, also while lists are united, in all less than 12 bytes per column of the
        feature matrix, which itself is made for a few users at a time.
        """
        bytes_per_user = 12 * max(self.max_candidates, 1) * len(self.columns.names)
        return int(np.clip(memory // bytes_per_user, 64, 1 << 16))

    def save(self, folder: Path | str) -> None:
        """Write .npy files, recommender.json and ranker.cbm into `folder`; an earlier folder stays until the new one is complete.

        Raises RankingError before fit and for models that are in no registry, StorageError when the folder cannot be written.
        """
        saving.save(self, Path(folder))

    @staticmethod
    def load(folder: Path | str) -> "TwoStageRecommender":
        """The recommender saved in `folder`, with memory-mapped arrays; its recommendations are bit-identical to those before saving.

        Raises ArtifactError when something is missing, damaged or of another version.
        """
        return saving.load(Path(folder))

    def _candidates(self, rows: Int32) -> Candidates:
        models = {name: self.fitted.models[name] for name in self.models}
        return candidates(lists_of_models(models, rows, self.candidates_per_model), rows, self.max_candidates)

    def _lists(self, rows: Int32, k: int, orders: tuple[str, ...]) -> ModelLists:
        fitted = self.fitted.models
        of_candidates = [order for order in orders if order not in fitted]
        needed = {name: one for name, one in fitted.items() if name in orders or (of_candidates and name in self.models)}
        lists = lists_of_models(needed, rows, max(self.candidates_per_model if of_candidates else 0, k))
        if not of_candidates:
            return lists
        first_stage = first_k({name: lists[name] for name in self.models}, self.candidates_per_model)
        found = candidates(first_stage, rows, self.max_candidates)
        return first_k(lists, k) | {order: best_candidates(found, self._scores(found, order), k) for order in of_candidates}

    def _pool(self, k: int) -> int:
        """How many items a list needs before constraints choose k of them."""
        return k * self.constraints.pool if self.constraints.any else k

    def _constrained(self, order: str, lists: tuple[Int32, Float32], user_ids: Int32, k: int) -> tuple[Int32, Float32]:
        return constrained(*lists, user_ids, k, self.constraints, self.fitted.train, log_odds=order in (BLENDED, RANKED))

    def _scores(self, found: Candidates, order: str) -> Float32:
        self._check(order)
        if order == RRF or self.ranker is None:
            return found.rrf
        return self.ranker.blender.scores(found) if order == BLENDED else self.ranker.scores(found, self.fitted.features)

    def _check(self, order: str) -> None:
        if order not in self.orders:
            why = ", which needs a ranker" if order in (BLENDED, RANKED) else ""
            raise RankingError(f"the recommender has no order {order!r}{why}; choose one of {', '.join(self.orders)}.")


def int32_ids(values: ArrayLike) -> Int32:
    """User ids as int32 (n,). Raises RankingError for values that are not integers or do not fit."""
    ids, bounds = np.atleast_1d(np.asarray(values)), np.iinfo(np.int32)
    if ids.size and (ids.dtype.kind not in "iu" or ids.min() < bounds.min or ids.max() > bounds.max):
        raise RankingError(f"user ids must be integers between {bounds.min} and {bounds.max}.")
    return ids.astype(np.int32)


def batches(user_ids: Int32, size: int) -> Iterator[Int32]:
    """The users in their order, `size` at a time.

    >>> [len(part) for part in batches(np.arange(5, dtype=np.int32), 2)]
    [2, 2, 1]
    """
    for start in range(0, len(user_ids), size):
        yield user_ids[start:start + size]
