"""The contract of every event store, and tests of the SQLite store."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.errors import EventStoreError, ExcludedUserError
from musicrec.events import EVENT_STORES, TYPES, EventStore, Exposure, Impression, UserFeedback, event_store, export
from musicrec.events.export import of_user
from musicrec.events.group_commit import GroupCommit
from musicrec.events.protocol import NOBODY, Key
from tests.redis_server import redis_server
from tests.service_world import free_port

Make = Callable[..., EventStore]


class Clock:
    """A clock that advances only when it is set."""

    def __init__(self) -> None:
        self.now = 1_600_000_000.0

    def __call__(self) -> float:
        """The time that was set last."""
        return self.now


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server for all tests of this file."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=list(EVENT_STORES))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A function that opens an empty store of each kind; called twice it opens the same store again."""
    name, path = request.param, str(tmp_path / "events.sqlite")
    if name == "redis":
        path = request.getfixturevalue("redis_url")
        import redis

        with redis.Redis.from_url(path) as client:
            client.flushall()
    return lambda **options: event_store(name, path, **options)


def scenario(store: EventStore, plays: list[tuple[int, int]], user: int, k: int) -> list[int]:
    """Put all plays, read the latest of `user`, close."""
    async def steps() -> list[int]:
        for one in plays:
            await store.put(*one)
        found = await store.latest(user, k)
        await store.close()
        return found
    return asyncio.run(steps())


def test_newest_first(make: Make) -> None:
    """Plays come back newest first."""
    assert scenario(make(), [(1, 10), (1, 20), (1, 30)], 1, 10) == [30, 20, 10]


def test_repeat_moves_to_front(make: Make) -> None:
    """A repeated item moves to the front and occurs once."""
    assert scenario(make(), [(1, 10), (1, 20), (1, 10)], 1, 10) == [10, 20]


def test_cap(make: Make) -> None:
    """Ten plays are kept, not eleven."""
    assert scenario(make(per_user=10), [(1, item) for item in range(11)], 1, 100) == list(range(10, 0, -1))


def test_repeat_at_the_cap_loses_nothing(make: Make) -> None:
    """Repeating an item of a full list drops no other item."""
    assert scenario(make(per_user=3), [(1, 1), (1, 2), (1, 3), (1, 1)], 1, 10) == [1, 3, 2]


def test_k(make: Make) -> None:
    """At most k items are returned."""
    assert scenario(make(), [(1, 10), (1, 20), (1, 30)], 1, 2) == [30, 20]


def test_users_apart(make: Make) -> None:
    """One user's plays are not another's; an unknown user has none."""
    assert scenario(make(), [(1, 10), (2, 20)], 2, 10) == [20]
    assert scenario(make(), [], 3, 10) == []


def test_age_limit(make: Make) -> None:
    """A play older than the limit is not returned, a younger one is."""
    clock = Clock()
    store = make(max_age_s=60, clock=clock)

    async def steps() -> list[int]:
        await store.put(1, 10)
        clock.now += 50
        await store.put(1, 20)
        clock.now += 20
        found = await store.latest(1, 10)
        await store.close()
        return found
    assert asyncio.run(steps()) == [20]


def test_clock_that_goes_back(make: Make) -> None:
    """Plays are in the order in which they were put, also when the clock goes back."""
    clock = Clock()
    store = make(clock=clock)

    async def steps() -> list[int]:
        for item in (10, 20, 30):
            await store.put(1, item)
            clock.now -= 10
        found = await store.latest(1, 10)
        await store.close()
        return found
    assert asyncio.run(steps()) == [30, 20, 10]


def test_log_holds_every_play(make: Make) -> None:
    """The log has every play in order with its time, also those beyond per_user."""
    store, clock = make(per_user=1, clock=Clock()), Clock()

    async def steps() -> list[tuple[int, int, int]]:
        for one in [(1, 10), (1, 20), (2, 10), (1, 10)]:
            await store.put(*one)
        found = [tuple(play[:3]) for play in store.feedback()]
        await store.close()
        return found
    assert asyncio.run(steps()) == [(user, item, int(clock() * 1e6)) for user, item in [(1, 10), (1, 20), (2, 10), (1, 10)]]


