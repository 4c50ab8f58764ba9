"""Event store in the memory of one process, for tests and demonstrations; lost at a restart."""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from itertools import chain

from musicrec.errors import ExcludedUserError
from musicrec.events.protocol import (
    LASTING,
    PLAY,
    REMEMBERED,
    SLACK,
    Clock,
    Exposure,
    Impression,
    Key,
    OfUser,
    Remembered,
    UserFeedback,
    remembered_type,
    stays,
)


class MemoryStore:
    """An EventStore in memory; `path` is ignored. Each worker has its own."""

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock, log_age_s: float | None) -> None:
        self.per_user, self.max_age_s, self.clock, self.log_age_s = per_user, max_age_s, clock, log_age_s
        self._excluded: dict[Key, int] = {}
        self._latest: dict[Key, OrderedDict[Key, int]] = {}
        self._remembered: dict[Key, OrderedDict[Key, Remembered]] = {}
        self._feedback: deque[UserFeedback] = deque(maxlen=log_rows)
        self._exposures: deque[Exposure] = deque(maxlen=log_rows)

    async def put(self, user_id: Key, item_id: Key, type: str = PLAY, played_share: float | None = None, context: str = "",
                  recommendation_id: str = "") -> None:
        """Store it as the user's latest."""
        self._refuse_excluded(user_id)
        now = int(self.clock() * 1e6)
        if type == PLAY:
            latest = self._latest.setdefault(user_id, OrderedDict())
            latest[item_id] = now
            latest.move_to_end(item_id)
            if len(latest) > self.per_user:
                latest.popitem(last=False)
        self._remember(user_id, Remembered(item_id, remembered_type(type, played_share), now))
        self._feedback.append(UserFeedback(user_id, item_id, now, type, played_share, context, recommendation_id))
        self._remove_old()

    async def latest(self, user_id: Key, k: int) -> list[Key]:
        """At most k items, newest first."""
        self._refuse_excluded(user_id)
        oldest = float("-inf") if self.max_age_s is None else (self.clock() - self.max_age_s) * 1e6
        latest = self._latest.get(user_id, OrderedDict())
        return [item for item, at in reversed(latest.items()) if at >= oldest][:k]

    async def remembered(self, user_id: Key) -> list[Remembered]:
        """The items, newest first."""
        self._refuse_excluded(user_id)
        return list(reversed(self._remembered.get(user_id, OrderedDict()).values()))

    async def of_users(self, user_ids: Sequence[Key], k: int, remembered: bool = True) -> list[OfUser | None]:
        """One by one."""
        return [None if user in self._excluded else OfUser(await self.latest(user, k), await self.remembered(user) if remembered else [])
                for user in user_ids]

    async def put_exposures(self, exposures: Sequence[Exposure]) -> None:
        """Append to the log."""
        self._exposures.extend(one for one in exposures if one.user_id not in self._excluded)
        self._remove_old()

    def feedback(self) -> Iterator[UserFeedback]:
        """The logged feedback."""
        return iter(list(self._feedback))

    def impressions(self) -> Iterator[Impression]:
        """The logged impressions."""
        return chain.from_iterable(one.impressions() for one in list(self._exposures))

    async def delete(self, user_id: Key) -> int:
        """Remove the rows of the user."""
        self._excluded[user_id] = int(self.clock() * 1e6)
        rows = len(self._feedback) + len(self._exposures)
        self._feedback = deque((row for row in self._feedback if row.user_id != user_id), self._feedback.maxlen)
        self._exposures = deque((row for row in self._exposures if row.user_id != user_id), self._exposures.maxlen)
        self._remembered.pop(user_id, None)
        return len(self._latest.pop(user_id, ())) + rows - len(self._feedback) - len(self._exposures)

    async def readmit(self, user_id: Key) -> bool:
        """Forget the exclusion."""
        return self._excluded.pop(user_id, None) is not None

    async def excluded(self) -> dict[Key, int]:
        """The excluded users."""
        return dict(self._excluded)

    async def check(self) -> None:
        """Always succeeds."""
        self._remove_old()

    async def close(self) -> None:
        """Does nothing."""

    def _remember(self, user_id: Key, one: Remembered) -> None:
        items = self._remembered.setdefault(user_id, OrderedDict())
        earlier = items.pop(one.item_id, one)
        items[one.item_id] = one._replace(type=earlier.type) if stays(earlier.type, one.type) else one
        passing = [item for item, row in items.items() if row.type not in LASTING] if len(items) > REMEMBERED + SLACK else []
        for item in passing[:-REMEMBERED]:
            del items[item]

    def _refuse_excluded(self, user_id: Key) -> None:
        if user_id in self._excluded:
            raise ExcludedUserError

    def _remove_old(self) -> None:
        oldest = float("-inf") if self.log_age_s is None else (self.clock() - self.log_age_s) * 1e6
        while self._feedback and self._feedback[0].at < oldest:
            self._feedback.popleft()
        while self._exposures and self._exposures[0].shown_at < oldest:
            self._exposures.popleft()
