"""Where an item's id stands against the ids a user has heard. Off by default.

On data whose dates were made up in the order of ids this group tells the future and dominates everything else; on honest data ids
may still follow the order in which tracks were registered. Switch it on to see the difference, not to publish.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from musicrec.features.tables import columns
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class OrderInCatalogue:
    """Places in the order of ids, 0..1.

    id_place: the item's place in the catalogue. id_above_last: that place less the place of the user's highest heard id;
    id_above_mean: less the mean place of the user's heard ids. NaN for users without history.
    """

    key: ClassVar[str] = "user x item"
    names: ClassVar[tuple[str, ...]] = ("id_place", "id_above_last", "id_above_mean")

    def fit(self, history: History) -> "Order":
        """One highest and one mean place a user. O(plays)."""
        return Order(self.names, history)


class Order:
    """Places of items and users in the order of ids."""

    def __init__(self, names: tuple[str, ...], history: History) -> None:
        self.names = names
        self.n_items = max(len(history.catalogue) - 1, 1)
        size, indptr = np.maximum(history.n_items_of_user, 1), history.matrix.indptr
        total = np.concatenate([[0.0], np.cumsum(history.matrix.indices, dtype=np.float64)])
        mean = (total[indptr[1:]] - total[indptr[:-1]]) / size
        highest = history.matrix.indices[indptr[1:] - 1] if len(size) else mean
        self.highest = np.append(highest, np.nan) / self.n_items
        self.mean = np.append(mean, np.nan) / self.n_items

    def values(self, user_index: Int32, item_index: Int32) -> Float32:
        """The three places float32 (m, 3)."""
        place = item_index / self.n_items
        return columns(place, place - self.highest[user_index], place - self.mean[user_index])
