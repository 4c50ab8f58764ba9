"""How long an item has been heard, and how lately."""

from dataclasses import dataclass
from typing import ClassVar

from musicrec.features.tables import NEVER, ItemTable, columns, days_before, first_and_last
from musicrec.matrix import History


@dataclass(frozen=True)
class ItemAge:
    """Days before the cutoff.

    item_age: since the earliest kept play (of each user's plays of the item only the latest is kept). item_quiet: since the
    latest play. item_unheard: 1 when nobody has heard it; the other two are NaN then.
    """

    key: ClassVar[str] = "item"
    names: ClassVar[tuple[str, ...]] = ("item_age", "item_quiet", "item_unheard")

    def fit(self, history: History) -> ItemTable:
        """One row an item. O(plays)."""
        first, last = first_and_last(history)
        return ItemTable(self.names, columns(days_before(history.cutoff, first), days_before(history.cutoff, last), first == NEVER))
