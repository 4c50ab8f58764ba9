"""The blender: a linear model over the ranks and scores that the models give a candidate, learned on the folds of a backtest.

It has two weights per model where trees have thousands of leaves, so it needs far fewer users. It orders candidates by itself, and the
trees of the ranker start from its scores.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32
from musicrec.ranking.candidates import Candidates
from musicrec.ranking.feature_matrix import FeatureColumns
from musicrec.ranking.training import TrainingTable

Float64 = NDArray[np.float64]
RANK_SCALE, MIN_ZSCORE, MAX_ZSCORE = 20.0, -2.0, 6.0


@dataclass(frozen=True)
class Blender:
    """Log-odds of a hit = intercept + sum over models of two weights x (closeness to the top, zscore), see blender_inputs.

    weights: float64 (2g,), closenesses of all models, then zscores.
    """

    models: tuple[str, ...]
    intercept: float
    weights: Float64

    def scores(self, found: Candidates) -> Float32:
        """One score per candidate, float32 (m,), higher is better; cold users keep the order of rrf."""
        known = np.repeat(found.user_index >= 0, np.diff(found.indptr))
        scores: Float32 = np.where(known, self._score(found.ranks, found.zscores), found.rrf).astype(np.float32)
        return scores

    def scores_of_rows(self, features: Float32, columns: FeatureColumns) -> Float32:
        """The same from rows of a feature matrix with these columns."""
        return self._score(features[:, columns.ranks], features[:, columns.zscores])

    def _score(self, ranks: Float32, zscores: Float32) -> Float32:
        scores: Float32 = _log_odds(ranks, zscores, np.asarray(self.weights, np.float64), self.intercept)
        return scores

    def to_json(self) -> str:
        """As JSON, for the metadata of a saved ranker."""
        return json.dumps({"models": self.models, "intercept": self.intercept, "weights": self.weights.tolist()})

    @staticmethod
    def from_json(text: str) -> "Blender":
        """The blender whose to_json() this is.

        >>> Blender.from_json(Blender(("als",), -3.0, np.array([2.0, 0.5])).to_json()).models
        ('als',)
        """
        stored = json.loads(text)
        return Blender(tuple(stored["models"]), stored["intercept"], np.array(stored["weights"]))


def blender_inputs(ranks: Float32, zscores: Float32) -> Float64:
    """Closeness to the top, 20 / (20 + rank), 0 where absent; then zscores clipped to -2..6, -2 where absent; float64 (m, 2g).

    >>> blender_inputs(np.array([[5, np.nan]], np.float32), np.array([[1.5, np.nan]], np.float32)).tolist()
    [[0.8, 0.0, 1.5, -2.0]]
    """
    closeness = np.nan_to_num(RANK_SCALE / (RANK_SCALE + ranks.astype(np.float64)), nan=0.0)
    return np.concatenate([closeness, np.clip(np.nan_to_num(zscores.astype(np.float64), nan=MIN_ZSCORE), MIN_ZSCORE, MAX_ZSCORE)], axis=1)


@njit(cache=True, nogil=True)
def _log_odds(ranks: Float32, zscores: Float32, weights: Float64, intercept: float) -> Float32:
    """blender_inputs x weights + intercept, float32 (m,), without the matrix of inputs."""
    n_models, scores = ranks.shape[1], np.empty(len(ranks), np.float32)
    for row in range(len(ranks)):
        total = 0.0
        for model in range(n_models):
            rank, zscore = np.float64(ranks[row, model]), np.float64(zscores[row, model])
            if not np.isnan(rank):
                total += RANK_SCALE / (RANK_SCALE + rank) * weights[model]
            bounded = MIN_ZSCORE if np.isnan(zscore) else min(max(zscore, MIN_ZSCORE), MAX_ZSCORE)
            total += bounded * weights[n_models + model]
        scores[row] = total + intercept
    return scores


def fit_blender(tables: Sequence[TrainingTable], c: float = 0.01) -> Blender:
    """Logistic regression over the rows of all folds, with the inverse regularization strength `c` on standardized columns.

    All weights are 1 where all rows are hits or none is.
    """
    # Loading it takes as long as loading all the rest, and lists are made without it.
    from sklearn.linear_model import LogisticRegression

    columns = tables[0].columns
    rows = np.concatenate([blender_inputs(table.features[:, columns.ranks], table.features[:, columns.zscores]) for table in tables])
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread < 1e-9] = 1.0
    target = np.concatenate([table.target for table in tables])
    if target.min() == target.max():
        return Blender(columns.models, 0.0, np.ones(rows.shape[1]))
    model = LogisticRegression(C=c, max_iter=1000).fit((rows - mean) / spread, target)
    weights = model.coef_[0] / spread
    return Blender(columns.models, float(model.intercept_[0] - weights @ mean), weights)
