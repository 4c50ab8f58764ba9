"""No leak: whatever happens at or after a cutoff, all that was made from the events before it stays the same, bit for bit."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.dataset import Dataset, Interactions, TrainSet, catalog, second
from musicrec.engine import connect
from musicrec.evaluation import Evaluator, decision
from musicrec.features import FEATURES
from musicrec.models import MODELS
from musicrec.preprocess import preprocessed, write
from musicrec.ranking import RankerSettings, TrainingTable, fit_ranker
from musicrec.recommender import TwoStageRecommender
from musicrec.schema import RAW_INTERACTIONS, RAW_NAMES, RAW_TRACKS

CUTOFF, FOLD_START = datetime(2022, 7, 1), datetime(2022, 6, 1)
N_TRACKS, N_USERS = 60, 40
Rows = pd.DataFrame


def listens(seed: int = 0, n_users: int = N_USERS) -> Rows:
    """A year of plays by two groups: even users prefer even tracks, odd users odd ones, and tastes move to higher ids over the year."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(1, n_users + 1), 40)
    days = rng.integers(0, 365, len(users))
    like = np.where(rng.random(len(users)) < 0.85, users % 2, 1 - users % 2)
    tracks = 2 * np.minimum(rng.geometric(0.12, len(users)) - 1 + days // 60, N_TRACKS // 2 - 1) + like
    rows = pd.DataFrame({"user_id": users, "track_id": tracks + 100, "started_at": datetime(2022, 1, 1) + pd.to_timedelta(days, unit="D")})
    return rows.drop_duplicates(["user_id", "track_id"])


def deleted(rows: Rows) -> Rows:
    """No plays after the cutoff."""
    return rows[rows["started_at"] < CUTOFF]


def altered(rows: Rows) -> Rows:
    """Other tracks at other times after the cutoff."""
    late = (rows["started_at"] >= CUTOFF).to_numpy()
    rng, changed = np.random.default_rng(1), rows.copy()
    changed.loc[late, "track_id"] = rng.integers(100, 100 + N_TRACKS, late.sum())
    changed.loc[late, "started_at"] = CUTOFF + pd.to_timedelta(rng.integers(0, 900, late.sum()), unit="D")
    return changed


def added(rows: Rows) -> Rows:
    """New users with small and large ids who play all tracks, beginning at the cutoff."""
    users, tracks = (part.ravel() for part in np.meshgrid([0, 7, 9000], np.arange(100, 100 + N_TRACKS)))
    times = [CUTOFF + timedelta(hours=int(hour)) for hour in np.arange(len(users)) // 2]
    return pd.concat([rows, pd.DataFrame({"user_id": users, "track_id": tracks, "started_at": times})], ignore_index=True)


def earlier(rows: Rows) -> Rows:
    """One more play on the last day before the fold, which belongs to the train set."""
    one = pd.DataFrame({"user_id": [3], "track_id": [159], "started_at": [FOLD_START - timedelta(days=1)]})
    return pd.concat([rows, one], ignore_index=True)


CHANGES: dict[str, Callable[[Rows], Rows]] = {"deleted": deleted, "altered": altered, "added": added}


def raw(rows: Rows) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Tracks, catalog names and these interactions in the three-file form."""
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
                pa.schema(list(RAW_INTERACTIONS.arrow)[:4])))


Split = tuple[TrainSet, TrainSet, Interactions]


def dataset_of(rows: Rows, folder: Path) -> Dataset:
    """These interactions, preprocessed."""
    connection = connect("duckdb", memory_limit="1GB", threads=1, temp_folder=folder / "spill")
    files = dict(zip(("tracks", "names", "interactions"), raw(rows)))
    for name, table in files.items():
        pq.write_table(table, folder / f"raw_{name}.parquet")
    tables = (connection.read_parquet(folder / f"raw_{name}.parquet") for name in files)
    write(preprocessed(*tables), folder)
    return Dataset(folder / "events.parquet", catalog(pq.read_table(folder / "items.parquet")))


def split_of(rows: Rows, folder: Path) -> Split:
    """The train set before the cutoff, the train set before a fold that ends at the cutoff, and the test set of the fold."""
    dataset = dataset_of(rows, folder)
    return (dataset.train_set(second(CUTOFF)), *dataset.split(second(FOLD_START), second(CUTOFF)))


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Split]:
    """Train and test sets of the unchanged logs, of each change after the cutoff, and with one more play before the fold."""
    worlds = {"unchanged": listens(), **{name: change(listens()) for name, change in CHANGES.items()}, "earlier": earlier(listens())}
    return {name: split_of(rows, tmp_path_factory.mktemp("world")) for name, rows in worlds.items()}


def parts(train: TrainSet) -> dict[str, np.ndarray]:
    """All arrays of a train set."""
    of_catalog = {f"{name}.{part}": getattr(getattr(train.catalog, name), part)
                    for name in ("genres", "artists", "albums") for part in ("indptr", "indices", "data")}
    repeats = {f"repeats.{name}": getattr(train.repeats, name) for name in ("pairs", "starts", "times")}
    return {"user_ids": train.user_ids, "item_ids": train.item_ids, "last_played": train.last_played, "cutoff": np.array(train.cutoff),
            "indptr": train.matrix.indptr, "indices": train.matrix.indices, "data": train.matrix.data, **of_catalog, **repeats}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether all arrays agree in every bit."""
    return all(one[name].dtype == other[name].dtype and one[name].tobytes() == other[name].tobytes() for name in one)


def two_stage() -> TwoStageRecommender:
    """Two models and all feature groups."""
    models = {name: MODELS[name]() for name in ("popular", "item_knn")}
    return TwoStageRecommender(models, {name: group() for name, group in FEATURES.items()}, candidates_per_model=30, max_candidates=40)


def training_of(train: TrainSet, test: Interactions) -> TrainingTable:
    """The rows of a fold that the ranker learns from."""
    return two_stage().fit(train).training_table(test.user_ids, test, negatives=20)


@pytest.mark.parametrize("change", CHANGES)
def test_train_and_test_sets_before_the_cutoff_do_not_depend_on_later_plays(splits: dict[str, Split], change: str) -> None:
    """With other plays after the cutoff, every array of the train sets and of the fold's test set is the same."""
    for unchanged, other in zip(splits["unchanged"][:2], splits[change][:2]):
        assert same(parts(unchanged), parts(other))
    unchanged, other = splits["unchanged"][2], splits[change][2]
    assert unchanged.user_ids.tobytes() == other.user_ids.tobytes()
    assert unchanged.matrix.indices.tobytes() == other.matrix.indices.tobytes()


@pytest.mark.parametrize("change", CHANGES)
def test_training_rows_do_not_depend_on_later_plays(splits: dict[str, Split], change: str) -> None:
    """With other plays after the cutoff, features, targets and groups of the training table are the same."""
    unchanged, other = (training_of(*splits[name][1:]) for name in ("unchanged", change))
    assert len(unchanged) > 100
    for part in ("features", "target", "group"):
        assert getattr(unchanged, part).tobytes() == getattr(other, part).tobytes()


def test_an_earlier_event_is_seen(splits: dict[str, Split]) -> None:
    """The comparison can fail: one more play before the fold changes train set and training rows."""
    assert not same(parts(splits["unchanged"][0]), parts(splits["earlier"][0]))
    assert training_of(*splits["unchanged"][1:]).features.tobytes() != training_of(*splits["earlier"][1:]).features.tobytes()


def test_shuffled_targets_teach_the_ranker_nothing(tmp_path: Path) -> None:
    """A ranker trained on shuffled targets is not published, and has a lower NDCG than one trained on the true targets."""
    dataset = dataset_of(listens(n_users=300), tmp_path)
    table = training_of(*dataset.split(second(FOLD_START), second(CUTOFF)))
    shuffled = TrainingTable(table.features, table.columns, np.random.default_rng(0).permutation(table.target), table.group)
    train, test = dataset.split(second(CUTOFF), second(datetime(2022, 8, 1)))
    fitted, evaluator = two_stage().fit(train), Evaluator(train, test)
    for name, rows in (("true", table), ("shuffled", shuffled)):
        ranked = fitted.with_ranker(fit_ranker([rows], RankerSettings(iterations=60, depth=4)))
        evaluator.add(name, ranked.lists(evaluator.user_ids, 10, ["ranked"])["ranked"])
    for name, lists in fitted.lists(evaluator.user_ids, 10, list(fitted.models)).items():
        evaluator.add(name, lists)
    means = {name: evaluator.table(name)["ndcg@10"].mean() for name in evaluator.names}
    best = max(fitted.models, key=lambda name: means[name])
    assert decision({name: evaluator.table(name) for name in ("shuffled", best)}, "rrf").publish == best
    assert means["shuffled"] < means["true"]


def test_an_in_memory_table_of_events_gives_the_same_train_set(tmp_path: Path) -> None:
    """The engine's table leaks no more than the file: the train sets of one cutoff are the same."""
    dataset = dataset_of(listens(), tmp_path)
    events = ibis.memtable(pq.read_table(tmp_path / "events.parquet"))
    assert same(parts(dataset.train_set(second(CUTOFF))), parts(Dataset(events, dataset.catalog).train_set(second(CUTOFF))))
