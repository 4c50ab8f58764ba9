"""Event stores: the latest plays of users, what is remembered of them, and logs of all feedback and impressions. A store is added by one
file and one line in EVENT_STORES, or by another package as an entry point of musicrec.event_stores."""

import time
from collections.abc import Mapping

from musicrec.errors import EventStoreError
from musicrec.events.memory import MemoryStore
from musicrec.events.protocol import TYPES, Clock, EventStore, EventStream, Exposure, Impression, Remembered, UserFeedback
from musicrec.events.redis import RedisStore
from musicrec.events.sqlite import SqliteStore
from musicrec.plugins import WithPlugins
from musicrec.settings import EventSettings

__all__ = [
    "EVENT_STORES", "TYPES", "Clock", "EventStore", "EventStream", "Exposure", "Impression", "Remembered", "UserFeedback",
    "configured_store", "event_store",
]

_DAY_S = 86_400
EVENT_STORES: Mapping[str, type[EventStore]] = WithPlugins("musicrec.event_stores", {
    "sqlite": SqliteStore,
    "redis": RedisStore,
    "memory": MemoryStore,
})


def event_store(name: str, path: str, per_user: int = 10, max_age_s: float | None = None, log_rows: int = 100_000_000,
                clock: Clock = time.time, log_age_s: float | None = None) -> EventStore:
    """The store `name` at `path`; see EventStore for the arguments.

    Raises EventStoreError for an unknown name or a path that cannot be opened.
    """
    if name not in EVENT_STORES:
        raise EventStoreError(f"there is no event store {name!r}; [events] store may be {', '.join(EVENT_STORES)}.")
    return EVENT_STORES[name](path, per_user, max_age_s, log_rows, clock, log_age_s)


def configured_store(section: EventSettings) -> EventStore:
    """The store that [events] names. Raises EventStoreError when it cannot be opened."""
    return event_store(section.store, section.path.get_secret_value(), section.per_user, section.max_age_days * _DAY_S or None,
                       section.log_rows, log_age_s=section.log_days * _DAY_S or None)
