"""CatBoost over candidates: trees on top of the blender, fitted on the folds of a backtest, saved as .cbm.

Prokhorenkova et al., "CatBoost: unbiased boosting with categorical features", NeurIPS 2018; YetiRank: Gulin, Kuralenok, Pavlov, 2011.
"""

import dataclasses
import errno
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import numpy as np
import pandas as pd
from catboost import CatBoost, CatBoostError, Pool, sum_models
from numpy.typing import NDArray

from musicrec.dataset import Float32
from musicrec.errors import ArtifactError, RankingError
from musicrec.files import replaced
from musicrec.models.top_k import n_threads
from musicrec.ranking.blender import Blender, blender_inputs, fit_blender
from musicrec.ranking.candidates import Candidates
from musicrec.ranking.feature_matrix import FeatureColumns, Features, columns, feature_matrix
from musicrec.ranking.training import TrainingTable, concatenated

BLENDER, COLUMNS = "blender", "columns"
# A quarter of CatBoost's default: training takes a fifth less time and reaches the same loss.
BORDERS = 64
# Lists of all users take time in proportion to the trees. Where many are needed, a mean of several rankers brings less than more trees.
TREES_TOGETHER = 600
# The feature matrix of so many users is small enough for memory that was freed a moment ago to be used again.
USERS_PER_BLOCK = 256


@dataclass(frozen=True)
class RankerSettings:
    """How CatBoost is trained.

    loss: Logloss classifies rows, YetiRank orders the rows of a user. iterations: the most trees; their number is chosen on the latest fold
    by early stopping after early_stopping_rounds. n_seeds: models with different seeds, whose predictions are averaged; fewer, at least
    one, where they would have more than TREES_TOGETHER trees.
    """

    loss: Literal["Logloss", "YetiRank"] = "Logloss"
    iterations: int = 2000
    depth: int = 4
    learning_rate: float = 0.05
    l2_leaf_reg: float = 3.0
    early_stopping_rounds: int = 50
    threads: int = 2
    seed: int = 0
    n_seeds: int = 3


