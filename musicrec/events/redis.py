"""Event store in Redis, for events services on several machines. Redis keeps plays over a restart with `appendonly yes`."""

import json
import re
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from musicrec.errors import EventStoreError, ExcludedUserError
from musicrec.events.protocol import (
    LASTING,
    PLAY,
    REMEMBERED,
    SLACK,
    STAYS,
    Clock,
    EventLogs,
    Exposure,
    Impression,
    Key,
    OfUser,
    Remembered,
    UserFeedback,
    coded,
    decoded,
    not_excluded,
    remembered_type,
)

T = TypeVar("T")

_CHUNK = 10_000
_CONNECTIONS = 64
# Scheme, user and password, host and port and database (or a socket), options.
_ADDRESS = re.compile(r"(rediss?://|unix://)(?:[^/?#\s]*@)?([^:/?#@\s][^/?#@\s]*(?:/\d*)?|/[^?#@\s]+)(?:\?[^#@\s]*)?")
_LOGS = ("musicrec:plays", "musicrec:impressions")
_EXCLUDED, _NO_HASH = "musicrec:excluded", "musicrec:nothing"
# Rows that are looked through for those of one user at a time.
_ROWS_AT_ONCE = 1000
# One script, so that a put is atomic. Scores are microseconds, always later than that of the user's latest play. Ids of streams begin with
# milliseconds. Arguments: item, time, per_user, log_rows, user, oldest row, type, types that stay, played share, context,
# type to remember, id of the answer. What is remembered of an item is its type and time.
_PUT = f"""
if redis.call('HEXISTS', KEYS[3], ARGV[5]) == 1 then return 0 end
local at, type = tonumber(ARGV[2]), ARGV[7]
if type == 'play' then
  local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if newest[2] and tonumber(newest[2]) >= at then at = tonumber(newest[2]) + 1 end
  redis.call('ZADD', KEYS[1], string.format('%.0f', at), ARGV[1])
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -(tonumber(ARGV[3]) + 1))
end
type = ARGV[11]
local earlier = string.match(redis.call('HGET', KEYS[4], ARGV[1]) or '', '^%S+')
if earlier and string.find(ARGV[8], ' ' .. earlier .. ' ', 1, true) then type = earlier end
redis.call('HSET', KEYS[4], ARGV[1], type .. ' ' .. string.format('%.0f', at))
if redis.call('HLEN', KEYS[4]) > {REMEMBERED + SLACK} then
  local rows, passing = redis.call('HGETALL', KEYS[4]), {{}}
  for i = 1, #rows, 2 do
    local kind, moment = string.match(rows[i + 1], '(%S+) (%S+)')
    if not string.find(' {" ".join(LASTING)} ', ' ' .. kind .. ' ', 1, true) then table.insert(passing, {{rows[i], tonumber(moment)}}) end
  end
  table.sort(passing, function(one, other) return one[2] > other[2] end)
  for i = {REMEMBERED} + 1, #passing do redis.call('HDEL', KEYS[4], passing[i][1]) end
end
local row = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'user_id', ARGV[5], 'item_id', ARGV[1], 'at', ARGV[2],
                       'type', ARGV[7], 'played_share', ARGV[9], 'context', ARGV[10], 'recommendation_id', ARGV[12])
if ARGV[6] ~= '0' then redis.call('XTRIM', KEYS[2], 'MINID', ARGV[6]) end
"""
# A put for a user that does not exist, undone at once.
_CHECK = _PUT + """
redis.call('XDEL', KEYS[2], row)
redis.call('DEL', KEYS[1], KEYS[4])
return 1
"""
_SHOW = """
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'user_id', ARGV[3], 'exposure', ARGV[4])
if ARGV[2] ~= '0' then redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2]) end
"""
_TEST_USER = -1
# The group and the consumer that `musicrec events export --new` is.
_GROUP = "musicrec"
# Modes of Redis that cannot be used as the store, with the reason and what to do.
_UNSUPPORTED_MODES = {
    "cluster": "belongs to a Redis Cluster, which keeps the two keys of a put on different servers; name a single server",
    "sentinel": "is a Redis Sentinel, which stores no plays; name the server it monitors, or an address that follows its failovers",
}


