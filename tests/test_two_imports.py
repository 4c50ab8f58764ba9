"""Two trainings a week apart, with real services in between: every play is at its owner in the end."""

import csv
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from musicrec import pipeline, registry, settings
from musicrec.registry import Manifest
from musicrec.storage import storage
from tests import taste_logs
from tests.commands import exit_code
from tests.service_world import PROJECT, services

Row = tuple[str, str, object]


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


def keys(root: Path, run: Manifest, kind: str) -> dict[str, int]:
    """The ids of the keys of a run."""
    table = pq.read_table(root / "artifacts" / "runs" / run.run_id / f"{kind}_keys.parquet").to_pydict()
    return dict(zip(table["key"], table["id"]))


@pytest.mark.slow
def test_every_play_is_at_its_owner_after_the_next_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer early in the alphabet renumbers nobody; plays stored by key, by id, of a new user and of a new track are theirs."""
    world = pq.read_table(taste_logs.write(tmp_path / "world") / "interactions.parquet").to_pylist()
    rows: list[Row] = [(f"user-{row['user_id']:04d}", f"track:{row['track_id']}", row["started_at"] + timedelta(minutes=row["track_seq"]))
                       for row in world]
    write_logs(tmp_path / "logs", rows)
    first = trained(tmp_path)
    users, items = keys(tmp_path, first, "user"), keys(tmp_path, first, "item")
    played = [("user-0001", "track:101"), (str(users["user-0002"]), str(items["track:102"])), ("zoe", "track:100"),
              ("user-0003", "track:new")]
    found = services(tmp_path, MUSICREC_ARTIFACTS_CACHE_FOLDER=str(tmp_path / "cache"))
    try:
        found.start("events")
        for user, item in played:
            assert found.post("events", "/put", user_id=user, item_id=item).json() == {"result": "ok"}
        found.stop("events")
    finally:
        for process in found.running.values():
            process.kill()
    monkeypatch.setenv("MUSICREC_EVENTS_PATH", str(tmp_path / "events.sqlite"))
    assert exit_code("events", "export", "--form", "interactions", "--out", tmp_path / "online.parquet") == 0

    write_logs(tmp_path / "logs", [*rows, ("aaron", "a track", rows[0][2])])
    second = trained(tmp_path, MUSICREC_DATA_FURTHER_PLAYS=str(tmp_path / "online.parquet"))
    now, tracks = keys(tmp_path, second, "user"), keys(tmp_path, second, "item")
    assert {user: now[user] for user in users} == users
    assert {item: tracks[item] for item in items} == items
    assert set(now) - set(users) == {"aaron", "zoe"}
    events = pq.read_table(tmp_path / "artifacts" / "runs" / second.run_id / "events.parquet").to_pylist()
    assert len(events) == len(rows) + 1 + len(played)
    of_user = {(row["user_id"], row["item_id"]) for row in events}
    assert {(now["user-0001"], tracks["track:101"]), (now["user-0002"], tracks["track:102"]), (now["zoe"], tracks["track:100"]),
            (now["user-0003"], tracks["track:new"])} <= of_user
    assert second.info.account["rows"] == len(events)
