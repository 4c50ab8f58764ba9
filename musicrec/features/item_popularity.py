"""How many users listen to an item, recently and over all days."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.features.tables import ItemTable, columns, listeners_within


def per_thousand(counts: Int32) -> Float32:
    """Counts per thousand of their sum, which are comparable between periods and between logs of different size.

    >>> per_thousand(np.array([1, 3], np.int32)).tolist()
    [250.0, 750.0]
    """
    return (counts * np.float32(1000 / max(int(counts.sum()), 1))).astype(np.float32)


@dataclass(frozen=True)
class ItemPopularity:
    """Listeners of the item over 7 days, 30 days and all days before the cutoff.

    listeners_7, listeners_30, listeners_all: users whose latest play of the item lies in the period. share_7, share_30, share_all: these
    per thousand listeners of all items. trend_7: share_7 - share_30. trend_30: share_30 - share_all. popularity: rank of the item by
    listeners_all, scaled from 0 (fewest) to 1 (most); equal for items with equally many listeners.
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("listeners_7", "listeners_30", "listeners_all", "share_7", "share_30", "share_all",
                                        "trend_7", "trend_30", "popularity")

    def fit(self, train: TrainSet) -> ItemTable:
        """O(nnz)."""
        counts = [listeners_within(train, 7), listeners_within(train, 30), train.n_listeners]
        shares = [per_thousand(count) for count in counts]
        ascending = np.sort(counts[2])
        rank = np.searchsorted(ascending, counts[2]) / max(len(ascending) - 1, 1)
        return ItemTable(self.names, columns(*counts, *shares, shares[0] - shares[1], shares[1] - shares[2], rank))
