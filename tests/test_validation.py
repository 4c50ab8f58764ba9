"""Each finding is triggered by one change to logs that have no findings."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec import engine
from musicrec.errors import DataError
from musicrec.validation import Logs, findings
from musicrec.validation.dates import id_order, weekday_ratios
from musicrec.validation.pairs import repeated_pairs
from tests.logs import Rows, raw_rows, raw_tables

LATE = date(2022, 12, 1)
Change = Any


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One DuckDB for all tests."""
    return engine.connect("duckdb", memory_limit="1GB", threads=1, temp_folder=tmp_path_factory.mktemp("spill"))


def _found(rows: Rows, connection: Any, folder: Path, leave_out: tuple[str, ...] = ("played_share",)) -> pd.DataFrame:
    return findings(*raw_tables(rows, connection, folder, leave_out), LATE)


def _set(table: str, row: int = 0, **values: Any) -> Change:
    return lambda rows: rows[table][row].update(values)


def _named(kind: str, ident: int, **values: Any) -> Change:
    def change(rows: Rows) -> None:
        next(row for row in rows["catalog_names"] if (row["type"], row["id"]) == (kind, ident)).update(values)
    return change


def _add(table: str, **values: Any) -> Change:
    return lambda rows: rows[table].append({**rows[table][0], **values})


def _days_only(rows: Rows) -> None:
    for play in rows["interactions"]:
        play["started_at"] = play["started_at"].replace(hour=0, minute=0)


def _without_user(rows: Rows) -> None:
    rows["interactions"] = [play for play in rows["interactions"] if play["user_id"] != 5]


def _by_id(rows: Rows) -> None:
    rows["interactions"].sort(key=lambda play: (play["user_id"], play["track_id"]))
    for place, play in enumerate(rows["interactions"]):
        play["started_at"] = datetime(2022, 1, 1, 8) + timedelta(days=place % 5, minutes=place)
        play["track_seq"] = 1 + place % 5


def _machine(rows: Rows) -> None:
    play = {**rows["interactions"][0], "user_id": 14}
    rows["interactions"] += [{**play, "track_seq": 1 + place, "started_at": datetime(2022, 3, 1) + timedelta(seconds=20 * place)}
                             for place in range(3000)]


TRIGGERS: dict[str, tuple[Change, str, int]] = {
    "no time": (_set("interactions", started_at=None), "rows of interactions without started_at", 1),
    "no track id": (_add("tracks", track_id=None), "rows of tracks without track_id", 1),
    "no user": (_set("interactions", user_id=None), "rows of interactions without user_id", 1),
    "same track": (_add("tracks"), "track ids with several rows in tracks", 1),
    "orphan": (_set("interactions", track_id=7), "plays of tracks that are not in the catalog", 1),
    "two names": (_add("catalog_names", name="other"), "ids with several rows of one type in catalog_names", 1),
    "no title": (_named("track", 104, name=" "), "tracks without a name", 1),
    "no album": (_named("album", 1004, name=None), "album ids without a name (share: tracks that have one)", 1),
    "no artist": (_named("artist", 2004, name=""), "artist ids without a name (share: tracks that have one)", 1),
    "no genre": (_set("tracks", genres=[3000, 555]), "genre ids without a name (share: tracks that have one)", 1),
    "empty albums": (_set("tracks", albums=[]), "tracks without albums", 1),
    "null artists": (_set("tracks", artists=None), "tracks without artists", 1),
    "empty genres": (_set("tracks", genres=[]), "tracks without genres", 1),
    "None": (_named("genre", 3001, name="None"), "names that are the text None, nan or null", 1),
    "namesakes": (_named("artist", 2004, name="artist 2005"), "artist ids that share their name with another", 2),
    "twice": (_set("tracks", albums=[1000, 1000]), "tracks whose albums repeat a name", 1),
    "same number": (_add("catalog_names", type="album", name="x"), "ids that occur under several types", 1),
    "gap": (_set("interactions", 4, track_seq=9), "users with gaps or repeats in track_seq", 1),
    "again": (_add("interactions", track_seq=6), "plays that repeat an earlier (user, track)", 1),
    "unplayed": (_add("tracks", track_id=900), "tracks that nobody played", 1),
    "absent": (_without_user, "user ids without plays", 1),
    "share": (_set("interactions", played_share=1.5), "played shares outside 0..1", 1),
    "1970": (_set("interactions", started_at=datetime(1970, 1, 1, 0, 1)), "plays dated before 1990 or in the future", 1),
    "2037": (_set("interactions", started_at=datetime(2037, 1, 1)), "plays dated before 1990 or in the future", 1),
    "machine": (_machine, "accounts that no single listener can be", 1),
    "days": (_days_only, "plays dated to the day, without a time of day", 60),
    "cold": (_set("interactions", user_id=13, track_seq=1, started_at=datetime(2022, 12, 5, 1)),
             "users from 2022-12-01 on who have no earlier play", 1),
    "ids": (_by_id, "users whose plays are in order of track id (share: of users measured)", 12),
}


def test_regular_logs_have_no_findings(connection: Any, tmp_path: Path) -> None:
    """Logs without irregularities give an empty table with all columns."""
    found = _found(raw_rows(), connection, tmp_path, leave_out=())
    assert found["finding"].tolist() == []
    assert found.columns.tolist() == ["severity", "finding", "count", "share", "example", "action"]


@pytest.mark.parametrize("name", TRIGGERS)
def test_each_irregularity_is_found_and_counted(connection: Any, tmp_path: Path, name: str) -> None:
    """One change gives the finding with the right count, a share in 0..1, and an action."""
    change, finding, count = TRIGGERS[name]
    rows = raw_rows()
    change(rows)
    found = _found(rows, connection, tmp_path, leave_out=()).set_index("finding")
    row = found.loc[finding]
    assert row["count"] == count
    assert 0 < row["share"] <= 1
    assert row["action"].endswith(".")


