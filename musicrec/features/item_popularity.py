"""How many listen to an item, lately and ever."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from musicrec.features.tables import ItemTable, columns, listeners_within
from musicrec.matrix import Float32, History, Int32


def share(counts: Int32) -> Float32:
    """Counts per thousand of their sum, so that windows of different length and histories of different size compare.

    >>> share(np.array([1, 3], np.int32)).tolist()
    [250.0, 750.0]
    """
    return (counts * np.float32(1000 / max(int(counts.sum()), 1))).astype(np.float32)


@dataclass(frozen=True)
class ItemPopularity:
    """Listeners of the item over 7 days, 30 days and all days before the cutoff.

    listeners_7, listeners_30, listeners_all: users whose latest play of the item lies in the window. share_7, share_30,
    share_all: the same per thousand plays of the window. trend_7: share_7 less share_30; trend_30: share_30 less share_all.
    popularity: place among all items by listeners over all days, 0 (none) .. 1 (most); equal counts get an equal place.
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("listeners_7", "listeners_30", "listeners_all", "share_7", "share_30", "share_all",
                                        "trend_7", "trend_30", "popularity")

    def fit(self, history: History) -> ItemTable:
        """One row an item. O(plays)."""
        counts = [listeners_within(history, 7), listeners_within(history, 30), history.n_listeners]
        shares = [share(count) for count in counts]
        ordered = np.sort(counts[2])
        place = np.searchsorted(ordered, counts[2]) / max(len(ordered) - 1, 1)
        return ItemTable(self.names, columns(*counts, *shares, shares[0] - shares[1], shares[1] - shares[2], place))
