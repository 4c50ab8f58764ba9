"""musicrec users: export, delete, and the exclusion that the next import honours."""

import asyncio
import json
import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.errors import DataError
from musicrec.events import Exposure, event_store
from musicrec.keys import KeyTable, RunKeys, read_key_lines, write_key_lines
from musicrec.pipeline.workspace import raw_tables, workspace
from musicrec.settings import load
from musicrec.sources import Earlier
from musicrec.sources.yandex import Yandex
from tests import taste_logs
from tests.commands import exit_code
from tests.service_world import PERSONAL, PROJECT, USER, published
from tests.source_files import read, stored
from tests.test_services_keys import ALICE, TEXT_ITEMS, keyed_run

MOMENT = 1_600_000_000_000_000


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the command finds its files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSICREC_ARTIFACTS_LOCATION", "artifacts")
    return tmp_path


def put(*plays: tuple[int | str, int | str]) -> None:
    """Store plays, and the first of them as an impression too."""
    async def steps() -> None:
        store = event_store("sqlite", "var/events.sqlite", clock=lambda: MOMENT / 1e6)
        for play in plays:
            await store.put(*play)
        await store.put_exposures([Exposure(plays[0][0], (plays[0][1],), ("personal",), MOMENT)])
        await store.close()
    asyncio.run(steps())


def test_export_writes_what_is_stored_of_one_user(here: Path) -> None:
    """Plays, impressions and the personal lists of the user and of nobody else, in a file for its owner alone."""
    published(here, familiar=[105, 101])
    put((USER, 200), (16, 201))
    assert exit_code("users", "export", str(USER), "--out", "user.json") == 0
    found = json.loads((here / "user.json").read_text())
    assert (found["user"], found["deleted_at"]) == (USER, None)
    assert found["feedback"] == [{"user_id": USER, "item_id": 200, "at": MOMENT, "type": "play", "played_share": None, "context": "",
                                  "recommendation_id": ""}]
    assert found["impressions"] == [{"user_id": USER, "item_id": 200, "source": "personal", "position": 0, "shown_at": MOMENT,
                                     "run": "", "recommendation_id": "", "variant": "", "propensity": None, "ms": None, "outcome": ""}]
    assert [row["item_id"] for row in found["recommendations"]] == list(PERSONAL)
    assert [row["item_id"] for row in found["familiar"]] == [105, 101]
    assert stat.S_IMODE((here / "user.json").stat().st_mode) == 0o600


def test_exports_of_events_are_for_their_owner_alone(here: Path) -> None:
    """Plays of users are written with mode 0600, whatever the umask."""
    put((USER, 200))
    before = os.umask(0)
    try:
        assert exit_code("events", "export", "--out", "plays.parquet") == 0
        assert exit_code("users", "excluded", "--out", "excluded.txt") == 0
    finally:
        os.umask(before)
    assert {stat.S_IMODE((here / name).stat().st_mode) for name in ("plays.parquet", "excluded.txt")} == {0o600}