def test_many_users_at_once(make: Make) -> None:
    """What is stored of many users, asked together, is what is stored of each, in the order of the question, and None for a deleted one."""
    store = make()

    async def steps() -> list[tuple[list[Key], list[tuple[Key, str]]] | None]:
        for user, item, type in ((1, 10, "play"), ("1", 20, "like"), (1, 30, "play"), (2, 10, "play"), (1, 40, "skip"), (1, 10, "play")):
            await store.put(user, item, type)
        await store.delete(2)
        found = await store.of_users(["1", 3, 1, 2], 1)
        assert [one and one.remembered for one in await store.of_users([1, 2], 1, remembered=False)] == [[], None]
        await store.close()
        return [one and (one.plays, [row[:2] for row in one.remembered]) for one in found]
    assert asyncio.run(steps()) == [([], [(20, "like")]), ([], []), ([10], [(10, "play"), (40, "skip"), (30, "play")]), None]


def test_exposures(make: Make) -> None:
    """The impressions of exposures come back one by one, with all that was said of them, numbers and text alike."""
    rows = [Exposure(1, (10, "007", "ü"), ("personal", "online", "popular"), 5, 20, "run", "abc", "b", (0.5, None, 0.25)),
            Exposure("1", (10, 20), ("personal",), 6), Exposure(NOBODY, (10,), ("track",), 7, ms=1.5, outcome="degraded"),
            Exposure(2, (), (), 8, variant="b", ms=2.0, outcome="failed")]
    store = make()

    async def steps() -> list[Impression]:
        await store.put_exposures(rows)
        found = list(store.impressions())
        await store.close()
        return found
    assert asyncio.run(steps()) == [
        Impression(1, 10, "personal", 20, 5, "run", "abc", "b", 0.5), Impression(1, "007", "online", 21, 5, "run", "abc", "b", None),
        Impression(1, "ü", "popular", 22, 5, "run", "abc", "b", 0.25), Impression("1", 10, "personal", 0, 6),
        Impression("1", 20, "personal", 1, 6), Impression(NOBODY, 10, "track", 0, 7, ms=1.5, outcome="degraded"),
        Impression(2, None, "", 0, 8, variant="b", ms=2.0, outcome="failed")]


def test_a_file_of_an_earlier_version_keeps_its_impressions(tmp_path: Path) -> None:
    """Rows of one item each are taken over, in their order, once."""
    path = tmp_path / "events.sqlite"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE impressions (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, "
                     "source TEXT NOT NULL, position INTEGER NOT NULL, shown_at INTEGER NOT NULL)")
        file.executemany("INSERT INTO impressions (user_id, item_id, source, position, shown_at) VALUES (?, ?, ?, ?, ?)",
                         [(1, 10, "personal", 0, 5), ("~ann", "~7", "online", 1, 6)])
    for _ in range(2):
        store = event_store("sqlite", str(path))
        assert list(store.impressions()) == [Impression(1, 10, "personal", 0, 5), Impression("ann", "7", "online", 1, 6)]
        asyncio.run(store.close())


FEEDBACK = [(10, "play"), (20, "skip"), (10, "skip"), (30, "like"), (30, "play"), (40, "block_artist"), (40, "play"), (50, "dislike"),
            (50, "like"), (20, "play")]


