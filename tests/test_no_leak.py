"""No leak: whatever happens at or after a cutoff, all that was made from the events before it stays the same, bit for bit."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec import split
from musicrec.candidates import GENERATORS
from musicrec.engine import connect
from musicrec.evaluation import Judge, gate
from musicrec.features import FEATURES
from musicrec.lists import Lists
from musicrec.matrix import Catalogue, History, Plays, catalogue
from musicrec.prepare import prepared, write
from musicrec.ranking import RankerSettings, TrainingTable, answers, fit_ranker, pairs, training_table
from musicrec.schema import RAW_INTERACTIONS, RAW_NAMES, RAW_TRACKS

CUTOFF, WINDOW = datetime(2022, 7, 1), datetime(2022, 6, 1)
N_TRACKS, N_USERS = 60, 40
Rows = pd.DataFrame


def listens(seed: int = 0, n_users: int = N_USERS) -> Rows:
    """A year of listening in two camps: even users like even tracks, and each camp moves on to higher ids over the year."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(1, n_users + 1), 40)
    days = rng.integers(0, 365, len(users))
    like = np.where(rng.random(len(users)) < 0.85, users % 2, 1 - users % 2)
    tracks = 2 * np.minimum(rng.geometric(0.12, len(users)) - 1 + days // 60, N_TRACKS // 2 - 1) + like
    rows = pd.DataFrame({"user_id": users, "track_id": tracks + 100, "started_at": datetime(2022, 1, 1) + pd.to_timedelta(days, unit="D")})
    return rows.drop_duplicates(["user_id", "track_id"])


def deleted(rows: Rows) -> Rows:
    """Nothing happens after the cutoff."""
    return rows[rows["started_at"] < CUTOFF]


def altered(rows: Rows) -> Rows:
    """Other tracks at other times after the cutoff."""
    late = (rows["started_at"] >= CUTOFF).to_numpy()
    rng, changed = np.random.default_rng(1), rows.copy()
    changed.loc[late, "track_id"] = rng.integers(100, 100 + N_TRACKS, late.sum())
    changed.loc[late, "started_at"] = CUTOFF + pd.to_timedelta(rng.integers(0, 900, late.sum()), unit="D")
    return changed


def added(rows: Rows) -> Rows:
    """New users with small and large ids play everything from the very first instant of the future on."""
    users, tracks = (part.ravel() for part in np.meshgrid([0, 7, 9000], np.arange(100, 100 + N_TRACKS)))
    times = [CUTOFF + timedelta(hours=int(hour)) for hour in np.arange(len(users)) // 2]
    return pd.concat([rows, pd.DataFrame({"user_id": users, "track_id": tracks, "started_at": times})], ignore_index=True)


def earlier(rows: Rows) -> Rows:
    """One more play on the last day before the label window: this one may and must be seen."""
    one = pd.DataFrame({"user_id": [3], "track_id": [159], "started_at": [WINDOW - timedelta(days=1)]})
    return pd.concat([rows, one], ignore_index=True)


FUTURES: dict[str, Callable[[Rows], Rows]] = {"deleted": deleted, "altered": altered, "added": added}


def raw(rows: Rows) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Tracks, catalogue names and these interactions in the three-file form."""
    ids = np.arange(100, 100 + N_TRACKS)
    tracks = {"track_id": ids, "albums": [[i // 4] for i in ids], "artists": [[i % 2, 2 + i // 6] for i in ids],
              "genres": [[i % 2] for i in ids]}
    names = [(int(i), "track", f"track {i}") for i in ids]
    names += [(i, kind, f"{kind} {i}") for kind in ("album", "artist", "genre") for i in range(50)]
    rows = rows.sort_values(["user_id", "started_at", "track_id"], ignore_index=True)
    rows["track_seq"] = rows.groupby("user_id").cumcount() + 1
    return (pa.table(tracks, schema=pa.schema([(name, RAW_TRACKS.arrow.field(name).type) for name in tracks])),
            pa.table([list(column) for column in zip(*names)], schema=RAW_NAMES.arrow),
            pa.Table.from_pandas(rows[["user_id", "track_id", "track_seq", "started_at"]], preserve_index=False).cast(
                pa.schema([field for field in RAW_INTERACTIONS.arrow if field.name != "played_share"])))


Past = tuple[History, History, Plays]


def past_of(rows: Rows, folder: Path) -> Past:
    """The history before the cutoff, the history before the label window, and the labels of the window, through prepare and split."""
    connection = connect("duckdb", memory_limit="1GB", threads=1, temp_folder=folder / "spill")
    files = dict(zip(("tracks", "names", "interactions"), raw(rows)))
    for name, table in files.items():
        pq.write_table(table, folder / f"raw_{name}.parquet")
    tables = (connection.read_parquet(folder / f"raw_{name}.parquet") for name in files)
    write(prepared(*tables), folder)
    made: Catalogue = catalogue(pq.read_table(folder / "items.parquet"))
    events = folder / "events.parquet"
    return (split.history(events, made, CUTOFF.date()), split.history(events, made, WINDOW.date()),
            split.labels(events, made, WINDOW.date(), CUTOFF.date()))


@pytest.fixture(scope="module")
def pasts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Past]:
    """The past as it is, and under every other future."""
    worlds = {"as it is": listens(), **{name: change(listens()) for name, change in FUTURES.items()}, "earlier": earlier(listens())}
    return {name: past_of(rows, tmp_path_factory.mktemp("world")) for name, rows in worlds.items()}


def parts(past: History) -> dict[str, np.ndarray]:
    """All arrays of a history."""
    of_catalogue = {f"{name}.{part}": getattr(getattr(past.catalogue, name), part)
                    for name in ("genres", "artists", "albums") for part in ("indptr", "indices", "data")}
    return {"user_ids": past.user_ids, "item_ids": past.item_ids, "minutes": past.minutes, "cutoff": np.array(past.cutoff),
            "indptr": past.matrix.indptr, "indices": past.matrix.indices, "data": past.matrix.data, **of_catalogue}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether all arrays agree in every bit."""
    return all(one[name].tobytes() == other[name].tobytes() for name in one)


def rows_of(past: History) -> np.ndarray:
    """Every user and the one without history."""
    return np.arange(-1, len(past.user_ids), dtype=np.int32)


def lists_of(past: History, name: str) -> dict[str, np.ndarray]:
    """What a generator offers everybody."""
    items, scores = GENERATORS[name]().fit(past).recommend(rows_of(past), 20)
    return {"items": items, "scores": scores}


def values_of(past: History, name: str) -> dict[str, np.ndarray]:
    """What a feature group says about all pairs."""
    users, items = np.repeat(rows_of(past), N_TRACKS), np.tile(np.arange(N_TRACKS, dtype=np.int32), len(rows_of(past)))
    return {"values": FEATURES[name]().fit(past).values(users, items)}


def training_of(past: History, labels: Plays) -> TrainingTable:
    """The table that the ranker learns from: two generators, all feature groups, labels of the window."""
    recommenders = {name: GENERATORS[name]().fit(past) for name in ("popular", "item_knn")}
    rows = past.user_index(labels.user_ids)
    found = pairs(answers(recommenders, rows, 30), rows, 40)
    return training_table(found, labels.user_ids, labels, {name: group().fit(past) for name, group in FEATURES.items()}, 20, seed=0)


@pytest.mark.parametrize("future", FUTURES)
def test_history_and_labels_do_not_know_the_future(pasts: dict[str, Past], future: str) -> None:
    """Ids, plays, times, names and cutoffs before the cutoff are the same under another future, and so are the labels before it."""
    for mine, other in zip(pasts["as it is"][:2], pasts[future][:2]):
        assert same(parts(mine), parts(other))
    mine, other = pasts["as it is"][2], pasts[future][2]
    assert mine.user_ids.tobytes() == other.user_ids.tobytes()
    assert mine.matrix.indices.tobytes() == other.matrix.indices.tobytes()


@pytest.mark.parametrize("future", FUTURES)
@pytest.mark.parametrize("name", GENERATORS)
def test_candidates_do_not_know_the_future(pasts: dict[str, Past], name: str, future: str) -> None:
    """Every generator's items and scores are the same under another future."""
    assert same(lists_of(pasts["as it is"][0], name), lists_of(pasts[future][0], name))


@pytest.mark.parametrize("future", FUTURES)
@pytest.mark.parametrize("name", FEATURES)
def test_features_do_not_know_the_future(pasts: dict[str, Past], name: str, future: str) -> None:
    """Every feature of every pair is the same under another future."""
    assert same(values_of(pasts["as it is"][0], name), values_of(pasts[future][0], name))


@pytest.mark.parametrize("future", FUTURES)
def test_what_the_ranker_learns_from_does_not_know_the_future(pasts: dict[str, Past], future: str) -> None:
    """Features, targets and groups of the training table are the same under another future."""
    mine, other = (training_of(*pasts[name][1:]) for name in ("as it is", future))
    assert len(mine) > 100
    for part in ("features", "target", "group"):
        assert getattr(mine, part).tobytes() == getattr(other, part).tobytes()


def test_an_earlier_event_is_seen(pasts: dict[str, Past]) -> None:
    """The comparison can fail: one more play before the label window changes histories and training table."""
    assert not same(parts(pasts["as it is"][0]), parts(pasts["earlier"][0]))
    assert training_of(*pasts["as it is"][1:]).features.tobytes() != training_of(*pasts["earlier"][1:]).features.tobytes()


def test_shuffled_labels_teach_the_ranker_nothing(tmp_path: Path) -> None:
    """A ranker trained on shuffled labels is not published over its generators, and falls behind the one trained on true labels."""
    past, before, labels = past_of(listens(n_users=300), tmp_path)
    future = split.labels(tmp_path / "events.parquet", past.catalogue, CUTOFF.date(), date(2022, 8, 1))
    table = training_of(before, labels)
    shuffled = TrainingTable(table.features, table.names, np.random.default_rng(0).permutation(table.target), table.group)
    recommenders = {name: GENERATORS[name]().fit(past) for name in ("popular", "item_knn")}
    features = {name: group().fit(past) for name, group in FEATURES.items()}
    judge = Judge(past, future)
    offered = answers(recommenders, judge.history_rows, 30)
    found = pairs(offered, judge.history_rows, 40)
    for name, rows in (("true", table), ("shuffled", shuffled)):
        ranker = fit_ranker([rows], RankerSettings(iterations=60, depth=4))
        judge.add(name, Lists(judge.user_ids, *ranker.rank(found, features, 10)))
    for name, (items, scores) in offered.items():
        judge.add(name, Lists(judge.user_ids, items[:, :10], scores[:, :10]))
    means = {name: judge.table(name)["ndcg@10"].mean() for name in judge.names}
    best = max(recommenders, key=lambda name: means[name])
    assert gate({name: judge.table(name) for name in ("shuffled", best)}).publish == best
    assert means["shuffled"] < means["true"]


def test_an_in_memory_table_of_events_tells_the_same_past(tmp_path: Path) -> None:
    """The engine's table leaks no more than the file: cut at the same moment it gives the same history."""
    past, _, _ = past_of(listens(), tmp_path)
    events = ibis.memtable(pq.read_table(tmp_path / "events.parquet"))
    assert same(parts(past), parts(split.history(events, past.catalogue, CUTOFF.date())))