def test_a_user_is_deleted_by_key_or_id(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both names mean the same user; export then has no plays and the time of the deletion; others keep theirs."""
    keyed_run(here, {ALICE: USER, "bob": 16}, TEXT_ITEMS)
    put((ALICE, "spotify:track:0200"), ("bob", "spotify:track:0201"))
    assert exit_code("users", "export", str(USER)) == 0
    before = json.loads(capsys.readouterr().out)
    assert (before["user"], len(before["feedback"])) == (ALICE, 1)
    assert before["recommendations"][0]["item_key"] == f"spotify:track:{PERSONAL[0]:04d}"
    assert exit_code("users", "delete", str(USER)) == 0
    assert "3 rows" in capsys.readouterr().out
    assert exit_code("users", "export", ALICE) == 0
    after = json.loads(capsys.readouterr().out)
    assert (after["feedback"], after["impressions"]) == ([], [])
    assert after["deleted_at"]
    assert exit_code("users", "excluded", "--out", "excluded.txt") == 0
    assert (here / "excluded.txt").read_text() == f"{ALICE}\n"
    capsys.readouterr()
    assert exit_code("events", "stats") == 0
    assert "1 plays of 1 items by 1 users" in capsys.readouterr().out


def test_a_user_is_readmitted_by_key_or_id(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A deleted user leaves the list of excluded users and plays are stored again; one who is not on it is told so."""
    keyed_run(here, {ALICE: USER}, TEXT_ITEMS)
    put((ALICE, "spotify:track:0200"))
    assert exit_code("users", "delete", ALICE) == 0
    assert exit_code("users", "readmit", str(USER)) == 0
    assert "is no longer excluded" in capsys.readouterr().out
    assert exit_code("users", "readmit", ALICE) == 0
    assert capsys.readouterr().out == f"User {ALICE} was not excluded.\n"
    assert exit_code("users", "excluded") == 0
    assert capsys.readouterr().out == ""
    put((ALICE, "spotify:track:0201"))


def test_without_a_run_a_user_is_known_by_key(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is published plays can be exported and deleted; there is no personal list."""
    put((7, 1), ("eve", 2))
    assert exit_code("users", "export", "eve") == 0
    found = json.loads(capsys.readouterr().out)
    assert (len(found["feedback"]), found["recommendations"]) == (1, [])
    assert exit_code("users", "delete", "7") == 0
    assert capsys.readouterr().out.startswith("3 rows of user 7")


def test_the_memory_of_a_service_is_not_reached(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With store = memory the command says what to do instead of deleting nothing."""
    monkeypatch.setenv("MUSICREC_EVENTS_STORE", "memory")
    assert exit_code("users", "delete", "7") == 1
    assert "DELETE /users/KEY" in capsys.readouterr().err


def test_keys_survive_the_file_of_excluded_users(tmp_path: Path) -> None:
    """Every key comes back, also with line breaks, quotes and accents; empty lines and Windows line ends are no keys."""
    keys = ["7", "alice", "a\nb", '"quoted"', "  spaced ", "ünï\u2028code", "tab\tbed", "cr\r"]
    path = tmp_path / "excluded.txt"
    path.write_text(write_key_lines(keys), encoding="utf-8")
    assert read_key_lines(path) == frozenset(keys)
    path.write_bytes(b"ann\r\n\r\nben\r\n")
    assert read_key_lines(path) == {"ann", "ben"}
    with pytest.raises(DataError, match="one key a line"):
        read_key_lines(tmp_path / "missing.txt")


def test_an_import_leaves_out_excluded_users_by_key_and_by_id(tmp_path: Path) -> None:
    """Their plays, feedback and tracks are not in the tables; the account counts the rows under their reason, and not as bad."""
    (tmp_path / "plays.csv").write_text("user,track,timestamp\n" + "".join(
        f"{user},{track},2024-01-{day:02d}\n" for day, (user, track) in enumerate(
            [("ann", "x"), ("ben", "only-bens"), ("ann", "y"), ("cid", "x"), ("ben", "x"), ("ann2", "x")], 1)))
    earlier = RunKeys(KeyTable().extended(["ann", "ben", "cid"]))
    found = read("columns", tmp_path, Earlier(earlier, None, frozenset({"ben", "2", "nobody"})), work=tmp_path / "work")
    users = found.keys.user.keys_of(found.interactions.to_pyarrow()["user_id"].to_numpy()).to_pylist()
    assert sorted(users) == ["ann", "ann", "ann2"]
    assert "only-bens" not in found.keys.item.keys.to_pylist()
    assert found.keys.user.ids_of(["ann", "ben", "cid"]).tolist() == [0, 1, 2], "ids keep their meaning"
    account = found.account
    assert (account.rows, account.bad, account.left_out["the user was deleted"].rows) == (3, 0, 3)
    assert any("3 rows left out: the user was deleted" in sentence for sentence in account.sentences())


def test_an_import_by_ids_leaves_out_excluded_users(tmp_path: Path) -> None:
    """Source yandex leaves them out of the logs and of further plays, and the account adds up."""
    stored(tmp_path / "logs", Yandex.example)
    further = pq.read_table(tmp_path / "logs" / "interactions.parquet").select(["user_id", "track_id", "started_at"])
    further = further.set_column(0, "user_id", pa.array([1, 9], pa.int32()))
    pq.write_table(further, tmp_path / "further.parquet")
    found = read("yandex", tmp_path / "logs", Earlier(RunKeys(), tmp_path / "further.parquet", frozenset({"1", "text", "9" * 30})))
    assert sorted(found.interactions.to_pyarrow()["user_id"].to_pylist()) == [0, 9]
    assert [file.rows for file in found.account.files] == [1, 1]
    assert found.account.left_out["the user was deleted"].rows == 2
    found.account.check(0)
    assert "lines that no row accounts for" not in found.account.left_out


def test_a_training_reads_the_file_of_excluded_users(tmp_path: Path) -> None:
    """[data] excluded keeps a user out of the raw tables of a run and is accounted for in its manifest; a missing file is refused."""
    logs = taste_logs.write(tmp_path / "logs")
    user = pq.read_table(logs / "interactions.parquet")["user_id"][0].as_py()
    file = tmp_path / "excluded.txt"
    environ = {**taste_logs.environment(logs, tmp_path), "MUSICREC_DATA_EXCLUDED": str(file)}
    work = workspace(load(PROJECT / "config.ini", environ))
    with pytest.raises(DataError, match="one key a line"):
        raw_tables(work)
    file.write_text(f"{user}\n")
    users = raw_tables(work).interactions.to_pyarrow()["user_id"].to_pylist()
    assert users
    assert user not in users
    assert json.loads((work.folder / "account.json").read_text())["left_out"]["the user was deleted"]["rows"] > 0