@dataclass(frozen=True)
class Ranker:
    """The blender, the trees that correct it, and the columns of their features: a score is the sum of both."""

    trees: CatBoost
    columns: FeatureColumns
    blender: Blender

    def scores(self, found: Candidates, features: Features) -> Float32:
        """One score per candidate, float32 (m,), higher is better; log-odds of a hit with Logloss.

        Cold users keep the order of rrf (their scores are its values), because the trees learn from known users.
        Raises RankingError when models or features are not those that the ranker was trained on.
        """
        self._check(columns(found.models, features))
        scores, n = found.rrf.copy(), len(found.user_index)
        for start in range(0, n, USERS_PER_BLOCK):
            stop = min(start + USERS_PER_BLOCK, n)
            part, rows = found.of_users(start, stop), slice(found.indptr[start], found.indptr[stop])
            known = part.user_of_candidate >= 0
            scores[rows][known] = self.scores_of_rows(feature_matrix(part.where(known), features))
        return scores

    def scores_of_rows(self, matrix: Float32) -> Float32:
        """Scores float32 (m,) of the rows of a feature matrix with `columns`."""
        if len(matrix) == 0:
            return np.empty(0, np.float32)
        with _uninterrupted():
            rows = Pool(matrix)
        corrections = np.asarray(self.trees.predict(rows, prediction_type="RawFormulaVal", thread_count=n_threads()), np.float32)
        scores: Float32 = corrections + self.blender.scores_of_rows(matrix, self.columns)
        return scores

    def importance(self) -> "pd.Series[float]":
        """Share of each feature in the change of the trees' prediction, in percent (PredictionValuesChange), largest first."""
        values = self.trees.get_feature_importance(type="PredictionValuesChange")
        return pd.Series(values, index=list(self.columns.names)).sort_values(ascending=False, kind="stable")

    def shap(self, table: TrainingTable | Float32, of: NDArray[np.intp] | slice = slice(None)) -> Float32:
        """SHAP values float32 (m, f) of these rows of a table or feature matrix: what each feature adds to the score (Lundberg, Lee, 2017).

        The blender's part, less its mean over all rows, belongs to the ranks and zscores of the models.
        """
        matrix = table.features if isinstance(table, TrainingTable) else table
        with _uninterrupted():
            rows = Pool(matrix[of])
        values = np.asarray(self.trees.get_feature_importance(rows, type="ShapValues"), np.float64)[:, :-1]
        ranks, zscores = self.columns.ranks, self.columns.zscores
        inputs = blender_inputs(matrix[:, ranks], matrix[:, zscores])
        added = (inputs[of] - inputs.mean(axis=0)) * self.blender.weights
        values[:, ranks] += added[:, :len(self.columns.models)]
        values[:, zscores] += added[:, len(self.columns.models):]
        return values.astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the ranker to `path` (.cbm); an earlier file stays until the new one is complete.

        Raises StorageError when the file cannot be written.
        """
        with replaced(path) as partial:
            try:
                self.trees.save_model(str(partial), format="cbm")
            except CatBoostError as cause:
                # The system's message is in parentheses: "(Error 28: No space left on device) util/system/file.cpp ...".
                raise OSError(str(cause).partition(")")[0].removeprefix("(")) from cause
            try:
                # CatBoost reports no error when the last few kilobytes find no space.
                CatBoost().load_model(str(partial), format="cbm")
            except CatBoostError as cause:
                raise OSError(errno.ENOSPC, "No space left on device") from cause

    def _check(self, given: FeatureColumns) -> None:
        if given.names != self.columns.names:
            difference = ", ".join(sorted(set(given.names) ^ set(self.columns.names))) or "another order"
            raise RankingError(f"the ranker was trained on other features than it is given ({difference}); train it again.")


def load_ranker(path: Path) -> Ranker:
    """The ranker saved at `path`. Raises ArtifactError when the file is missing or is not a ranker."""
    trees = CatBoost()
    try:
        trees.load_model(str(path), format="cbm")
    except CatBoostError as cause:
        raise ArtifactError(f"{path} is not a readable CatBoost model: {str(cause).splitlines()[0]}.") from None
    metadata = trees.get_metadata()
    if BLENDER not in metadata or COLUMNS not in metadata:
        raise ArtifactError(f"{path} is a CatBoost model but no ranker of this version; train it again.")
    return Ranker(trees, FeatureColumns.from_json(metadata[COLUMNS]), Blender.from_json(metadata[BLENDER]))


def fit_ranker(tables: Sequence[TrainingTable], settings: RankerSettings, trees: int | None = None) -> Ranker:
    """The ranker of all folds, earliest first, with as many trees as given, or as tree_count finds in these folds.

    Raises RankingError when no candidate of any fold was played.
    """
    filled = learnable(tables)
    if not filled:
        raise RankingError("no candidate was played in any fold, so there is nothing to learn an order from.")
    blender, table = fit_blender(filled), concatenated(filled)
    count = max(tree_count(filled, settings) if trees is None else trees, 1)
    models = [_trained(table, blender, dataclasses.replace(settings, seed=settings.seed + more), count)
              for more in range(min(settings.n_seeds, max(TREES_TOGETHER // count, 1)))]
    model = sum_models(models, weights=[1 / len(models)] * len(models)) if len(models) > 1 else models[0]
    metadata = model.get_metadata()
    metadata[BLENDER], metadata[COLUMNS] = blender.to_json(), filled[0].columns.to_json()
    return Ranker(model, filled[0].columns, blender)


def learnable(tables: Sequence[TrainingTable]) -> list[TrainingTable]:
    """The tables from which an order can be learned: some of their candidates were played, and some were not."""
    return [table for table in tables if table.learnable]


def tree_count(tables: Sequence[TrainingTable], settings: RankerSettings) -> int:
    """The number of trees with which a ranker of all folds but the latest is best on the latest. Folds without an order to learn (see
    learnable) are left out.

    With a single fold every fifth user is held out instead. settings.iterations where one of the two parts is not learnable.
    """
    stopped = _stopped_early(tables, settings)
    return settings.iterations if stopped is None else int(stopped.tree_count_)


def learning_curve(tables: Sequence[TrainingTable], settings: RankerSettings) -> pd.DataFrame:
    """trees, train, validation: the loss (or PFound with YetiRank, where more is better) by number of trees; best: the row of tree_count.

    No rows where tree_count has nothing to learn from or to stop on.
    """
    stopped = _stopped_early(tables, settings)
    if stopped is None:
        return pd.DataFrame(columns=["trees", "train", "validation", "best"])
    train, validation = (next(iter(stopped.get_evals_result()[part].values())) for part in ("learn", "validation"))
    trees = np.arange(1, len(train) + 1)
    return pd.DataFrame({"trees": trees, "train": train, "validation": validation, "best": trees == stopped.tree_count_})


def _stopped_early(tables: Sequence[TrainingTable], settings: RankerSettings) -> CatBoost | None:
    filled = learnable(tables)
    if not filled:
        return None
    early, late = _train_and_validation(filled)
    if not (early.learnable and late.learnable):
        return None
    return _trained(early, fit_blender([early]), settings, settings.iterations, late)


def _train_and_validation(tables: Sequence[TrainingTable]) -> tuple[TrainingTable, TrainingTable]:
    if len(tables) > 1:
        return concatenated(tables[:-1]), tables[-1]
    late = np.unique(tables[0].group, return_inverse=True)[1] % 5 == 0
    return tables[0].where(~late), tables[0].where(late)


def _trained(table: TrainingTable, blender: Blender, settings: RankerSettings, iterations: int,
             stop_on: TrainingTable | None = None) -> CatBoost:
    model = CatBoost({
        "loss_function": settings.loss, "iterations": iterations, "depth": settings.depth, "learning_rate": settings.learning_rate,
        "l2_leaf_reg": settings.l2_leaf_reg, "random_seed": settings.seed, "thread_count": settings.threads,
        "border_count": BORDERS, "allow_writing_files": False, "verbose": False,
    })
    if stop_on is None:
        model.fit(_pool(table, blender))
    else:
        model.fit(_pool(table, blender), eval_set=_pool(stop_on, blender), early_stopping_rounds=settings.early_stopping_rounds)
    return model


def _pool(table: TrainingTable, blender: Blender) -> Pool:
    baseline = blender.scores_of_rows(table.features, table.columns)
    with _uninterrupted():
        return Pool(table.features, table.target, group_id=table.group, feature_names=list(table.columns.names), baseline=baseline)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    # CatBoost crashes after a Ctrl-C while a Pool is made; here the signal waits until the Pool exists.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if received and callable(handler):
        handler(*received[0])
