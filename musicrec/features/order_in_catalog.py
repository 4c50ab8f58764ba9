"""The position of an item's id relative to the ids that a user has seen. Off by default.

Where the dates of a log were generated in the order of ids, this group leaks the test set and dominates all others; in other logs, too,
ids may follow the order in which tracks were registered. Use it to examine a log, not to publish recommendations.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.features.tables import columns


@dataclass(frozen=True)
class OrderInCatalog:
    """Ranks of ids, scaled to 0..1.

    id_place: the rank of the item in the catalog. id_above_last: that rank minus the rank of the highest id that the user has seen.
    id_above_mean: minus the mean rank of the ids that the user has seen. NaN for cold users.
    """

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("id_place", "id_above_last", "id_above_mean")

    def fit(self, train: TrainSet) -> "FittedOrderInCatalog":
        """The highest and the mean rank of each user. O(nnz)."""
        return FittedOrderInCatalog(self.names, train)


class FittedOrderInCatalog:
    """Ranks of items, and the highest and the mean rank of each user."""

    def __init__(self, names: tuple[str, ...], train: TrainSet) -> None:
        self.names = names
        self.last_rank = max(len(train.catalog) - 1, 1)
        size, indptr = np.maximum(train.n_items_of_user, 1), train.matrix.indptr
        total = np.concatenate([[0.0], np.cumsum(train.matrix.indices, dtype=np.float64)])
        mean = (total[indptr[1:]] - total[indptr[:-1]]) / size
        highest = train.matrix.indices[indptr[1:] - 1] if len(size) else mean
        self.highest = np.append(highest, np.nan) / self.last_rank
        self.mean = np.append(mean, np.nan) / self.last_rank

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """Float32 (m, 3)."""
        rank = item_index / self.last_rank
        return columns(rank, rank - self.highest[user_index], rank - self.mean[user_index])