class RedisStore:
    """An EventStore in the Redis database `path` (redis://host:port/0): a sorted set a user and two streams as logs."""

    def __init__(self, path: str, per_user: int, max_age_s: float | None, log_rows: int, clock: Clock, log_age_s: float | None) -> None:
        try:
            import redis
            import redis.asyncio
        except ImportError:
            raise EventStoreError("the redis store needs the package redis: run pip install redis.") from None
        self.address, self.per_user, self.max_age_s, self.log_rows, self.clock = _address(path), per_user, max_age_s, log_rows, clock
        self.log_age_s = log_age_s
        self._redis_error: type[Exception] = redis.RedisError
        self._refusal: type[Exception] = redis.ResponseError
        try:
            self._sync = redis.Redis.from_url(path, socket_timeout=5)
            pool = redis.asyncio.BlockingConnectionPool.from_url(path, max_connections=_CONNECTIONS, timeout=5, socket_timeout=5)
            self._client: Any = redis.asyncio.Redis.from_pool(pool)
            self._sync.ping()
            mode = ""
            with suppress(redis.ResponseError):  # a server may not permit INFO
                mode = self._sync.info("server").get("redis_mode", "")
        except (redis.RedisError, ValueError, OSError) as cause:
            raise EventStoreError(f"no Redis answers at {self.address}: {cause}; start redis-server or correct [events] path.") from None
        if mode in _UNSUPPORTED_MODES:
            self._sync.close()
            raise EventStoreError(f"{self.address} {_UNSUPPORTED_MODES[mode]} in [events] path.")
        self._put, self._check = self._client.register_script(_PUT + "return 1"), self._client.register_script(_CHECK)

    async def put(self, user_id: Key, item_id: Key, type: str = PLAY, played_share: float | None = None, context: str = "",
                  recommendation_id: str = "") -> None:
        """Return when Redis has acknowledged the feedback."""
        if not await self._run(self._put, user_id, item_id, type, "" if played_share is None else played_share, context,
                               recommendation_id):
            raise ExcludedUserError

    async def latest(self, user_id: Key, k: int) -> list[Key]:
        """At most k items, latest first."""
        return not_excluded((await self.of_users([user_id], k, remembered=False))[0]).plays

    async def remembered(self, user_id: Key) -> list[Remembered]:
        """The items, latest first."""
        return not_excluded((await self.of_users([user_id], 0))[0]).remembered

    async def of_users(self, user_ids: Sequence[Key], k: int, remembered: bool = True) -> list[OfUser | None]:
        """One round trip: of each user a sorted set, a hash, and a field of the hash of the excluded."""
        oldest: int | str = "-inf" if self.max_age_s is None else int((self.clock() - self.max_age_s) * 1e6)
        async with self._client.pipeline(transaction=False) as pipeline:
            for user in map(coded, user_ids):
                pipeline.hexists(_EXCLUDED, user).zrevrangebyscore(f"musicrec:latest:{user}", "+inf", oldest, start=0, num=k)
                pipeline.hgetall(f"musicrec:remembered:{user}" if remembered else _NO_HASH)
            answers = iter(await self._answered(pipeline.execute()))
        return [None if excluded else OfUser(list(map(decoded, plays)), _remembered(rows))
                for excluded, plays, rows in zip(answers, answers, answers)]

    async def put_exposures(self, exposures: Sequence[Exposure]) -> None:
        """Append to the stream in one transaction."""
        async with self._client.pipeline(transaction=True) as pipeline:
            for row in exposures:
                fields = (coded(row.user_id), json.dumps(row.coded()))
                pipeline.eval(_SHOW, 2, _LOGS[1], _EXCLUDED, self.log_rows, self._oldest_row(), *fields)
            await self._answered(pipeline.execute())

    def feedback(self) -> Iterator[UserFeedback]:
        """The logged feedback, read in chunks; rows of earlier versions are plays."""
        return LoggedRows(self._logged(_LOGS[0])).feedback()

    def impressions(self) -> Iterator[Impression]:
        """The logged impressions, read in chunks; earlier versions stored one a row."""
        return LoggedRows(self._logged(_LOGS[1])).impressions()

    def new_rows(self, kind: Literal["feedback", "impressions"], n: int) -> Iterator[tuple[str, EventLogs]]:
        """The entries of a stream that the consumer group `musicrec` has not acknowledged, named by the id of the first of them."""
        log, after = _LOGS[kind == "impressions"], "0"
        with self._failures():
            with suppress(self._refusal):  # the group is there
                self._sync.xgroup_create(log, _GROUP, "0", mkstream=True)
            while True:
                # "0" are those that a call before has taken and not acknowledged, ">" those that nobody has taken.
                found = cast("list[Any]", self._sync.xreadgroup(_GROUP, _GROUP, {log: after}, count=n))
                if entries := found[0][1] if found else []:
                    yield entries[0][0].decode(), LoggedRows([row for _, row in entries if row])
                    self._sync.xack(log, _GROUP, *(entry for entry, _ in entries))
                elif after == ">":
                    return
                else:
                    after = ">"

    async def delete(self, user_id: Key) -> int:
        """Exclude the user and remove the latest plays in one transaction, then the rows of the logs, a thousand read at a time."""
        user = coded(user_id)
        latest = f"musicrec:latest:{user}"
        async with self._client.pipeline(transaction=True) as pipeline:
            pipeline.hsetnx(_EXCLUDED, user, int(self.clock() * 1e6)).zcard(latest).delete(latest, f"musicrec:remembered:{user}")
            removed: int = (await self._answered(pipeline.execute()))[1]
        for log in _LOGS:
            after = "-"
            while rows := await self._answered(self._client.xrange(log, min=after, count=_ROWS_AT_ONCE)):
                after = f"({rows[-1][0].decode()}"
                if own := [row for row, fields in rows if fields[b"user_id"] == str(user).encode()]:
                    removed += await self._answered(self._client.xdel(log, *own))
        return removed

    async def readmit(self, user_id: Key) -> bool:
        """Remove a field of a hash."""
        return bool(await self._answered(self._client.hdel(_EXCLUDED, coded(user_id))))

    async def excluded(self) -> dict[Key, int]:
        """One read of a hash."""
        found = await self._answered(self._client.hgetall(_EXCLUDED))
        return {decoded(user): int(at) for user, at in found.items()}

    async def check(self) -> None:
        """Put and remove a play of a test user, remove old impressions, and read as `latest` does."""
        await self._run(self._check, _TEST_USER, 0, PLAY, "", "", "")
        if self.log_age_s is not None:
            await self._answered(self._client.xtrim(_LOGS[1], minid=self._oldest_row(), approximate=False))
        await self.latest(_TEST_USER, 1)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        self._sync.close()

    def _logged(self, stream: str) -> Iterator[dict[bytes, bytes]]:
        after = "-"
        while True:
            with self._failures():
                rows = cast("list[Any]", self._sync.xrange(stream, min=after, count=_CHUNK))
            if not rows:
                return
            after = f"({rows[-1][0].decode()}"
            yield from (row for _, row in rows)

    async def _run(self, script: Any, user_id: Key, item_id: Key, type: str, share: float | str, context: str, answer: str) -> bool:
        said = remembered_type(type, None if share == "" else float(share))
        user, stays = coded(user_id), f" {' '.join(STAYS.get(said, ()))} "
        arguments = [coded(item_id), int(self.clock() * 1e6), self.per_user, self.log_rows, user, self._oldest_row(), type, stays, share,
                     context, said, answer]
        keys = [f"musicrec:latest:{user}", _LOGS[0], _EXCLUDED, f"musicrec:remembered:{user}"]
        return bool(await self._answered(script(keys=keys, args=arguments)))

    def _oldest_row(self) -> int:
        return 0 if self.log_age_s is None else int((self.clock() - self.log_age_s) * 1e3)

    async def _answered(self, answer: Awaitable[T]) -> T:
        with self._failures():
            return await answer

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except (self._redis_error, OSError) as cause:
            raise EventStoreError(f"Redis at {self.address} failed: {cause}; check that it runs, has memory and can write to its "
                                  "disk.") from cause


