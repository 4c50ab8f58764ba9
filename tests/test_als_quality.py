"""How good ALS is on real plays, against what independent tuned libraries reach on the same split."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.candidates import als
from musicrec.candidates.als import Als
from musicrec.evaluation import per_user
from musicrec.lists import Lists
from musicrec.matrix import History, Plays, catalogue, index_of, plays
from musicrec.split import minute

DATA = Path(__file__).parents[2] / "shared" / "data" / "lastfm_artists"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the real data is not here")


@pytest.fixture(scope="module")
def world() -> tuple[History, Plays]:
    """History before and plays from 2010-06-01."""
    tracks = pq.read_table(DATA / "tracks.parquet").rename_columns({"track_id": "item_id", "genres": "genre_ids", "artists": "artist_ids",
                                                                    "albums": "album_ids"})
    empty = pa.array([[]] * len(tracks), pa.list_(pa.int64()))
    links = catalogue(tracks.set_column(tracks.schema.get_field_index("album_ids"), "album_ids", empty))
    events = pq.read_table(DATA / "interactions.parquet").to_pandas()
    cutoff = minute(date(2010, 6, 1))
    minutes = events["started_at"].to_numpy().astype("datetime64[m]").astype(np.int64)
    items = index_of(links.item_ids, events["track_id"].to_numpy())
    past = minutes < cutoff
    parts = [plays(events["user_id"].to_numpy()[rows], items[rows], minutes[rows], None, len(links)) for rows in (past, ~past)]
    return History(parts[0].user_ids, parts[0].matrix, parts[0].minutes, links, cutoff), parts[1]


@pytest.mark.parametrize(("settings", "reference"), [(Als(), 0.096), (Als(genre_weight=0, artist_weight=0), 0.089)],
                         ids=["with genres", "plain"])
def test_als_reaches_what_tuned_libraries_reach(world: tuple[History, Plays], settings: als.Als, reference: float) -> None:
    """With default settings, mean NDCG@10 of the warm users is at most 5 % below the figure of the tuned library."""
    history, future = world
    warm = np.intersect1d(history.user_ids, future.user_ids)
    lists = Lists(warm, *settings.fit(history).recommend(history.user_index(warm), 10))
    judged = per_user(lists, future, history, ks=(10,))
    assert judged.loc[judged["user_id"].isin(warm), "ndcg@10"].mean() > 0.95 * reference