def test_findings_come_worst_first(connection: Any, tmp_path: Path) -> None:
    """Errors before warnings before notes."""
    rows = raw_rows()
    for name in ("unplayed", "no title", "orphan", "twice"):
        TRIGGERS[name][0](rows)
    severity = _found(rows, connection, tmp_path)["severity"].tolist()
    assert severity == sorted(severity, key=["error", "warning", "note"].index)
    assert set(severity) == {"error", "warning", "note"}


def test_a_damaged_file_is_one_sentence(connection: Any, tmp_path: Path) -> None:
    """Overwritten bytes in the middle of catalog_names raise DataError."""
    tables = raw_tables(raw_rows(30, 300), connection, tmp_path)
    file = tmp_path / "catalog_names.parquet"
    content = bytearray(file.read_bytes())
    content[100:-3000] = np.random.default_rng(0).bytes(len(content) - 3100)
    file.write_bytes(content)
    with pytest.raises(DataError, match="The logs cannot be read"):
        findings(*tables, LATE)


def test_repeats_are_counted_whatever_the_order_and_the_ranges(connection: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shuffled plays of distant user ids, counted in ranges of a few users, give the same count as pandas' duplicated."""
    monkeypatch.setattr("musicrec.validation.pairs.RANGE_PLAYS", 100)
    rng, rows = np.random.default_rng(0), raw_rows()
    rows["interactions"] = [{**rows["interactions"][0], "user_id": int(user), "track_id": int(track)}
                            for user, track in zip(rng.choice([3, 4, 9, 5000, 2**31 - 1], 900), rng.integers(0, 400, 900))]
    pairs = pd.DataFrame(rows["interactions"])[["user_id", "track_id"]]
    again = pairs[pairs.duplicated()]
    assert repeated_pairs(Logs(*raw_tables(rows, connection, tmp_path), LATE)) == (len(again), again["user_id"].min())


def test_concentration_is_found_when_the_top_percent_of_tracks_has_a_fifth_of_plays(connection: Any, tmp_path: Path) -> None:
    """The share is that of the top 1 % of tracks; evenly played tracks give no finding."""
    rows = raw_rows(40, 200)
    for user in range(1, 41):
        rows["interactions"] += [{**rows["interactions"][0], "user_id": user, "track_id": 100 + t} for t in (0, 1) for _ in range(30)]
    found = _found(rows, connection, tmp_path).set_index("finding")
    assert found.loc["plays of the top 1 % of tracks", "share"] == pytest.approx((2400 + 2 * 20) / (2400 + 40 * 100), abs=0.001)
    even = _found(raw_rows(40, 200), connection, tmp_path)
    assert "plays of the top 1 % of tracks" not in set(even["finding"])


@pytest.mark.parametrize("sunday", [1.0, 0.9], ids=["flat", "quiet Sunday"])
def test_a_flat_week_is_a_finding_and_a_quiet_sunday_is_none(connection: Any, sunday: float, tmp_path: Path) -> None:
    """Twelve weeks of 1,200 plays every day are a finding; with a tenth less on Sundays they are not."""
    days = np.arange(np.datetime64("2022-01-03"), np.datetime64("2022-03-28"))
    of_day = np.where(np.arange(len(days)) % 7 == 6, round(1200 * sunday), 1200)
    moments = np.repeat(days, of_day).astype("datetime64[us]") + np.tile(np.arange(3, dtype="m8[h]"), of_day.sum() // 3)
    rows = raw_rows()
    tables = raw_tables(rows, connection, tmp_path)
    n = len(moments)
    plays = pa.table({"user_id": pa.array(np.arange(n) % 12 + 1, pa.int32()), "track_id": pa.array(np.arange(n) % 10 + 100, pa.int32()),
                      "track_seq": pa.array(np.arange(n) % 30_000, pa.int16()), "started_at": pa.array(moments)})
    pq.write_table(plays, tmp_path / "many.parquet")
    found = findings(tables[0], tables[1], connection.read_parquet(tmp_path / "many.parquet"), LATE)
    assert ("days of the week do not differ" in set(found["finding"])) == (sunday == 1)


def test_weekday_ratios_show_a_quiet_sunday_and_no_trend() -> None:
    """Ratios are 1 for equal days with a trend, and below 0.8 for a Sunday with 30 % fewer plays."""
    days = pd.date_range("2022-01-03", periods=140)
    trend = pd.Series(np.linspace(1000, 3000, 140), days)
    flat, quiet = weekday_ratios(trend), weekday_ratios(trend.where(days.day_of_week != 6, trend * 0.7))
    assert flat is not None
    assert quiet is not None
    assert (flat - 1).abs().max() < 0.001
    assert quiet.idxmin() == 6
    assert quiet.min() < 0.8
    assert weekday_ratios(trend[:30]) is None


def test_id_order_by_chance_is_what_shuffling_gives(connection: Any, tmp_path: Path) -> None:
    """On random dates the measured share is near the computed chance, for users of 2 to 4 plays on few days."""
    rng, rows = np.random.default_rng(0), raw_rows()
    rows["interactions"] = [{"user_id": user, "track_id": int(track), "track_seq": seq, "started_at": datetime(2022, 1, int(day)),
                             "played_share": 1.0}
                            for user in range(4000) for seq, (track, day) in
                            enumerate(zip(rng.permutation(10)[: 2 + user % 3] + 100, rng.integers(1, 4, 4)), 1)]
    logs = Logs(*raw_tables(rows, connection, tmp_path), LATE)
    followed, chance, users = id_order(logs)
    assert users > 3000
    assert followed == pytest.approx(chance, abs=0.02)