@dataclass(frozen=True)
class LoggedRows:
    """Rows of a stream as the logs of a store, those of earlier versions too."""

    rows: Iterable[Mapping[bytes, bytes]]

    def feedback(self) -> Iterator[UserFeedback]:
        """Rows without a type are plays."""
        for row in self.rows:
            share = row.get(b"played_share")
            yield UserFeedback(decoded(row[b"user_id"]), decoded(row[b"item_id"]), int(row[b"at"]), row.get(b"type", b"play").decode(),
                           float(share) if share else None, row.get(b"context", b"").decode(), row.get(b"recommendation_id", b"").decode())

    def impressions(self) -> Iterator[Impression]:
        """Rows without an exposure are one impression each."""
        for row in self.rows:
            if b"exposure" in row:
                yield from Exposure(*json.loads(row[b"exposure"])).decoded().impressions()
            else:
                yield Impression(decoded(row[b"user_id"]), decoded(row[b"item_id"]), row[b"source"].decode(), int(row[b"position"]),
                                 int(row[b"shown_at"]))


def _remembered(rows: dict[bytes, bytes]) -> list[Remembered]:
    found = [Remembered(decoded(item), *_type_and_time(value)) for item, value in rows.items()]
    return sorted(found, key=lambda row: -row.at)


def _type_and_time(value: bytes) -> tuple[str, int]:
    type, at = value.decode().split()
    return type, int(at)


def _address(url: str) -> str:
    """`url` without user, password and options, for messages. Raises EventStoreError for an invalid one.

    >>> _address("redis://:secret@host:6379/0?password=secret")
    'redis://host:6379/0'
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise EventStoreError("[events] path is not the address of a Redis server; write redis://host:6379/0 or "
                              "redis://:password@host:6379/0, where a password has %2F for /, %3F for ?, %23 for # and %40 for @.")
    return "".join(found.groups())
