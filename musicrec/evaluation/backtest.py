"""The backtest, forward in time: each fold learns from the plays before it, its ranker and blender from the earlier folds.

Rolling-origin evaluation (Tashman, "Out-of-sample tests of forecasting accuracy", 2000). The first fold has no earlier ones, so it compares
models and their reciprocal rank fusion only; the ranker of the second fold learns from its rows, and so on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from musicrec.dataset import Dataset, Fold, Interactions, TrainSet, moment, of_users, train_set_of_users
from musicrec.errors import SplitError
from musicrec.evaluation.comparison import by_user
from musicrec.evaluation.evaluator import Evaluator
from musicrec.evaluation.promotion import Decision, decision
from musicrec.models import Model
from musicrec.ranking import Ranker, RankerSettings, TrainingTable, fit_ranker, learnable, sampled_users, training_users
from musicrec.recommender import BLENDED, RANKED, RRF, TwoStageRecommender
from musicrec.recommender.two_stage import Measured, batches, not_measured


@dataclass(frozen=True)
class FoldResult:
    """The evaluator of one fold with the lists of all orders, the rows that later rankers learn from, and the size of its test set."""

    fold: Fold
    evaluator: Evaluator
    training: TrainingTable
    n_users: int
    n_interactions: int


@dataclass(frozen=True)
class BacktestResult:
    """The results of all folds, earliest first, and the models that can start from the latest fold when they are fitted again."""

    folds: Sequence[FoldResult]
    warm_starts: Mapping[str, Model]

    @property
    def training(self) -> list[TrainingTable]:
        """The training tables of the folds, earliest first."""
        return [one.training for one in self.folds]

    @property
    def evaluators(self) -> list[Evaluator]:
        """The evaluators of the folds that compare all orders, or of all folds where none does; without those that have no users."""
        filled = [one.evaluator for one in self.folds if len(one.evaluator.user_ids)]
        return [one for one in filled if RANKED in one.names] or filled

    def table(self) -> pd.DataFrame:
        """One row per fold: start, end, users and interactions of its test set, rows and hits of its training table, and whether it has a
        ranker of earlier folds.
        """
        rows = [(moment(one.fold.start), moment(one.fold.end), one.n_users, one.n_interactions, len(one.training),
                 int(one.training.target.sum()), RANKED in one.evaluator.names) for one in self.folds]
        return pd.DataFrame(rows, columns=["start", "end", "users", "interactions", "training rows", "hits", "ranked"])

    def decision(self, metric: str = "ndcg@10", samples: int = 1000, seed: int = 0) -> Decision:
        """The decision of the promotion policy over the warm users of all folds, see promotion.decision."""
        tables = by_user(self.evaluators, "warm")
        singles = [name for name in tables if name not in (RANKED, BLENDED, RRF)]
        best = max(singles, key=lambda name: float(tables[name][metric].mean()) if len(tables[name]) else 0.0, default=None)
        compared = [name for name in (RANKED, BLENDED, RRF, best) if name in tables]
        return decision({name: tables[name] for name in compared}, RRF, metric, samples, seed, undervalued=RANKED)

    def ranker(self, settings: RankerSettings) -> Ranker | None:
        """The ranker of all folds; None where no candidate of any fold was played."""
        return fit_ranker(self.training, settings) if learnable(self.training) else None


@dataclass(frozen=True)
class Backtest:
    """Settings of a backtest.

    folds: earliest first. k: length of the lists. Over all folds together: max_users, the most evaluated users; max_training_users, the
    most users whose rows the ranker learns from; max_training_pairs, the most pairs of theirs in the test sets. negatives: candidates not
    played that are kept for each played one. batch_memory: bytes for the candidates of one batch of users. ranker: how the rankers of the
    folds are trained.
    """

    folds: Sequence[Fold]
    k: int = 100
    max_users: int = 8000
    max_training_users: int = 50_000
    max_training_pairs: int = 100_000
    negatives: int = 10
    seed: int = 0
    batch_memory: int = 1 << 30
    ranker: RankerSettings = field(default_factory=RankerSettings)

    def run(self, dataset: Dataset, recommender: TwoStageRecommender, measured: Measured = not_measured) -> BacktestResult:
        """Every fold in order of time. Folds without plays, or without plays before them, are left out.

        measured: called with the name of each step, and entered as a context during it; a fold has `steps` of them.
        """
        results: list[FoldResult] = []
        warm_starts: Mapping[str, Model] = {}
        for fold in self.folds:
            with measured("read"):
                split = _split(dataset, fold)
            if split is not None:
                result, warm_starts = self._fold(fold, *split, recommender, warm_starts, [one.training for one in results], measured)
                results.append(result)
            # The train set is freed before the next one is read.
            del split
        return BacktestResult(results, warm_starts)

    @staticmethod
    def steps(recommender: TwoStageRecommender) -> int:
        """The number of steps of a fold: those of the fit, and four more."""
        return recommender.steps + 4

    def training_table(self, fitted: TwoStageRecommender, test: Interactions, folds: int) -> TrainingTable:
        """The rows of one of so many folds for the ranker."""
        users = training_users(test, max(self.max_training_users // folds, 1), self.max_training_pairs // folds, self.seed)
        return fitted.training_table(users, test, self.negatives, self.seed)

    def _fold(self, fold: Fold, train: TrainSet, test: Interactions, recommender: TwoStageRecommender, warm_starts: Mapping[str, Model],
              earlier: Sequence[TrainingTable], measured: Measured) -> tuple[FoldResult, Mapping[str, Model]]:
        fitted = recommender.fit(train, warm_starts, measured)
        with measured("ranker of earlier folds"):
            fitted = fitted.with_ranker(fit_ranker(earlier, self.ranker) if learnable(earlier) else None)
        with measured("evaluate"):
            evaluator = self._evaluated(fitted, test)
        with measured("training rows"):
            training = self.training_table(fitted, test, len(self.folds))
        return FoldResult(fold, evaluator, training, len(test.user_ids), test.matrix.nnz), fitted.warm_starts

    def _evaluated(self, fitted: TwoStageRecommender, test: Interactions) -> Evaluator:
        train = fitted.fitted.train
        warm = of_users(test, train.user_ids)
        chosen = of_users(warm, sampled_users(warm, max(self.max_users // len(self.folds), 1), self.seed))
        # Only relevance is read from this evaluator, so the plays of these users suffice; evaluators of all folds stay in memory.
        evaluator = Evaluator(train_set_of_users(train, chosen.user_ids), chosen)
        add_orders(evaluator, fitted, self.k, self.batch_memory)
        return evaluator


def add_orders(evaluator: Evaluator, fitted: TwoStageRecommender, k: int, batch_memory: int) -> None:
    """Add the lists of all orders of `fitted` for all evaluated users, `batch_memory` bytes of candidates at a time."""
    for users in batches(evaluator.user_ids, fitted.batch_users(batch_memory)):
        for name, lists in fitted.lists(users, k).items():
            evaluator.add(name, lists)


def _split(dataset: Dataset, fold: Fold) -> tuple[TrainSet, Interactions] | None:
    try:
        train, test = dataset.split(fold.start, fold.end)
    except SplitError:
        return None
    return (train, test) if len(test.user_ids) else None
