"""How good ALS is on real plays, against what independent tuned libraries reach on the same split."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.dataset import Interactions, TrainSet, catalog, index_of, interactions, second
from musicrec.evaluation import Evaluator
from musicrec.lists import Lists
from musicrec.models import als
from musicrec.models.als import ALS

DATA = Path(__file__).parents[2] / "shared" / "data" / "lastfm_artists"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the real data is not here")


@pytest.fixture(scope="module")
def world() -> tuple[TrainSet, Interactions]:
    """Train set and test set by the cutoff 2010-06-01."""
    tracks = pq.read_table(DATA / "tracks.parquet").rename_columns({"track_id": "item_id", "genres": "genre_ids", "artists": "artist_ids",
                                                                    "albums": "album_ids"})
    empty = pa.array([[]] * len(tracks), pa.list_(pa.int64()))
    links = catalog(tracks.set_column(tracks.schema.get_field_index("album_ids"), "album_ids", empty))
    events = pq.read_table(DATA / "interactions.parquet").to_pandas()
    cutoff = second(datetime(2010, 6, 1))
    times = (events["started_at"].to_numpy() - np.datetime64("2000-01-01")).astype("timedelta64[s]").astype(np.int64)
    items = index_of(links.item_ids, events["track_id"].to_numpy())
    past = times < cutoff
    parts = [interactions(events["user_id"].to_numpy()[rows], items[rows], times[rows], None, len(links)) for rows in (past, ~past)]
    return TrainSet(parts[0].user_ids, parts[0].matrix, parts[0].last_played, catalog=links, cutoff=cutoff), parts[1]


@pytest.mark.parametrize(("settings", "reference"), [(ALS(), 0.096), (ALS(genre_weight=0, artist_weight=0), 0.089)],
                         ids=["with genres", "plain"])
def test_als_reaches_what_tuned_libraries_reach(world: tuple[TrainSet, Interactions], settings: als.ALS, reference: float) -> None:
    """With default settings, mean NDCG@10 of the warm users is at most 5 % below the figure of the tuned library."""
    train, future = world
    warm = np.intersect1d(train.user_ids, future.user_ids)
    lists = Lists(warm, *settings.fit(train).recommend(train.user_index(warm), 10))
    evaluator = Evaluator(train, future, ks=(10,))
    evaluator.add("als", lists)
    assert evaluator.relevance("als")["ndcg@10"][evaluator.members("warm")].mean() > 0.95 * reference
