"""The interface of event stores."""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from musicrec.errors import ExcludedUserError

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


PLAY, SKIP, LIKE, DISLIKE, BLOCK_ITEM, BLOCK_ARTIST = TYPES = "play", "skip", "like", "dislike", "block_item", "block_artist"
# Remembered whatever comes after them; other feedback of a user as long as it is among the latest.
LASTING = (DISLIKE, BLOCK_ITEM, BLOCK_ARTIST)
# What a user said of an item stays said when feedback of a lesser type follows.
STAYS: dict[str, tuple[str, ...]] = {PLAY: (LIKE, *LASTING), SKIP: LASTING, DISLIKE: (BLOCK_ITEM, BLOCK_ARTIST),
                                     BLOCK_ITEM: (BLOCK_ARTIST,)}
# Of a track that is worth recommending more like it, at least this share was played.
KEPT_SHARE = 0.5
# A session of a user ends where so much time passes without feedback.
SESSION_GAP_S = 1800
# Different items of a user that are remembered at least, and how many more before the oldest are removed.
REMEMBERED, SLACK = 1000, 100
# The user of what was shown to somebody unknown; no key is empty.
NOBODY = ""


class UserFeedback(NamedTuple):
    """What a user did with a track: time in microseconds since 1970 UTC, one of TYPES, the share of the track that was played (None where
    it is not known), a short text of the client's about where this was, and the id of the answer that showed it, where the client tells."""

    user_id: Key
    item_id: Key
    at: int
    type: str = PLAY
    played_share: float | None = None
    context: str = ""
    recommendation_id: str = ""


class Remembered(NamedTuple):
    """The latest feedback of a user on a track, see STAYS and remembered_type, and when the latest of any type came, in microseconds since
    1970 UTC."""

    item_id: Key
    type: str
    at: int


class OfUser(NamedTuple):
    """What is stored of a user: the latest plays, and what is remembered, each the latest first."""

    plays: list[Key]
    remembered: list[Remembered]


def not_excluded(found: OfUser | None) -> OfUser:
    """The same; raises ExcludedUserError for None."""
    if found is None:
        raise ExcludedUserError
    return found


def remembered_type(type: str, played_share: float | None) -> str:
    """The type with which feedback is remembered: a play of less than KEPT_SHARE is a skip.

    >>> remembered_type(PLAY, 0.3), remembered_type(PLAY, None), remembered_type(LIKE, 0.3)
    ('skip', 'play', 'like')
    """
    return SKIP if type == PLAY and played_share is not None and played_share < KEPT_SHARE else type


def stays(earlier: str, later: str) -> bool:
    """Whether an item of type `earlier` keeps it when feedback of type `later` comes.

    >>> stays(LIKE, PLAY), stays(BLOCK_ITEM, LIKE)
    (True, False)
    """
    return earlier in STAYS.get(later, ())


class Impression(NamedTuple):
    """One track shown to one user: source of the list, position (from 0), and time in microseconds since 1970 UTC; the run and the id of
    the answer, the variant of an experiment, and the probability with which the track was in the list (None where it was not by chance);
    the milliseconds that the answer took, and its outcome. No item: a list that was empty, or failed. The user may be NOBODY."""

    user_id: Key
    item_id: Key | None
    source: str
    position: int
    shown_at: int
    run: str = ""
    recommendation_id: str = ""
    variant: str = ""
    propensity: float | None = None
    ms: float | None = None
    outcome: str = ""


class Exposure(NamedTuple):
    """The impressions of one answer, in which everything but item, source and propensity is the same: tracks from position `first` on, the
    source of each, or one for all, and the propensity of each where there are any. outcome: of an answer that lacked something "degraded",
    of one that failed "failed"."""

    user_id: Key
    items: tuple[Key, ...]
    sources: tuple[str, ...]
    shown_at: int
    first: int = 0
    run: str = ""
    recommendation_id: str = ""
    variant: str = ""
    propensities: tuple[float | None, ...] = ()
    ms: float | None = None
    outcome: str = ""

    def impressions(self) -> Iterator[Impression]:
        """One by one; one without an item for an empty list."""
        sources = self.sources if len(self.sources) > 1 else self.sources * len(self.items)
        rows = zip_longest(self.items, sources, self.propensities) if self.items else [(None, "", None)]
        for position, (item, source, propensity) in enumerate(rows, self.first):
            yield Impression(self.user_id, item, source, position, self.shown_at, self.run, self.recommendation_id, self.variant,
                             propensity, self.ms, self.outcome)

    def coded(self) -> "Exposure":
        """With user and items as a store keeps them."""
        items = self.items if set(map(type, self.items)) == {int} else tuple(map(coded, self.items))
        return self._replace(user_id=coded(self.user_id), items=items)

    def decoded(self) -> "Exposure":
        """The inverse of `coded`."""
        return self._replace(user_id=decoded(self.user_id), items=tuple(map(decoded, self.items)))


class EventLogs(Protocol):
    """Logs of feedback and exposures that can be read through."""

    def feedback(self) -> Iterator[UserFeedback]:
        """All logged feedback, in the order in which it was stored."""
        ...

    def impressions(self) -> Iterator[Impression]:
        """The impressions of all logged exposures, in the order in which they were stored."""
        ...


@runtime_checkable
class EventStream(Protocol):
    """A store whose logs are a stream that others take rows from."""

    def new_rows(self, kind: Literal["feedback", "impressions"], n: int) -> Iterator[tuple[str, EventLogs]]:
        """The rows of a log that nobody has taken, at most n at a time, and a name for them that no others have.

        Rows count as taken when the next ones are asked for; else, also after a crash, they come again first, under the same name.
        """
        ...


class EventStore(EventLogs, Protocol):
    """The latest plays of each user, what is remembered of each user's items, and logs of all feedback and exposures.

    path: a file or URL. per_user: the most latest plays kept per user. max_age_s: older plays are not returned (None: no limit).
    log_rows: the most rows kept in each log, the oldest are removed. clock: returns seconds since 1970. log_age_s: rows of the logs that
    are older are removed when something is written or checked (None: no limit).
    Every method raises EventStoreError when the store cannot be read or written.
    """

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock, log_age_s: float | None) -> None: ...

    async def put(self, user_id: Key, item_id: Key, type: str = PLAY, played_share: float | None = None, context: str = "",
                  recommendation_id: str = "") -> None:
        """Return when the feedback is stored durably; a play makes its item the latest. Raises ExcludedUserError for an excluded user."""
        ...

    async def latest(self, user_id: Key, k: int) -> list[Key]:
        """At most k different items that the user played, latest first; an empty list for an unknown user.

        Raises ExcludedUserError for an excluded user.
        """
        ...

    async def remembered(self, user_id: Key) -> list[Remembered]:
        """The user's items, latest feedback first: at least REMEMBERED, and all whose type is LASTING.

        Raises ExcludedUserError for an excluded user.
        """
        ...

    async def of_users(self, user_ids: Sequence[Key], k: int, remembered: bool = True) -> list[OfUser | None]:
        """What `latest` and, if wanted, `remembered` give for each user, None for an excluded one; of many at once in a fraction of the
        time."""
        ...

    async def put_exposures(self, exposures: Sequence[Exposure]) -> None:
        """Return when all are stored durably; those of excluded users are left out."""
        ...

    async def delete(self, user_id: Key) -> int:
        """Exclude the user and remove all rows of the user; returns how many of the logs and of the latest plays.

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
