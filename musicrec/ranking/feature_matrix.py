"""The feature matrix of candidates: scores and ranks by the models, then the values of the feature groups."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Protocol

import numpy as np
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
    width = 3 * len(found.models)
    matrix[:, 0:width:3], matrix[:, 1:width:3], matrix[:, 2:width:3] = found.scores, found.ranks, found.zscores
    _fill_agreement(found, matrix[:, width:width + len(AGREEMENT)])
    users, start = found.user_of_candidate, width + len(AGREEMENT)
    for fitted in features.values():
        matrix[:, start:start + len(fitted.names)] = fitted.values(users, found.item_index)
        start += len(fitted.names)
    return matrix


def _fill_agreement(found: Candidates, part: Float32) -> None:
    recommends = ~np.isnan(found.ranks)
    part[:, 0] = recommends.sum(axis=1)
    part[:, 1] = found.rrf
    part[:, 2] = found.rrf_rank
    part[:, 3] = np.where(recommends, found.ranks, np.inf).min(axis=1, initial=np.inf)
