"""The feature matrix of candidate pairs: what the generators said beside what the feature groups say."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from musicrec.matrix import Float32, Int32
from musicrec.ranking.pairs import Pairs


class Fitted(Protocol):
    """A fitted feature group: values float32 (m, f) of m pairs, one column a name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""
        ...

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """One row a pair."""
        ...


Features = Mapping[str, Fitted]
AGREEMENT = ("generators_agreeing", "fused", "fused_rank", "best_rank")


def generator_names(generators: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns that come from the pairs themselves.

    >>> generator_names(("als",))
    ('als.score', 'als.rank', 'als.place', 'generators_agreeing', 'fused', 'fused_rank', 'best_rank')
    """
    return (*(f"{name}.{what}" for name in generators for what in ("score", "rank", "place")), *AGREEMENT)


def feature_names(found: Pairs, features: Features) -> tuple[str, ...]:
    """All column names of feature_matrix, in order."""
    return (*generator_names(found.generators), *(name for fitted in features.values() for name in fitted.names))


def feature_matrix(found: Pairs, features: Features) -> Float32:
    """One row a pair, float32 (m, f), columns as feature_names says: scores, ranks and places of the generators, how many of them agree,
    the fused value and its rank within the user, the best rank, then the feature groups. NaN where something does not apply.
    """
    matrix = np.empty((len(found), len(feature_names(found, features))), np.float32)
    width = 3 * len(found.generators)
    for g in range(len(found.generators)):
        matrix[:, 3 * g], matrix[:, 3 * g + 1], matrix[:, 3 * g + 2] = found.scores[:, g], found.ranks[:, g], found.places[:, g]
    _fill_agreement(found, matrix[:, width:width + len(AGREEMENT)])
    users, start = found.user_of_pair, width + len(AGREEMENT)
    for fitted in features.values():
        matrix[:, start:start + len(fitted.names)] = fitted.values(users, found.item_index)
        start += len(fitted.names)
    return matrix


def _fill_agreement(found: Pairs, part: Float32) -> None:
    offered = ~np.isnan(found.ranks)
    part[:, 0] = offered.sum(axis=1)
    part[:, 1] = found.fused
    part[:, 2] = found.fused_rank
    part[:, 3] = np.where(offered, found.ranks, np.inf).min(axis=1, initial=np.inf)