def test_what_a_user_said_is_remembered(make: Make) -> None:
    """The latest word on an item counts, the latest first, and a lesser one changes nothing but the time; plays alone are latest plays."""
    clock = Clock()
    store = make(clock=clock)

    async def steps() -> None:
        for item, kind in FEEDBACK:
            clock.now += 1
            await store.put(1, item, kind)
        clock.now += 1
        await store.put("alice", "x", "skip", 0.25, "queue: car", "5f0c6a1de2b34978")
        found = await store.remembered(1)
        assert [row[:2] for row in found] == [(20, "play"), (50, "like"), (40, "block_artist"), (30, "like"), (10, "skip")]
        assert [row.at // 1_000_000 - 1_600_000_000 for row in found] == [10, 9, 7, 5, 3]
        assert await store.latest(1, 10) == [20, 40, 30, 10]
        logged = [(row.item_id, row.type) for row in store.feedback() if row.user_id == 1]
        assert logged == FEEDBACK
        assert [row for row in store.feedback() if row.user_id == "alice"] == [
            UserFeedback("alice", "x", 1_600_000_011_000_000, "skip", 0.25, "queue: car", "5f0c6a1de2b34978")]
        assert await store.remembered(3) == []
        await store.delete(1)
        with pytest.raises(ExcludedUserError):
            await store.remembered(1)
        await store.readmit(1)
        assert await store.remembered(1) == []
        await store.close()
    asyncio.run(steps())


def test_a_play_of_less_than_half_is_remembered_as_a_skip(make: Make) -> None:
    """It is a play in the log and among the latest; of one whose share nobody told nothing is assumed."""
    store = make()

    async def steps() -> None:
        for item, share in ((10, 0.49), (20, 0.5), (30, None)):
            await store.put(1, item, "play", share)
        assert {row.item_id: row.type for row in await store.remembered(1)} == {10: "skip", 20: "play", 30: "play"}
        assert await store.latest(1, 10) == [30, 20, 10]
        assert [row.type for row in store.feedback()] == ["play"] * 3
        await store.close()
    asyncio.run(steps())


def test_a_thousand_items_are_remembered(make: Make) -> None:
    """Of 1,300 items the latest 1,000 are remembered, not all, and what was disliked or blocked before them is."""
    store = make(per_user=10)

    async def steps() -> None:
        await asyncio.gather(*(store.put(1, item, kind) for item, kind in enumerate(("dislike", "block_item", "block_artist", "like"))))
        for start in range(100, 1400, 50):
            await asyncio.gather(*(store.put(1, item) for item in range(start, start + 50)))
        found = await store.remembered(1)
        await store.close()
        items = [row.item_id for row in found]
        assert set(range(400, 1400)) | {0, 1, 2} <= set(items)
        assert 3 not in items
        assert len(items) < 1200
    asyncio.run(steps())


def test_a_file_of_the_version_before_goes_on(tmp_path: Path) -> None:
    """Plays of a file whose table knows no feedback are read as plays, and feedback is stored beside them."""
    path = tmp_path / "events.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        old.execute("CREATE TABLE plays (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, "
                    "played_at INTEGER NOT NULL)")
        old.execute("INSERT INTO plays VALUES (1, 7, 10, 5)")
    for kind in ("like", "skip"):
        store = event_store("sqlite", str(path))
        asyncio.run(store.put(7, 20, kind))
        asyncio.run(store.close())
    store = event_store("sqlite", str(path))
    assert [(row.item_id, row.type) for row in store.feedback()] == [(10, "play"), (20, "like"), (20, "skip")]
    assert [row[:2] for row in asyncio.run(store.remembered(7))] == [(20, "skip")]
    asyncio.run(store.close())


def test_many_at_once(make: Make) -> None:
    """Concurrent puts are all kept."""
    store = make(per_user=500)

    async def steps() -> int:
        await asyncio.gather(*(store.put(user, item) for user in range(5) for item in range(100)))
        found = [await store.latest(user, 500) for user in range(5)]
        logged = sum(1 for _ in store.feedback())
        await store.close()
        assert all(sorted(one) == list(range(100)) for one in found)
        return logged
    assert asyncio.run(steps()) == 500


def test_a_check_leaves_nothing_behind(make: Make) -> None:
    """The check succeeds before and after plays, and changes neither lists nor logs."""
    store = make()

    async def steps() -> None:
        await store.check()
        await store.put(1, 10)
        await store.check()
        await store.put(1, 20)
        assert await store.latest(1, 10) == [20, 10]
        assert await store.latest(-1, 10) == []
        assert [(play.user_id, play.item_id) for play in store.feedback()] == [(1, 10), (1, 20)]
        assert list(store.impressions()) == []
        await store.close()
    asyncio.run(steps())


@pytest.mark.parametrize("user", [1, "alice"])
def test_a_deleted_user_is_gone_and_the_others_stay(make: Make, user: Key) -> None:
    """Plays, impressions and latest plays of the user are removed and counted, those of others stay; the exclusion has its time."""
    store = make(clock=Clock())

    async def steps() -> None:
        for one, item in [(user, 10), (2, 10), (user, 20), (user, 10), ("1", 30)]:
            await store.put(one, item)
        await store.put_exposures([Exposure(user, (10,), ("personal",), 5), Exposure(2, (10,), ("personal",), 5)])
        logged = [UserFeedback(user, item, 1_600_000_000_000_000) for item in (10, 20, 10)]
        assert of_user(store, user) == (logged, [Impression(user, 10, "personal", 0, 5)])
        assert await store.excluded() == {}
        assert await store.delete(user) == 2 + 3 + 1
        assert await store.excluded() == {user: 1_600_000_000_000_000}
        assert [(play.user_id, play.item_id) for play in store.feedback()] == [(2, 10), ("1", 30)]
        assert [row.user_id for row in store.impressions()] == [2]
        assert (await store.latest(2, 5), await store.latest("1", 5)) == ([10], [30])
        assert await store.delete(user) == 0
        await store.close()
    asyncio.run(steps())


def test_nothing_of_an_excluded_user_is_stored(make: Make) -> None:
    """A put and a look at the latest plays are refused, impressions are left out, and the others of the same batch are stored."""
    store = make()

    async def steps() -> None:
        assert await store.delete("alice") == 0
        outcomes = await asyncio.gather(*(store.put(user, 10) for user in (1, "alice", 2)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), ExcludedUserError, type(None)]
        with pytest.raises(ExcludedUserError, match="was deleted"):
            await store.latest("alice", 10)
        await store.put_exposures([Exposure("alice", (10,), ("personal",), 5), Exposure(2, (10,), ("personal",), 5)])
        assert {play.user_id for play in store.feedback()} == {1, 2}
        assert [row.user_id for row in store.impressions()] == [2]
        await store.check()
        await store.close()
    asyncio.run(steps())


def test_a_readmitted_user_is_stored_again(make: Make) -> None:
    """After the exclusion has ended plays are stored and found, earlier ones stay deleted; there is nothing to end a second time."""
    store = make()

    async def steps() -> None:
        await store.put("alice", 10)
        await store.put_exposures([Exposure("alice", (10,), ("personal",), 5)])
        assert await store.delete("alice") == 3
        assert await store.readmit("alice")
        assert not await store.readmit("alice")
        assert await store.excluded() == {}
        assert await store.latest("alice", 5) == []
        await store.put("alice", 20)
        await store.put_exposures([Exposure("alice", (20,), ("personal",), 5)])
        assert await store.latest("alice", 5) == [20]
        assert [row.item_id for row in store.impressions()] == [20]
        await store.close()
    asyncio.run(steps())


def test_old_rows_leave_the_logs(make: Make) -> None:
    """Rows older than log_age_s are removed by the next write or check, younger ones stay; latest plays do not age with the logs."""
    store = make(log_age_s=0.5)

    def shown(item: int) -> Exposure:
        return Exposure(1, (item,), ("personal",), int(time.time() * 1e6))

    async def steps() -> None:
        await store.put(1, 10)
        await store.put_exposures([shown(10)])
        await asyncio.sleep(0.6)
        await store.put(1, 20)
        await store.put_exposures([shown(20)])
        assert [play.item_id for play in store.feedback()] == [20]
        assert [row.item_id for row in store.impressions()] == [20]
        assert await store.latest(1, 10) == [20, 10]
        await asyncio.sleep(0.6)
        await store.check()
        assert list(store.feedback()) == []
        assert list(store.impressions()) == []
        await store.close()
    asyncio.run(steps())


@pytest.mark.parametrize("name", sorted(EVENT_STORES.keys() - {"memory"}))
def test_an_exclusion_survives_reopening(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A deleted user is refused by a store that is opened later."""
    path = request.getfixturevalue("redis_url") if name == "redis" else str(tmp_path / "events.sqlite")

    async def steps() -> None:
        store = event_store(name, path)
        await store.put(88, 10)
        assert await store.delete(88) == 2
        await store.close()
        again = event_store(name, path)
        with pytest.raises(ExcludedUserError):
            await again.put(88, 20)
        await again.close()
    asyncio.run(steps())


def test_what_is_deleted_is_overwritten(tmp_path: Path) -> None:
    """After a deletion the bytes of the rows are in none of the files of SQLite, also where rows filled many pages."""
    store = event_store("sqlite", str(tmp_path / "events.sqlite"))

    def found(text: bytes) -> bool:
        return any(text in path.read_bytes() for path in tmp_path.iterdir())

    async def steps() -> None:
        await asyncio.gather(*(store.put(1, f"secret-{item}") for item in range(2000)))
        await asyncio.gather(*(store.put(2, f"other-{item}") for item in range(9)))
        assert found(b"secret-")
        await store.delete(1)
        assert not found(b"secret-")
        assert found(b"other-8")
        await store.close()
    asyncio.run(steps())


def test_puts_go_on_during_a_deletion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion looks through the log in parts, between which plays of others are committed, and finds the rows of every part."""
    monkeypatch.setattr("musicrec.events.sqlite._ROWS_AT_ONCE", 10)
    store = event_store("sqlite", str(tmp_path / "events.sqlite"))

    async def steps() -> None:
        await asyncio.gather(*(store.put(item % 2, item) for item in range(400)))
        deletion = asyncio.create_task(store.delete(0))
        await store.put(1, 999)
        assert not deletion.done()
        assert await deletion == 10 + 200
        assert {play.user_id for play in store.feedback()} == {1}
        await store.close()
    asyncio.run(steps())


def test_files_of_the_store_are_for_their_owner_alone(tmp_path: Path) -> None:
    """The database and all files beside it have mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        store = event_store("sqlite", str(tmp_path / "new" / "events.sqlite"))
        asyncio.run(store.put(1, 10))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
        assert modes == dict.fromkeys(("events.sqlite", "events.sqlite-wal", "events.sqlite-shm", "events.sqlite-turn"), 0o600)
        asyncio.run(store.close())
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", sorted(EVENT_STORES.keys() - {"memory"}))
def test_survives_reopening(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Plays are returned after the store is opened again."""
    path = request.getfixturevalue("redis_url") if name == "redis" else str(tmp_path / "new" / "events.sqlite")
    scenario(event_store(name, path), [(77, 10), (77, 20)], 77, 10)
    assert scenario(event_store(name, path), [], 77, 10) == [20, 10]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from(TYPES)), max_size=30), st.integers(1, 4))
