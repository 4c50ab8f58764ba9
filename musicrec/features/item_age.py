"""When an item was first and last played."""

from dataclasses import dataclass
from typing import ClassVar

from musicrec.dataset import TrainSet
from musicrec.features.tables import NEVER, ItemTable, columns, days_before, first_and_last


@dataclass(frozen=True)
class ItemAge:
    """Days from the first and the last play of the item to the cutoff.

    item_age: from the earliest of the users' latest plays of the item. item_days_since_last_play: from the last play. item_never_played: 1
    where nobody has played it, and the other two are NaN.
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("item_age", "item_days_since_last_play", "item_never_played")

    def fit(self, train: TrainSet) -> ItemTable:
        """O(nnz)."""
        first, last = first_and_last(train)
        return ItemTable(self.names, columns(days_before(train.cutoff, first), days_before(train.cutoff, last), first == NEVER))
