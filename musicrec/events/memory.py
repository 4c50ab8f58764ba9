"""Event store in the memory of one process, for tests and demonstrations; lost at a restart."""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from musicrec.events.protocol import Clock, Impression, Key, Play


class MemoryStore:
    """An EventStore in memory; `path` is ignored. Each worker has its own."""

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock) -> None:
        self.per_user, self.max_age_s, self.clock = per_user, max_age_s, clock
        self._latest: dict[Key, OrderedDict[Key, int]] = {}
        self._plays: deque[Play] = deque(maxlen=log_rows)
        self._impressions: deque[Impression] = deque(maxlen=log_rows)

    async def put(self, user_id: Key, item_id: Key) -> None:
        """Store the play as the user's latest."""
        now = int(self.clock() * 1e6)
        latest = self._latest.setdefault(user_id, OrderedDict())
        latest[item_id] = now
        latest.move_to_end(item_id)
        if len(latest) > self.per_user:
            latest.popitem(last=False)
        self._plays.append(Play(user_id, item_id, now))

    async def latest(self, user_id: Key, k: int) -> list[Key]:
        """At most k items, newest first."""
        oldest = float("-inf") if self.max_age_s is None else (self.clock() - self.max_age_s) * 1e6
        latest = self._latest.get(user_id, OrderedDict())
        return [item for item, at in reversed(latest.items()) if at >= oldest][:k]

    async def put_impressions(self, impressions: Sequence[Impression]) -> None:
        """Append to the log."""
        self._impressions.extend(impressions)

    def plays(self) -> Iterator[Play]:
        """The logged plays."""
        return iter(list(self._plays))

    def impressions(self) -> Iterator[Impression]:
        """The logged impressions."""
        return iter(list(self._impressions))

    async def check(self) -> None:
        """Always succeeds."""

    async def close(self) -> None:
        """Does nothing."""
