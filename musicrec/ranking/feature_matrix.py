"""The feature matrix of candidates: scores and ranks by the models, then the values of the feature groups."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32
from musicrec.ranking.candidates import Candidates


class FittedFeatures(Protocol):
    """A fitted feature group: values float32 (m, f) of m (user, item) pairs, one column per name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        ...

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """One row per pair."""
        ...


Features = Mapping[str, FittedFeatures]
AGREEMENT = ("n_models", "rrf", "rrf_rank", "best_rank")


@dataclass(frozen=True)
class FeatureColumns:
    """Which column of a feature matrix holds what: three per model (score, rank, zscore), AGREEMENT, then those of the feature groups.

    >>> FeatureColumns(("als",), {"item_age": ("item_age",)}).names
    ('als_score', 'als_rank', 'als_zscore', 'n_models', 'rrf', 'rrf_rank', 'best_rank', 'item_age')
    """

    models: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        of_models = (f"{name}_{what}" for name in self.models for what in ("score", "rank", "zscore"))
        return (*of_models, *AGREEMENT, *(name for names in self.groups.values() for name in names))

    @property
    def parts(self) -> dict[str, int]:
        """The first column of each model, of "agreement" and of each feature group."""
        sizes = {**dict.fromkeys(self.models, 3), "agreement": len(AGREEMENT), **{name: len(names) for name, names in self.groups.items()}}
        return dict(zip(sizes, accumulate(sizes.values(), initial=0)))

    @property
    def ranks(self) -> slice:
        """Where the ranks by each model are."""
        return slice(1, 3 * len(self.models), 3)

    @property
    def zscores(self) -> slice:
        """Where the zscores of each model are."""
        return slice(2, 3 * len(self.models), 3)

    def without(self, group: str) -> tuple["FeatureColumns", NDArray[np.intp]]:
        """The columns without those of a feature group, and the positions of the remaining ones among these columns."""
        remaining = FeatureColumns(self.models, {name: names for name, names in self.groups.items() if name != group})
        kept = set(remaining.names)
        return remaining, np.array([position for position, name in enumerate(self.names) if name in kept])

    def to_json(self) -> str:
        """As JSON, for the metadata of a saved ranker."""
        return json.dumps({"models": self.models, "groups": dict(self.groups)})

    @staticmethod
    def from_json(text: str) -> "FeatureColumns":
        """The columns whose to_json() this is.

        >>> one = FeatureColumns(("als",), {"item_age": ("item_age",)})
        >>> FeatureColumns.from_json(one.to_json()) == one
        True
        """
        stored = json.loads(text)
        return FeatureColumns(tuple(stored["models"]), {name: tuple(names) for name, names in stored["groups"].items()})


def columns(models: tuple[str, ...], features: Features) -> FeatureColumns:
    """The columns of feature_matrix for these models and fitted feature groups."""
    return FeatureColumns(models, {name: fitted.names for name, fitted in features.items()})


def feature_matrix(found: Candidates, features: Features) -> Float32:
    """One row per candidate, float32 (m, f), with the columns that `columns` names. NaN where something does not apply.

    Each column is contiguous, which CatBoost reads without a copy.
    """
    matrix = np.empty((len(columns(found.models, features).names), len(found)), np.float32).T
    _fill(found.scores, found.ranks, found.zscores, found.rrf, found.rrf_rank, matrix.T)
    users, start = found.user_of_candidate, 3 * len(found.models) + len(AGREEMENT)
    for fitted in features.values():
        matrix[:, start:start + len(fitted.names)] = fitted.values(users, found.item_index)
        start += len(fitted.names)
    return matrix


@njit(cache=True, nogil=True)
def _fill(scores, ranks, zscores, rrf, rrf_rank, columns):  # type: ignore[no-untyped-def]
    """The columns of models and AGREEMENT; `columns` is (f, m)."""
    width = 3 * ranks.shape[1]
    for row in range(len(ranks)):
        n_models, best = 0, np.float32(np.inf)
        for model in range(ranks.shape[1]):
            rank = ranks[row, model]
            columns[3 * model, row], columns[3 * model + 1, row] = scores[row, model], rank
            columns[3 * model + 2, row] = zscores[row, model]
            if not np.isnan(rank):
                n_models, best = n_models + 1, min(best, rank)
        columns[width, row], columns[width + 1, row] = n_models, rrf[row]
        columns[width + 2, row], columns[width + 3, row] = rrf_rank[row], best