def test_sqlite_agrees_with_memory(plays: list[tuple[int, int, str]], per_user: int) -> None:
    """SQLite and memory return the same lists, the same memory and the same log for any sequence of feedback."""
    clock = Clock()
    memory = event_store("memory", "", per_user, None, 100, clock)
    disk = event_store("sqlite", f"{tempfile.mkdtemp()}/events.sqlite", per_user, None, 100, clock)

    async def steps() -> None:
        for one in plays:
            await memory.put(*one)
        await asyncio.gather(*(disk.put(*one) for one in plays))
        for user in range(3):
            assert await disk.latest(user, 10) == await memory.latest(user, 10)
            assert [row[:2] for row in await disk.remembered(user)] == [row[:2] for row in await memory.remembered(user)]
        assert list(disk.feedback()) == list(memory.feedback())
        await disk.close()
    asyncio.run(steps())


def test_two_processes_share_one_file(tmp_path: Path) -> None:
    """Two stores over one file, as two workers have them, see each other's plays in one order."""
    path = str(tmp_path / "events.sqlite")
    one, two = event_store("sqlite", path), event_store("sqlite", path)

    async def steps() -> list[int]:
        for item in range(6):
            await (one, two)[item % 2].put(1, item)
        found = await one.latest(1, 10)
        await asyncio.gather(one.close(), two.close())
        return found
    assert asyncio.run(steps()) == [5, 4, 3, 2, 1, 0]


