"""The tables of the EDA chapter against pandas on the same events."""

from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from musicrec import engine
from musicrec.eda import Exploration

RNG = np.random.default_rng(5)
N = 900
EVENTS = pd.DataFrame({"user_id": RNG.integers(1, 40, N).astype("int32"),
                       "item_id": (10 * RNG.geometric(0.06, N).clip(max=49)).astype("int32"),
                       "started_at": pd.Timestamp("2022-01-20") + pd.to_timedelta(RNG.integers(0, 200 * 24, N), "h")})
ITEMS = pd.DataFrame({"item_id": np.arange(10, 510, 10, dtype="int32"), "name": [f"song {i}" for i in range(50)],
                      "artists": [["A", "B"][: 1 + i % 2] for i in range(50)],
                      "genres": [["pop", "rock", "jazz"][: i % 4] for i in range(50)]})
MONTHS = EVENTS["started_at"].dt.to_period("M").dt.to_timestamp()


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    """An exploration of the events above."""
    connection: Any = engine.connect("duckdb", memory_limit="1GB", threads=1, temp_folder=tmp_path_factory.mktemp("spill"))
    folder: Path = tmp_path_factory.mktemp("tables")
    items = ITEMS.assign(album_ids=[[1]] * 50, artist_ids=ITEMS["artists"].map(lambda a: list(range(len(a)))),
                         genre_ids=ITEMS["genres"].map(lambda g: list(range(len(g)))))
    items.to_parquet(folder / "items.parquet")
    EVENTS.to_parquet(folder / "events.parquet")
    return Exploration(connection.read_parquet(folder / "items.parquet"), connection.read_parquet(folder / "events.parquet"))


def test_months_count_plays_users_and_first_comers(look: Exploration) -> None:
    """Each user is new in exactly one month."""
    grouped = EVENTS.groupby(MONTHS)
    found = look.monthly()
    assert found["month"].tolist() == list(grouped.groups)
    assert found["plays"].tolist() == grouped.size().tolist()
    assert found["users"].tolist() == grouped["user_id"].nunique().tolist()
    first = MONTHS.groupby(EVENTS["user_id"]).min().value_counts()
    assert dict(zip(found["month"], found["new_users"])) == {month: first.get(month, 0) for month in found["month"]}


def test_days_count_plays_and_users(look: Exploration) -> None:
    """A user who plays twice on a day is one user."""
    grouped = EVENTS.groupby(EVENTS["started_at"].dt.normalize())
    found = look.daily()
    assert found["plays"].tolist() == grouped.size().tolist()
    assert found["users"].tolist() == grouped["user_id"].nunique().tolist()


def test_lengths_add_up_to_all_users_and_all_tracks(look: Exploration) -> None:
    """Histories and tracks by their number of plays hold every play once."""
    users, tracks = look.history_lengths(), look.plays_of_tracks()
    assert users.set_index("plays")["users"].to_dict() == EVENTS["user_id"].value_counts().value_counts().to_dict()
    assert (tracks["plays"] * tracks["tracks"]).sum() == N
    assert tracks["tracks"].sum() == len(ITEMS)


def test_popularity_and_top_tracks_agree_with_counting(look: Exploration) -> None:
    """The first ranks are the most frequent items, with their names."""
    counts = EVENTS["item_id"].value_counts()
    assert look.popularity()["plays"].tolist()[:3] == counts.tolist()[:3]
    top = look.top_tracks(5)
    assert top["plays"].tolist() == counts.tolist()[:5]
    names = ITEMS.set_index("item_id")["name"]
    assert top["name"].tolist() == [names[item] for item in top["item_id"]]
    assert top["rank"].tolist() == [1, 2, 3, 4, 5]


def test_genres_count_tracks_and_plays(look: Exploration) -> None:
    """Exploding by hand gives the same shares; they sum to one."""
    exploded = EVENTS.merge(ITEMS, on="item_id").explode("genres").dropna(subset="genres")
    found = look.genres().set_index("genre")
    assert found["plays"].to_dict() == exploded["genres"].value_counts().to_dict()
    assert found["tracks"].to_dict() == ITEMS.explode("genres")["genres"].value_counts().to_dict()
    assert found[["share_of_tracks", "share_of_plays"]].sum().tolist() == pytest.approx([1, 1])


def test_never_played_new_tracks_and_list_lengths(look: Exploration) -> None:
    """Played and never played tracks make the catalog; every played track is new once; every track has one length of each list."""
    played = EVENTS["item_id"].nunique()
    assert look.never_played().iloc[0].tolist() == [50, played, 50 - played, pytest.approx(1 - played / 50)]
    assert look.new_tracks()["tracks"].sum() == played
    lengths = look.list_lengths()
    assert lengths.groupby("list")["tracks"].sum().to_dict() == {"albums": 50, "artists": 50, "genres": 50}
    assert lengths[lengths["list"] == "genres"].set_index("length")["tracks"].to_dict() == ITEMS["genres"].map(len).value_counts().to_dict()


def test_cohorts_start_whole_and_hold_every_active_user_month(look: Exploration) -> None:
    """In its month of arrival a cohort is complete; summed over cohorts a month has its users."""
    found = look.cohorts()
    assert (found.loc[found["arrival"] == found["month"], "share"] == 1).all()
    assert found.groupby("month")["users"].sum().tolist() == look.monthly()["users"].tolist()


def test_lorenz_and_gini_of_known_worlds(look: Exploration) -> None:
    """Even plays lie on the diagonal, one played track of four gives Gini 0.75, and the curve never lies above the diagonal."""
    curve = look.lorenz()
    assert (curve["share_of_plays"] <= curve["share_of_tracks"] + 1e-12).all()
    assert (curve["share_of_plays"].iloc[0], curve["share_of_plays"].iloc[-1]) == pytest.approx((0, 1))
    one = ibis.memtable(pa.table({"user_id": [1] * 4, "item_id": [10] * 4, "started_at": [datetime(2022, 1, 1)] * 4}))
    four = ibis.memtable(pa.table({"item_id": [10, 20, 30, 40]}))
    curve = Exploration(four, one).lorenz()
    assert 1 - 2 * np.trapezoid(curve["share_of_plays"], curve["share_of_tracks"]) == pytest.approx(0.75, abs=0.01)
