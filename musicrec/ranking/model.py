"""CatBoost over candidate pairs: trees on top of the weighted fusion, fitted on several label windows, saved as .cbm.

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
from catboost import CatBoost, CatBoostError, Pool, sum_models

from musicrec.errors import ArtifactError, RankingError
from musicrec.files import replaced
from musicrec.matrix import Float32, Int32
from musicrec.ranking.matrices import Features, feature_matrix, feature_names
from musicrec.ranking.pairs import Pairs, top
from musicrec.ranking.training import TrainingTable
from musicrec.ranking.weighted import Weighted, columns, fit_weighted, from_text, said

FUSION_KEY = "weighted_fusion"
# A quarter of CatBoost's default: a fifth less time, the same loss.
BORDERS = 64


@dataclass(frozen=True)
class RankerSettings:
    """How CatBoost is trained. loss: Logloss classifies rows, YetiRank orders the rows of a user. models: seeds whose mean is taken."""

    loss: Literal["Logloss", "YetiRank"] = "Logloss"
    iterations: int = 500
    depth: int = 4
    learning_rate: float = 0.05
    l2_leaf_reg: float = 3.0
    patience: int = 50
    threads: int = 2
    seed: int = 0
    models: int = 3


@dataclass(frozen=True)
class Ranker:
    """The weighted fusion, the trees that correct it, and the names of the columns that they read: a score is the sum of both."""

    model: CatBoost
    names: tuple[str, ...]
    fusion: Weighted

    def scores(self, found: Pairs, features: Features) -> Float32:
        """One score a pair, float32 (m,), higher is better; log-odds of being played with Logloss.

        Users without history keep the order of the plain fusion (their scores are its values): the model learns from known users.
        Raises RankingError when generators or features are not those that the model was trained on.
        """
        self._check(feature_names(found, features))
        known = np.repeat(found.user_index >= 0, np.diff(found.indptr))
        scores = found.fused.copy()
        scores[known] = self.scores_of_rows(feature_matrix(found.where(known), features))
        return scores

    def scores_of_rows(self, matrix: Float32) -> Float32:
        """Scores float32 (m,) of the rows of a feature matrix whose columns are `names`."""
        if len(matrix) == 0:
            return np.empty(0, np.float32)
        with _uninterrupted():
            rows = Pool(matrix)
        trees = np.asarray(self.model.predict(rows, prediction_type="RawFormulaVal"), np.float32)
        scores: Float32 = trees + self.fusion.scores_of_rows(matrix, self.names)
        return scores

    def rank(self, found: Pairs, features: Features, k: int) -> tuple[Int32, Float32]:
        """The k best candidates of each user: items int32 (n, k), scores float32 (n, k), ties by ascending item index."""
        return top(found, self.scores(found, features), k)

    def importance(self) -> dict[str, float]:
        """Percent of the change in the trees' prediction that each feature is behind (PredictionValuesChange), largest first."""
        values = self.model.get_feature_importance(type="PredictionValuesChange")
        order = np.argsort(-values, kind="stable")
        return {self.names[place]: float(values[place]) for place in order}

    def shap(self, table: TrainingTable) -> Float32:
        """SHAP values float32 (m, f) of the rows of `table`: what each feature added to the row's score (Lundberg, Lee, 2017).

        What the weighted fusion adds, less its mean over the rows, counts for the ranks and places of the generators.
        """
        with _uninterrupted():
            rows = Pool(table.features, feature_names=list(self.names))
        values = np.asarray(self.model.get_feature_importance(rows, type="ShapValues"), np.float64)[:, :-1]
        at = [columns(self.names, what, self.fusion.generators) for what in ("rank", "place")]
        told = said(table.features[:, at[0]], table.features[:, at[1]])
        values[:, [*at[0], *at[1]]] += (told - told.mean(axis=0)) * self.fusion.weights
        return values.astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the model to `path` (.cbm); an earlier file stays until the new one is whole.

        Raises StorageError when the disk is full or refuses.
        """
        with replaced(path) as half:
            try:
                self.model.save_model(str(half), format="cbm")
            except CatBoostError as cause:
                # What the system said stands in brackets: "(Error 28: No space left on device) util/system/file.cpp ...".
                raise OSError(str(cause).partition(")")[0].removeprefix("(")) from cause
            try:
                # CatBoost says nothing when the last few kilobytes find no space.
                CatBoost().load_model(str(half), format="cbm")
            except CatBoostError as cause:
                raise OSError(errno.ENOSPC, "No space left on device") from cause

    def _check(self, names: tuple[str, ...]) -> None:
        if names != self.names:
            odd = sorted(set(names) ^ set(self.names))
            what = ", ".join(odd) or "another order"
            raise RankingError(f"the ranker was trained on other features than it is given ({what}); train it again.")


def loaded(path: Path) -> Ranker:
    """The ranker saved at `path`. Raises ArtifactError when the file is missing or is no CatBoost model."""
    model = CatBoost()
    try:
        model.load_model(str(path), format="cbm")
    except CatBoostError as cause:
        raise ArtifactError(f"{path} is not a readable CatBoost model: {str(cause).splitlines()[0]}.") from None
    told = model.get_metadata()
    if FUSION_KEY not in told:
        raise ArtifactError(f"{path} is a CatBoost model but no ranker of this version; train it again.")
    return Ranker(model, tuple(model.feature_names_), from_text(told[FUSION_KEY]))


def fit_ranker(windows: Sequence[TrainingTable], settings: RankerSettings, trees: int | None = None) -> Ranker:
    """The ranker of all label windows, earliest first, with as many trees as given, or as tree_count finds in these windows.

    Raises RankingError when no candidate of any window was played: there is nothing to learn from.
    """
    filled = _filled(windows)
    fusion, table = fit_weighted(filled), _joined(filled)
    count = tree_count(filled, settings) if trees is None else trees
    grown = [_trained(table, fusion, dataclasses.replace(settings, seed=settings.seed + place), max(count, 1))
             for place in range(settings.models)]
    model = sum_models(grown, weights=[1 / len(grown)] * len(grown)) if len(grown) > 1 else grown[0]
    model.get_metadata()[FUSION_KEY] = fusion.text()
    return Ranker(model, filled[0].names, fusion)


def tree_count(windows: Sequence[TrainingTable], settings: RankerSettings) -> int:
    """After how many trees a model of all windows but the latest does best on the latest; windows without played candidates are left out.

    With a single window every fifth user plays the part of the latest window. All trees where one part has nothing played.
    """
    early, late = _parts(_filled(windows))
    if not (early.target.any() and late.target.any()):
        return settings.iterations
    return int(_trained(early, fit_weighted([early]), settings, settings.iterations, late).tree_count_)


def _filled(windows: Sequence[TrainingTable]) -> list[TrainingTable]:
    filled = [table for table in windows if table.target.any()]
    if not filled:
        raise RankingError("no candidate was played in any label window; lengthen label_days or add generators.")
    return filled


def _parts(windows: Sequence[TrainingTable]) -> tuple[TrainingTable, TrainingTable]:
    if len(windows) > 1:
        return _joined(windows[:-1]), windows[-1]
    place = np.unique(windows[0].group, return_inverse=True)[1]
    late = place % 5 == 0
    return _subset(windows[0], ~late), _subset(windows[0], late)


def _subset(table: TrainingTable, keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> TrainingTable:
    return TrainingTable(table.features[keep], table.names, table.target[keep], table.group[keep])


def _joined(tables: Sequence[TrainingTable]) -> TrainingTable:
    # A user of two windows is two groups: his candidates differ between them.
    groups = np.concatenate([table.group * len(tables) + place for place, table in enumerate(tables)])
    return TrainingTable(np.concatenate([table.features for table in tables]), tables[0].names,
                         np.concatenate([table.target for table in tables]), groups)


def _trained(table: TrainingTable, fusion: Weighted, settings: RankerSettings, iterations: int,
             stop_on: TrainingTable | None = None) -> CatBoost:
    model = CatBoost({
        "loss_function": settings.loss, "iterations": iterations, "depth": settings.depth, "learning_rate": settings.learning_rate,
        "l2_leaf_reg": settings.l2_leaf_reg, "random_seed": settings.seed, "thread_count": settings.threads,
        "border_count": BORDERS, "allow_writing_files": False, "verbose": False,
    })
    if stop_on is None:
        model.fit(_pool(table, fusion))
    else:
        model.fit(_pool(table, fusion), eval_set=_pool(stop_on, fusion), early_stopping_rounds=settings.patience)
    return model


def _pool(table: TrainingTable, fusion: Weighted) -> Pool:
    start = fusion.scores_of_rows(table.features, table.names)
    with _uninterrupted():
        return Pool(table.features, table.target, group_id=table.group, feature_names=list(table.names), baseline=start)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    # CatBoost swallows a Ctrl-C that comes while a Pool is made, and then crashes; here it waits until the Pool is there.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    earlier = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
    if came and callable(earlier):
        earlier(*came[0])