def test_another_worker_respects_a_deletion(tmp_path: Path) -> None:
    """A user deleted through one store is refused by a second one that was open before, and a readmitted one stored."""
    path = str(tmp_path / "events.sqlite")
    one, two = event_store("sqlite", path), event_store("sqlite", path)

    async def steps() -> None:
        await two.put("alice", 10)
        assert await one.delete("alice") == 2
        with pytest.raises(ExcludedUserError):
            await two.latest("alice", 5)
        outcomes = await asyncio.gather(two.put("alice", 20), two.put("bob", 20), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ExcludedUserError, type(None)]
        assert [play.user_id for play in one.feedback()] == ["bob"]
        # As many are excluded afterwards as before, but not the same.
        assert await one.readmit("alice")
        await one.delete("carol")
        outcomes = await asyncio.gather(two.put("alice", 30), two.put("carol", 30), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), ExcludedUserError]
        await asyncio.gather(one.close(), two.close())
    asyncio.run(steps())


def test_log_is_bounded(tmp_path: Path) -> None:
    """The oldest rows beyond log_rows are removed from the log."""
    store = event_store("sqlite", str(tmp_path / "events.sqlite"), log_rows=3)

    async def steps() -> list[int]:
        for item in range(6):
            await store.put(1, item)
        found = [play.item_id for play in store.feedback()]
        await store.close()
        return found
    assert asyncio.run(steps()) == [3, 4, 5]


def test_full_disk_refuses_and_still_reads(tmp_path: Path) -> None:
    """When SQLite has no space a put raises EventStoreError, reads succeed, and puts succeed again when there is space."""
    store = event_store("sqlite", str(tmp_path / "events.sqlite"))
    writer: sqlite3.Connection = store._writer  # type: ignore[attr-defined]

    async def steps() -> None:
        await store.put(1, 10)
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(EventStoreError, match="full"):
            await asyncio.gather(*(store.put(user, 20) for user in range(10_000)))
        assert await store.latest(1, 10) == [10]
        writer.execute("PRAGMA max_page_count = 1000000")
        await store.put(1, 99)
        assert (await store.latest(1, 1)) == [99]
        await store.close()
    asyncio.run(steps())


