"""Weighted fusion: what each generator says about a pair, weighted by what its word proved worth on label windows.

A linear model has a few weights a generator where trees have thousands of leaves, so it learns from few users what trees need many
for. It is a list of its own, and the score that the trees of the ranker start from.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from musicrec.matrix import Float32
from musicrec.ranking.pairs import Pairs
from musicrec.ranking.training import TrainingTable

Float64 = NDArray[np.float64]
NEAR, ABSENT, FARTHEST = 20.0, -2.0, 6.0


@dataclass(frozen=True)
class Weighted:
    """Log-odds of being played = intercept + sum over generators of two weights x (closeness, place), see said.

    weights: float64 (2g,), closenesses of all generators, then places.
    """

    generators: tuple[str, ...]
    intercept: float
    weights: Float64

    def scores(self, found: Pairs) -> Float32:
        """One score a pair, float32 (m,), higher is better; users without history keep the order of the plain fusion."""
        known = np.repeat(found.user_index >= 0, np.diff(found.indptr))
        scores: Float32 = np.where(known, self._scored(found.ranks, found.places), found.fused).astype(np.float32)
        return scores

    def scores_of_rows(self, features: Float32, names: tuple[str, ...]) -> Float32:
        """The same from rows of a feature matrix with these columns."""
        return self._scored(*(features[:, columns(names, what, self.generators)] for what in ("rank", "place")))

    def _scored(self, ranks: Float32, places: Float32) -> Float32:
        scores: Float32 = (said(ranks, places) @ self.weights + self.intercept).astype(np.float32)
        return scores

    def text(self) -> str:
        """As JSON, for the metadata of a model."""
        return json.dumps({"generators": self.generators, "intercept": self.intercept, "weights": self.weights.tolist()})


def from_text(text: str) -> Weighted:
    """What Weighted.text wrote.

    >>> from_text(Weighted(("als",), -3.0, np.array([2.0, 0.5])).text()).generators
    ('als',)
    """
    told = json.loads(text)
    return Weighted(tuple(told["generators"]), told["intercept"], np.array(told["weights"]))


def columns(names: tuple[str, ...], what: str, generators: tuple[str, ...]) -> list[int]:
    """Where "als.rank", ... of all generators stand among the names of a feature matrix; what: "rank" or "place"."""
    return [names.index(f"{name}.{what}") for name in generators]


def said(ranks: Float32, places: Float32) -> Float64:
    """Closeness to the top, 20 / (20 + rank), 0 where not offered; then places between -2 (also where not offered) and 6; (m, 2g).

    >>> said(np.array([[5, np.nan]], np.float32), np.array([[1.5, np.nan]], np.float32)).tolist()
    [[0.8, 0.0, 1.5, -2.0]]
    """
    closeness = np.nan_to_num(NEAR / (NEAR + ranks.astype(np.float64)), nan=0.0)
    return np.concatenate([closeness, np.clip(np.nan_to_num(places.astype(np.float64), nan=ABSENT), ABSENT, FARTHEST)], axis=1)


def fit_weighted(windows: Sequence[TrainingTable], strength: float = 0.01) -> Weighted:
    """The weights by logistic regression over the rows of all windows, with a ridge of 1 / strength on standardised columns.

    Where all rows are of one kind there is nothing to weigh: all weights are equal then.
    """
    names = windows[0].names
    generators = tuple(name.removesuffix(".rank") for name in names if name.endswith(".rank"))
    at = [columns(names, what, generators) for what in ("rank", "place")]
    rows = np.concatenate([said(table.features[:, at[0]], table.features[:, at[1]]) for table in windows])
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    spread[spread < 1e-9] = 1.0
    target = np.concatenate([table.target for table in windows])
    if target.min() == target.max():
        return Weighted(generators, 0.0, np.ones(rows.shape[1]))
    model = LogisticRegression(C=strength, max_iter=1000).fit((rows - mean) / spread, target)
    weights = model.coef_[0] / spread
    return Weighted(generators, float(model.intercept_[0] - weights @ mean), weights)
