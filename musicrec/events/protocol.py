"""The interface of event stores."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

Clock = Callable[[], float]
# A user or a track: a whole number, or a key that is text.
Key = int | str
# Before a key in a store, so that "007" and 7 stay two keys.
_MARK = "~"


def coded(key: Key) -> Key:
    """What a store keeps for a key: whole numbers as they are.

    >>> coded(7), coded("007")
    (7, '~007')
    """
    return key if isinstance(key, int) else _MARK + key


def decoded(stored: int | str | bytes) -> Key:
    """The key that a store keeps as `stored`.

    >>> decoded(7), decoded(b"7"), decoded(b"~7")
    (7, 7, '7')
    """
    if isinstance(stored, int):
        return stored
    text = stored.decode() if isinstance(stored, bytes) else stored
    return text[1:] if text.startswith(_MARK) else int(text)


class Play(NamedTuple):
    """One play: user, track, and time in microseconds since 1970 UTC."""

    user_id: Key
    item_id: Key
    played_at: int


class Impression(NamedTuple):
    """One track shown to one user: source of the list, position (from 0), and time in microseconds since 1970 UTC."""

    user_id: Key
    item_id: Key
    source: str
    position: int
    shown_at: int


class EventStore(Protocol):
    """The latest plays of each user, and logs of all plays and impressions.

    path: a file or URL. per_user: the most latest plays kept per user. max_age_s: older plays are not returned (None: no limit).
    log_rows: the most rows kept in each log, the oldest are removed. clock: returns seconds since 1970. log_age_s: rows of the logs that
    are older are removed when something is written or checked (None: no limit).
    Every method raises EventStoreError when the store cannot be read or written.
    """

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock, log_age_s: float | None) -> None: ...

    async def put(self, user_id: Key, item_id: Key) -> None:
        """Return when the play is stored durably; a repeated item becomes the latest. Raises ExcludedUserError for an excluded user."""
        ...

    async def latest(self, user_id: Key, k: int) -> list[Key]:
        """At most k different items of the user, latest first; an empty list for an unknown user.

        Raises ExcludedUserError for an excluded user.
        """
        ...

    async def put_impressions(self, impressions: Sequence[Impression]) -> None:
        """Return when all are stored durably; those of excluded users are left out."""
        ...

    def plays(self) -> Iterator[Play]:
        """All logged plays, in the order in which they were stored."""
        ...

    def impressions(self) -> Iterator[Impression]:
        """All logged impressions, in the order in which they were stored."""
        ...

    async def delete(self, user_id: Key) -> int:
        """Exclude the user and remove all rows of the user; returns how many, latest plays included.

        Both are durable when it returns, and may take seconds in long logs. From its begin on nothing more of the user is stored. A
        second call removes what a first one that was ended has left.
        """
        ...

    async def readmit(self, user_id: Key) -> bool:
        """End the exclusion of a user, durably; returns whether there was one. What was deleted stays deleted."""
        ...

    async def excluded(self) -> dict[Key, int]:
        """The excluded users and when each was deleted, in microseconds since 1970 UTC."""
        ...

    async def check(self) -> None:
        """Try a put and a read, which leave nothing in the store; raises where one fails."""
        ...

    async def close(self) -> None:
        """Finish writing and close the store, which cannot be used afterwards."""
        ...