def test_bounded_waiting() -> None:
    """Puts beyond the bound raise EventStoreError while a slow commit runs, and those that wait are not lost."""
    written: list[int] = []

    def slowly(rows: list[int]) -> None:
        time.sleep(0.1)
        written.extend(rows)

    async def steps() -> None:
        commits: GroupCommit[int] = GroupCommit(slowly, max_waiting=5)
        waiting = [asyncio.create_task(commits.add([number])) for number in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(EventStoreError, match="wait for the disk"):
            await commits.add([99])
        await asyncio.gather(*waiting)
        await commits.close()
    asyncio.run(steps())
    assert written == list(range(5))


def test_not_a_database(tmp_path: Path) -> None:
    """A file that is no SQLite database is refused with one sentence that names it."""
    (tmp_path / "events.sqlite").write_text("not a database, but long enough to have a header that is wrong" * 20)
    with pytest.raises(EventStoreError, match=r"events\.sqlite cannot be opened"):
        event_store("sqlite", str(tmp_path / "events.sqlite"))


def test_unknown_store() -> None:
    """An unknown name is refused with the known ones."""
    with pytest.raises(EventStoreError, match="sqlite, redis, memory"):
        event_store("mongo", "x")


def test_no_redis() -> None:
    """A Redis that does not answer is refused with its address."""
    with pytest.raises(EventStoreError, match=r"no Redis answers at redis://127"):
        event_store("redis", f"redis://127.0.0.1:{free_port()}/0")


def test_an_export_holds_nobody_and_the_answers_that_feedback_names() -> None:
    """Impressions of nobody and empty lists have nulls, and ids stay numbers; recommendation_id is there only where feedback has one."""
    store = event_store("memory", "")

    async def steps() -> None:
        await store.put_exposures([Exposure(1, (10,), ("personal",), 5, ms=2.5), Exposure(NOBODY, (10,), ("track",), 6, outcome="degraded"),
                                   Exposure(2, (), (), 7, outcome="failed")])
        await store.put(1, 10)
        assert "recommendation_id" not in export.interactions(store).schema.names
        await store.put(1, 20, "like", None, "", "5f0c6a1de2b34978")
    asyncio.run(steps())
    shown = export.impressions(store)
    assert shown.schema.field("user_id").type == shown.schema.field("item_id").type == pa.int32()
    assert [(row["user_id"], row["item_id"], row["ms"], row["outcome"]) for row in shown.to_pylist()] == [
        (1, 10, 2.5, ""), (None, 10, None, "degraded"), (2, None, None, "failed")]
    assert export.interactions(store)["recommendation_id"].to_pylist() == ["", "5f0c6a1de2b34978"]


def test_a_file_without_the_newer_columns_gets_them(tmp_path: Path) -> None:
    """Feedback and exposures that an earlier version stored stay, and further ones come after them."""
    path = tmp_path / "events.sqlite"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TABLE plays (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, "
                     "played_at INTEGER NOT NULL, type TEXT NOT NULL DEFAULT 'play', played_share REAL, context TEXT NOT NULL DEFAULT '')")
        file.execute("INSERT INTO plays (user_id, item_id, played_at) VALUES (1, 10, 5)")
        file.execute("CREATE TABLE exposures (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, items TEXT NOT NULL, "
                     "sources TEXT NOT NULL, shown_at INTEGER NOT NULL, first INTEGER NOT NULL, run TEXT NOT NULL, "
                     "recommendation_id TEXT NOT NULL, variant TEXT NOT NULL, propensities TEXT NOT NULL)")
        file.execute("INSERT INTO exposures VALUES (1, 1, '[10]', '[\"personal\"]', 5, 0, 'run', 'id', 'v', '[]')")
    store = event_store("sqlite", str(path))

    async def steps() -> None:
        await store.put(1, 20, recommendation_id="id")
        await store.put_exposures([Exposure(1, (20,), ("online",), 6, ms=1.5)])
        assert [(row.item_id, row.recommendation_id) for row in store.feedback()] == [(10, ""), (20, "id")]
        assert [(row.item_id, row.ms) for row in store.impressions()] == [(10, None), (20, 1.5)]
        await store.close()
    asyncio.run(steps())
