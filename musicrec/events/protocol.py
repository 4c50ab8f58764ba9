"""What every store of latest plays promises."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

Clock = Callable[[], float]


class Play(NamedTuple):
    """One play: who, which track, and when in microseconds since 1970 UTC."""

    user_id: int
    item_id: int
    played_at: int


class Impression(NamedTuple):
    """One track shown to one user: from which source, at which place (0 is the top), and when in microseconds since 1970 UTC."""

    user_id: int
    item_id: int
    source: str
    position: int
    shown_at: int


class EventStore(Protocol):
    """Latest plays per user, and a log of all plays and impressions.

    `path` says where (a file, a URL, or nothing); `per_user` is the most plays that are remembered for a user, `max_age_s` the age in
    seconds beyond which a play is no longer told (None: any age), `log_rows` how many rows each log keeps before the oldest go.
    `clock` returns seconds since 1970. Every method raises EventStoreError with one sentence when the store refuses.
    """

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock) -> None: ...

    async def put(self, user_id: int, item_id: int) -> None:
        """Return once the play is stored for good; a repeated item moves to the front."""
        ...

    async def latest(self, user_id: int, k: int) -> list[int]:
        """At most k different items of the user, newest first; an empty list for an unknown user."""
        ...

    async def put_impressions(self, impressions: Sequence[Impression]) -> None:
        """Return once all are stored."""
        ...

    def plays(self) -> Iterator[Play]:
        """Every logged play, in the order of storing."""
        ...

    def impressions(self) -> Iterator[Impression]:
        """Every logged impression, in the order of storing."""
        ...

    async def check(self) -> None:
        """Return when a put and a read would succeed now: both are tried for real, and leave nothing behind."""
        ...

    async def close(self) -> None:
        """Finish what is being written and let go; the store cannot be used afterwards."""
        ...
