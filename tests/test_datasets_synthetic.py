"""Synthetic logs: published statistics are met, dates have the order asked for, tastes can be learned."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from benchmarks.synthetic_facts import facts
from musicrec.datasets.generated import FILES, INDEX, is_generated, origin, writers
from musicrec.datasets.synthetic import figures, write
from musicrec.datasets.synthetic.catalog import catalog, links
from musicrec.datasets.synthetic.genres import genre_lists, genres
from musicrec.datasets.synthetic.listening import _matched
from musicrec.datasets.synthetic.names import artists, titles
from musicrec.datasets.synthetic.users import daily_listens
from musicrec.errors import SourceError
from musicrec.schema import RAW_INTERACTIONS, RAW_NAMES, RAW_TRACKS

SCALE = 0.01


@pytest.fixture(scope="module")
def by_id(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundredth of the real size, dated by id."""
    folder = tmp_path_factory.mktemp("by_id")
    write(folder, SCALE)
    return folder


@pytest.fixture(scope="module")
def by_taste(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, dated by taste."""
    folder = tmp_path_factory.mktemp("by_taste")
    write(folder, SCALE, order="taste")
    return folder


def plays(folder: Path) -> pd.DataFrame:
    """All listens of a folder."""
    return pd.read_parquet(folder / FILES[2]).reset_index(drop=True)


def test_published_figures_are_met(by_id: Path) -> None:
    """Every figure of the facts table lies within its tolerance."""
    table = facts(by_id, SCALE)
    assert len(table) > 80
    assert table.loc[~table["within"]].empty, table.loc[~table["within"]].to_string()


def test_types_are_those_of_the_original(by_id: Path) -> None:
    """Columns, types and the stored index that restarts at 0 for every user."""
    tracks, names, listens = (pq.read_schema(by_id / name).remove_metadata() for name in FILES)
    assert tracks == RAW_TRACKS.required
    assert names == RAW_NAMES.arrow
    assert listens == pa.schema([*list(RAW_INTERACTIONS.arrow)[:4], pa.field(INDEX, pa.int64())])
    stored = pd.read_parquet(by_id / FILES[2])
    assert (stored.index.to_numpy() == stored["track_seq"].to_numpy() - 1).all()
    assert stored["user_id"].is_monotonic_increasing
    assert (stored.groupby("user_id")["track_seq"].max() == stored.groupby("user_id").size()).all()


def test_dates_follow_ids_only_when_asked(by_id: Path, by_taste: Path) -> None:
    """Within a user, track ids ascend with order "id" and look shuffled with order "taste"; days ascend with both."""
    for folder, low, high in ((by_id, 1.0, 1.0), (by_taste, 0.45, 0.6)):
        table = plays(folder)
        same = table["user_id"].to_numpy()[1:] == table["user_id"].to_numpy()[:-1]
        steps = np.diff(table["track_id"].to_numpy())[same]
        assert low <= (steps > 0).mean() <= high
        assert (np.diff(table["started_at"].to_numpy())[same] >= np.timedelta64(0)).all()


def test_both_orders_date_the_same_listens(by_id: Path, by_taste: Path) -> None:
    """Both orders have the same (user, track) pairs; only the dates differ."""
    left, right = (plays(folder).sort_values(["user_id", "track_id"])[["user_id", "track_id"]] for folder in (by_id, by_taste))
    np.testing.assert_array_equal(left.to_numpy(), right.to_numpy())


def test_the_same_seed_makes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs, each of several parts made by two threads, agree in every value; another seed does not."""
    monkeypatch.setattr("musicrec.datasets.synthetic.writing._LISTENS_PER_PART", 80_000)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write(tmp_path / name, 0.002, seed)
    a, b, c = ([pq.read_table(tmp_path / folder / name) for name in FILES] for folder in "abc")
    assert all(left.equals(right) for left, right in zip(a, b))
    assert not a[2].equals(c[2])


def test_albums_are_played_in_sequence(by_taste: Path) -> None:
    """Two listens in a row share an album far more often than two listens of that user far apart."""
    table = plays(by_taste)
    tracks = pd.read_parquet(by_taste / FILES[0])
    first = pd.Series([albums[0] if len(albums) else -1 for albums in tracks["albums"]], index=tracks["track_id"])
    user, album = table["user_id"].to_numpy(), first.reindex(table["track_id"]).to_numpy()

    def together(apart: int) -> float:
        same = user[apart:] == user[:-apart]
        return float((album[apart:] == album[:-apart])[same].mean())

    assert together(1) > 2.5 * together(30)


def test_new_tracks_begin_during_the_year(by_taste: Path) -> None:
    """The highest ids are first played later and later, the others in the first months."""
    table = plays(by_taste)
    debut = table.groupby("track_id")["started_at"].min().dt.day_of_year
    old, new = debut[debut.index < debut.index[int(0.9 * len(debut))]], debut[debut.index > debut.index[int(0.97 * len(debut))]]
    assert new.median() > old.median() + 60


@pytest.mark.parametrize("seed", [0, 1])
def test_greatest_hits_are_old_and_new_in_turn(seed: int) -> None:
    """For any seed the first and third of the greatest hits have ids among the lowest hundredth, the second and fourth among the highest
    fifth, and the fifth has a fifth to a quarter less listens than the fourth."""
    made = catalog(60_000, 9_700_000, np.random.default_rng(seed))
    place, greatest = np.argsort(np.argsort(made.ids)) / len(made.ids), np.argsort(-made.listens)[:5]
    assert (place[greatest[[0, 2]]] < 0.01).all()
    assert (place[greatest[[1, 3]]] > 0.8).all()
    assert 0.75 < made.listens[greatest[4]] / made.listens[greatest[3]] < 0.81


@pytest.mark.slow
@pytest.mark.long
def test_hits_are_as_often_new_to_users_of_the_test_period_as_published(tmp_path: Path) -> None:
    """Of the five tracks most played before, a test user then plays 0.3 to 0.5 % for the first time, at a twentieth of the real size."""
    write(tmp_path, 0.05)
    listens = plays(tmp_path)[["user_id", "track_id", "started_at"]]
    test = listens[listens["started_at"] >= "2022-12-16"]
    hits = listens.drop(test.index)["track_id"].value_counts().index[:5]
    assert 0.003 < test["track_id"].isin(hits).sum() / test["user_id"].nunique() / 5 < 0.005


def test_one_track_leads(by_id: Path) -> None:
    """The most popular track has no equals: in small logs, too, few tracks share the largest number of listeners."""
    counts = plays(by_id)["track_id"].value_counts()
    assert counts.iloc[0] > counts.iloc[1] > counts.iloc[9]


def test_few_tracks_begin_in_the_test_period(by_id: Path) -> None:
    """Although the newest ids are dated last, hardly a track is played in the test period only; at full size the facts count them."""
    table = plays(by_id)
    debut = table.groupby("track_id")["started_at"].min()
    assert (debut >= "2022-12-16").mean() < 0.001


def test_genres_come_in_many_lists() -> None:
    """A catalog of full size holds about as many different lists of genres as the real one."""
    made = genres(figures.N_TRACKS)
    style = np.repeat(np.arange(len(made.style_tracks)), made.style_tracks)
    lengths, flat = genre_lists(made, style, np.random.default_rng(0))
    padded = np.full((len(style), figures.MOST_GENRES), -1)
    padded[np.arange(figures.MOST_GENRES) < lengths[:, None]] = flat
    assert abs(len(np.unique(padded, axis=0)) / figures.GENRE_LISTS - 1) < 0.15


def test_taste_can_be_learned(by_id: Path) -> None:
    """Listeners shared with a user's other tracks find held-out tracks three times as often as popularity does."""
    table = plays(by_id)
    users, row = np.unique(table["user_id"], return_inverse=True)
    items, column = np.unique(table["track_id"], return_inverse=True)
    rng = np.random.default_rng(0)
    held, shape = rng.random(len(table)) < 0.1, (len(users), len(items))
    seen = sparse.csr_matrix((np.ones((~held).sum(), np.float32), (row[~held], column[~held])), shape=shape)
    sampled = rng.choice(len(users), 200, replace=False)
    popularity = np.asarray(seen.sum(axis=0)).ravel()
    weighted = seen.multiply(1 / np.sqrt(popularity + 1)).tocsr()
    shared = ((weighted[sampled] @ weighted.T).tocsr() @ weighted).toarray()
    future = sparse.csr_matrix((np.ones(held.sum(), np.float32), (row[held], column[held])), shape=shape)[sampled].toarray()
    played = seen[sampled].toarray() > 0

    def hits(scores: np.ndarray) -> float:
        top = np.argpartition(-np.where(played, -np.inf, scores), 10, axis=1)[:, :10]
        return float(np.take_along_axis(future, top, axis=1).mean())

    assert hits(shared) > 3 * hits(np.broadcast_to(popularity, played.shape))


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), n_users=st.integers(1, 12), n_tracks=st.integers(30, 60))
def test_nobody_gets_a_track_twice(seed: int, n_users: int, n_tracks: int) -> None:
    """Whatever the order of the slots, each listen gets a track and no user gets a track twice."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 20, n_users)
    user = np.repeat(np.arange(n_users, dtype=np.int32), length)
    slots = np.concatenate([np.arange(n_tracks), rng.integers(0, 3, 300)]).astype(np.int32)[: max(len(user), n_tracks)]
    bounds = np.array([0, len(user)], np.int64)
    few, waiting, gone = rng.random(n_tracks) < 0.5, rng.random(n_tracks) < 0.3, rng.random(n_users) < 0.3
    played = _matched(user, rng.permutation(len(user)).astype(np.int32), slots, bounds, few, waiting, gone, seed)
    pairs = set(zip(user.tolist(), played.tolist()))
    assert len(pairs) == len(user)
    assert set(played.tolist()) <= set(range(n_tracks))


@pytest.mark.parametrize(("distribution", "mean"), [(figures.HISTORY_LENGTHS, figures.MEAN_HISTORY), (figures.LISTENS_PER_TRACK, 222.63)])
def test_a_distribution_meets_its_mean_and_quantiles(distribution: figures.Distribution, mean: float) -> None:
    """Samples have the quantiles they were made from and, when asked, the mean."""
    sample = distribution.sample(200_000, mean)
    assert (np.diff(sample) >= 0).all()
    assert abs(sample.mean() / mean - 1) < 0.05
    for share, value in distribution.knots[:5]:
        assert abs(sample[int(share * len(sample))] / value - 1) < 0.05
    assert distribution.sample(1000, mean, most=50).max() == 50


def test_links_follow_both_sides() -> None:
    """Tracks have as many albums, and albums as many tracks, as their distributions say; no track is twice on an album."""
    made = links(figures.ALBUMS_PER_TRACK, figures.TRACKS_PER_ALBUM, 20_000, figures.N_ALBUMS, np.random.default_rng(0))
    track = np.repeat(np.arange(20_000), made.lengths)
    assert len(np.unique(track * made.size + made.flat)) == len(track)
    np.testing.assert_array_equal(np.quantile(made.lengths, (0.5, 0.7, 0.9, 0.95)), (1, 2, 3, 6))
    per_album = np.bincount(made.flat, minlength=made.size)
    assert per_album.min() >= 1
    assert np.quantile(per_album, 0.5) == 1


def test_names_differ_where_numbers_differ() -> None:
    """A hundred thousand titles and artists, Latin and Cyrillic, without a repeat."""
    numbers = np.arange(100_000)
    for names in (titles, artists):
        for script in (False, True):
            assert len(names(numbers, np.full(len(numbers), script)).unique()) == len(numbers)


def test_the_daily_curve_grows_and_falls_in_december() -> None:
    """Listens grow nearly evenly until December and are a fifth of their peak on the last day."""
    curve = daily_listens(figures.N_EVENTS)
    assert abs(curve.sum() - figures.N_EVENTS) < 1
    assert 325 <= curve.argmax() <= 340
    assert 0.15 < curve[-1] / curve.max() < 0.25
    assert (np.diff(curve[:320]) > 0).all()


def test_a_failed_run_leaves_earlier_files_untouched(by_id: Path, tmp_path: Path) -> None:
    """When writing stops half-way, nothing new is there and what was there is as it was."""
    for name in FILES:
        (tmp_path / name).write_bytes((by_id / name).read_bytes())
    before = origin(tmp_path)

    def interrupted() -> None:
        with writers(tmp_path, "x") as (tracks, _, _):
            tracks.write_table(RAW_TRACKS.required.empty_table())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert before == origin(tmp_path)
    assert is_generated(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file in the way is one sentence."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        write(tmp_path / "taken" / "world", 0.002)
