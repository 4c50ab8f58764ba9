"""The sample: complete, marked as generated, reproducible, and with tastes that can be learned."""

from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from musicrec.datasets.generated import FILES, is_generated
from musicrec.datasets.sample import listening, write
from musicrec.errors import SourceError
from musicrec.sources.yandex import Yandex

SPLIT = pd.Timestamp("2022-12-16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with seed 0."""
    path = tmp_path_factory.mktemp("sample")
    assert write(path)
    return path


@pytest.fixture(scope="module")
def plays(folder: Path) -> pd.DataFrame:
    """The plays of the sample."""
    return pd.read_parquet(folder / FILES[2])


def test_sizes_are_those_announced(folder: Path, plays: pd.DataFrame) -> None:
    """3,000 users, 4,000 tracks, about 250,000 listens within 2022."""
    assert plays["user_id"].nunique() == 3000
    assert pq.read_metadata(folder / FILES[0]).num_rows == 4000
    assert abs(len(plays) - 250_000) < 10_000
    assert plays["started_at"].dt.year.unique().tolist() == [2022]


def test_the_commands_of_the_manual_find_their_user_and_tracks(plays: pd.DataFrame) -> None:
    """User 617032 has more than 50 plays before the split, and so have the three tracks of the manual."""
    assert ((plays["user_id"] == 617032) & (plays["started_at"] < SPLIT)).sum() > 50
    counts = plays["track_id"].value_counts()
    assert counts[[99262, 590303, 597196]].min() > 50


def test_the_form_is_that_of_the_real_files(folder: Path, plays: pd.DataFrame) -> None:
    """The stored index restarts for every user, no track occurs twice for a user, track_seq runs without gaps in order of time."""
    assert not plays.index.is_unique
    assert not plays.duplicated(["user_id", "track_id"]).any()
    assert (plays["track_seq"].to_numpy() == plays.groupby("user_id").cumcount() + 1).all()
    assert plays.groupby("user_id")["started_at"].is_monotonic_increasing.all()
    assert plays.dtypes.astype(str).tolist() == ["int32", "int32", "int16", "datetime64[us]"]
    raw = Yandex(folder=folder).read(ibis.duckdb.connect())
    assert len(raw.interactions.user_id.to_pyarrow()) == len(plays)


def test_irregularities_of_the_real_files_occur(folder: Path) -> None:
    """Genres without a name, empty lists, tracks called 'None', titles that repeat."""
    tracks, names = pd.read_parquet(folder / FILES[0]), pd.read_parquet(folder / FILES[1])
    known = set(names.loc[names["type"] == "genre", "id"])
    assert {genre for genres in tracks["genres"] for genre in genres} - known
    assert all((tracks[column].str.len() == 0).any() for column in ("albums", "artists", "genres"))
    titles = names.loc[names["type"] == "track", "name"]
    assert (titles == "None").any()
    assert titles.duplicated().mean() > 0.1
    assert names["id"].duplicated().any()


def test_some_users_are_cold_and_new_tracks_appear(plays: pd.DataFrame) -> None:
    """A few users begin after the split; tracks are first played in every month."""
    first = plays.groupby("user_id")["started_at"].min()
    assert 0.02 < (first >= SPLIT).mean() < 0.06
    debut = plays.groupby("track_id")["started_at"].min().dt.month.value_counts()
    assert debut.reindex(range(1, 13)).min() > 20


def test_hits_are_those_of_many_artists(folder: Path, plays: pd.DataFrame) -> None:
    """The ten tracks with most plays are of seven artists or more, and no artist has more than 3 % of all plays."""
    artist = pd.read_parquet(folder / FILES[0]).set_index("track_id")["artists"].str[0]
    assert artist[plays["track_id"].value_counts().index[:10]].nunique() >= 7
    assert artist[plays["track_id"]].value_counts(normalize=True).iloc[0] < 0.03


def test_co_listening_beats_popularity(plays: pd.DataFrame) -> None:
    """Scores by co-listening have over twice as many hits of the test set in the top 10 as popularity."""
    items, users = np.unique(plays["track_id"]), np.unique(plays["user_id"])
    column, row = np.searchsorted(items, plays["track_id"]), np.searchsorted(users, plays["user_id"])
    shape = (len(users), len(items))
    train, test = (sparse.csr_matrix((np.ones(part.sum(), np.float32), (row[part], column[part])), shape=shape).toarray()
                   for part in (plays["started_at"] < SPLIT, plays["started_at"] >= SPLIT))
    popularity = train.sum(0)
    cosine = train.T @ train / np.sqrt(np.outer(popularity + 10, popularity + 10))
    np.fill_diagonal(cosine, 0)
    evaluated = (train.sum(1) > 0) & (test.sum(1) > 0)

    def hits(scores: np.ndarray) -> float:
        top = np.argpartition(-np.where(train > 0, -np.inf, scores)[evaluated], 10, axis=1)[:, :10]
        return float(np.take_along_axis(test[evaluated], top, axis=1).mean())

    assert hits(train @ cosine) > 2 * hits(np.broadcast_to(popularity, train.shape)) > 0


def test_a_complete_sample_is_not_written_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call keeps a complete sample, which is marked as generated; a damaged one is written again, with the same bytes."""
    assert is_generated(folder)
    assert "Generated data" in (folder / "README.txt").read_text(encoding="utf-8")
    assert not write(folder)
    monkeypatch.setattr(listening, "N_USERS", 100)
    monkeypatch.setattr(listening, "N_LISTENS", 8_000)
    assert write(tmp_path)
    before = [(tmp_path / name).read_bytes() for name in FILES]
    assert not write(tmp_path)
    (tmp_path / FILES[1]).write_bytes(before[1][:-9])
    assert write(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in FILES] == before


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    """A file in place of the folder raises SourceError."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        write(tmp_path / "taken" / "sample")
