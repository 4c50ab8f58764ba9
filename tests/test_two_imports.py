"""Two trainings a week apart, with real services before, in between and after: every play is at its owner, and the model has learned."""

import csv
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from musicrec import pipeline, registry, settings
from musicrec.registry import Manifest
from musicrec.storage import storage
from tests import taste_logs
from tests.commands import environment, exit_code
from tests.service_world import PROJECT, Services, running

pytestmark = pytest.mark.slow
Row = tuple[str, str, object]
# Even tracks are those of the first camp. Two of the plays name user and track by id, as a client may.
KNOWN, NEW = "user-0001", "zoe"
PLAYED = {KNOWN: ("track:101", "track:141", "track:143", "track:145", "track:147"), NEW: ("track:100", "track:102", "track:104"),
          "user-0003": ("track:new",)}
BY_ID = ("user-0002", "track:102")


def write_logs(folder: Path, rows: list[Row]) -> None:
    """A CSV of plays with text keys."""
    folder.mkdir(exist_ok=True)
    with (folder / "plays.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("user", "track", "timestamp"), *rows])


def trained(root: Path, **changed: str) -> Manifest:
    """The run that a training on root/logs publishes."""
    environ = {**taste_logs.environment(root / "logs", root), "MUSICREC_DATA_SOURCE": "columns", "MUSICREC_SPLIT_TEST_START": "2022-12-16",
               "MUSICREC_SOURCES_COLUMNS_WORK": str(root / "imported"), **changed}
    pipeline.run(settings.load(PROJECT / "config.ini", environ))
    return registry.current(storage(str(root / "artifacts"), {}))


@dataclass(frozen=True)
class Answer:
    """The offline list of a user, the run that it is from, and how it was found."""

    items: list[str]
    run: str
    strategy: str


def answers(found: Services) -> dict[str, Answer]:
    """What the users who played online are answered."""
    told = {user: found.post("recommendations", "/recommendations_offline", user_id=user, k=10) for user in (KNOWN, NEW)}
    return {user: Answer(one.json()["recs"], one.headers["X-Run-Id"], one.headers["X-Strategy"]) for user, one in told.items()}


@dataclass(frozen=True)
class Weeks:
    """What is there in the end: the rows of the logs at first, both runs, and the answers before the plays and after the second run."""

    root: Path
    rows: list[Row]
    runs: tuple[Manifest, Manifest]
    answers: tuple[dict[str, Answer], dict[str, Answer]]

    def keys(self, run: Manifest, kind: str) -> dict[str, int]:
        """The ids of the keys of a run."""
        table = pq.read_table(self.root / "artifacts" / "runs" / run.run_id / f"{kind}_keys.parquet").to_pydict()
        return dict(zip(table["key"], table["id"]))


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Weeks:
    """Train, answer, store plays, export them, train again on them and on logs with a newcomer early in the alphabet, answer."""
    root = tmp_path_factory.mktemp("weeks")
    world = pq.read_table(taste_logs.write(root / "world") / "interactions.parquet").to_pylist()
    rows: list[Row] = [(f"user-{row['user_id']:04d}", f"track:{row['track_id']}", row["started_at"] + timedelta(minutes=row["track_seq"]))
                       for row in world]
    write_logs(root / "logs", rows)
    runs = [trained(root)]
    with running(root, MUSICREC_ARTIFACTS_CACHE_FOLDER=str(root / "cache")) as found:
        weeks = Weeks(root, rows, (runs[0], runs[0]), (before := answers(found), before))
        ids = weeks.keys(runs[0], "user")[BY_ID[0]], weeks.keys(runs[0], "item")[BY_ID[1]]
        for user, item in [*((user, item) for user, items in PLAYED.items() for item in items), ids]:
            assert found.post("events", "/put", user_id=user, item_id=item).json() == {"result": "ok"}
        with environment(found.environment):
            assert exit_code("events", "export", "--form", "interactions", "--out", root / "online.parquet") == 0
        write_logs(root / "logs", [*rows, ("aaron", "a track", rows[0][2])])
        runs.append(trained(root, MUSICREC_DATA_FURTHER_PLAYS=str(root / "online.parquet")))
        found.stop("recommendations", signal.SIGKILL)
        found.start("recommendations")
        return Weeks(root, rows, (runs[0], runs[1]), (before, answers(found)))


def test_every_play_is_at_its_owner_after_the_next_import(weeks: Weeks) -> None:
    """A newcomer early in the alphabet renumbers nobody; plays stored by key, by id, of a new user and of a new track are theirs."""
    first, second = weeks.runs
    users, items = weeks.keys(first, "user"), weeks.keys(first, "item")
    now, tracks = weeks.keys(second, "user"), weeks.keys(second, "item")
    assert {user: now[user] for user in users} == users
    assert {item: tracks[item] for item in items} == items
    assert set(now) - set(users) == {"aaron", NEW}
    events = pq.read_table(weeks.root / "artifacts" / "runs" / second.run_id / "events.parquet").to_pylist()
    played = [*((user, item) for user, of_user in PLAYED.items() for item in of_user), BY_ID]
    assert len(events) == len(weeks.rows) + 1 + len(played)
    assert {(now[user], tracks[item]) for user, item in played} <= {(row["user_id"], row["item_id"]) for row in events}
    assert second.info.account["rows"] == len(events)


def test_the_next_run_learns_from_stored_plays(weeks: Weeks) -> None:
    """A new user gets a personal list, a known user's list changes, and neither is recommended what they have just played."""
    before, after = weeks.answers
    assert {answer.run for answer in after.values()} == {weeks.runs[1].run_id}
    assert (before[NEW].strategy, after[NEW].strategy) == ("popular", "personal")
    lists = pq.read_table(weeks.root / "artifacts" / "runs" / weeks.runs[1].run_id / "recommendations.parquet")
    assert weeks.keys(weeks.runs[1], "user")[NEW] in lists["user_id"].to_pylist()
    numbers = [int(item.removeprefix("track:")) for item in after[NEW].items[:5]]
    assert sum(number % 2 == 0 for number in numbers) >= 4, "the new user's list does not follow their taste"
    assert before[KNOWN].items != after[KNOWN].items
    for user in before:
        assert not set(after[user].items) & set(PLAYED[user])
