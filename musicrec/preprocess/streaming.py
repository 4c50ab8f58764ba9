"""Events in parts of about four million, by ranges of users, so that neither a sort on disk nor much memory is needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from ibis.expr.types import Table
from numba import njit

from musicrec.dataset import Int32, Places
from musicrec.preprocess.tables import EVENT_ORDER

PART_ROWS = 4_000_000


def user_ranges(events: Table, rows: int = PART_ROWS) -> list[tuple[int, int, int]]:
    """(lowest user, highest user, number of events) of consecutive ranges of about `rows` events, at least one user each."""
    counted = events.group_by("user_id").agg(plays=events.count()).to_pyarrow().sort_by("user_id")
    users, plays = counted["user_id"].to_numpy(), counted["plays"].to_numpy()
    if not len(users):
        return []
    part = (np.cumsum(plays) - plays) // rows
    first = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]]))
    last = np.append(first[1:], len(users)) - 1
    return list(zip(users[first].tolist(), users[last].tolist(), np.add.reduceat(plays, first).tolist()))


def ordered_parts(events: Table, ranges: list[tuple[int, int, int]]) -> Iterator[pa.Table]:
    """The events of each range in EVENT_ORDER; the engine computes the next range while the caller processes this one."""
    def part_of(low: int, high: int, _: int) -> pa.Table:
        return events.filter(events.user_id.between(low, high)).order_by(*EVENT_ORDER).to_pyarrow()

    with ThreadPoolExecutor(1) as engine:
        ahead = [engine.submit(part_of, *bounds) for bounds in ranges[:1]]
        for position in range(len(ranges)):
            ready = ahead.pop().result()
            ahead += [engine.submit(part_of, *bounds) for bounds in ranges[position + 1:position + 2]]
            yield ready


class ListenerCounts:
    """The number of different users per track, counted part by part."""

    def __init__(self, item_ids: Int32) -> None:
        self.item_ids, self.places = item_ids, Places(item_ids)
        self.counts = np.zeros(len(item_ids), np.int32)

    def add(self, part: pa.Table) -> None:
        """Count a part; the events of a user are consecutive and in one part."""
        users, items = (part[name].to_numpy() for name in ("user_id", "item_id"))
        _count(users, self.places.of(items), self.counts)

    def table(self) -> pa.Table:
        """Rows (track_id, num_users, num_users_norm: num_users scaled to 0..1) of all tracks."""
        low, high = (int(self.counts.min()), int(self.counts.max())) if len(self.counts) else (0, 0)
        return pa.table({"track_id": self.item_ids, "num_users": self.counts,
                         "num_users_norm": ((self.counts - low) / max(high - low, 1)).astype(np.float32)})


@njit(cache=True, nogil=True)
def _count(users: Int32, places: Int32, counts: Int32) -> None:
    start = 0
    for end in range(1, len(users) + 1):
        if end == len(users) or users[end] != users[start]:
            items = np.sort(places[start:end])
            for position in range(len(items)):
                if position == 0 or items[position] != items[position - 1]:
                    counts[items[position]] += 1
            start = end
