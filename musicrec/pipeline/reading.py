"""Lists for a person to read: plays, recommendations and similar tracks with names instead of ids."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from ibis.expr.types import Table

from musicrec.dataset import TrainSet, moment
from musicrec.pipeline.workspace import Tables, Workspace
from musicrec.recommender import TwoStageRecommender

SHOWN = ["item_id", "name", "artists", "genres"]


def first_rows(table: Table, n: int = 5) -> pd.DataFrame:
    """Some `n` rows of an engine's table, as they come."""
    rows: pd.DataFrame = table.limit(n).to_pyarrow().to_pandas()
    return rows


def sizes(tables: Tables) -> pd.DataFrame:
    """rows: how many tracks, events, users and genres there are."""
    counts = {"tracks": tables.items.count(), "events": tables.events.count(), "users": tables.events.user_id.nunique(),
              "genres": tables.genres.count()}
    return pd.DataFrame({"rows": {name: count.to_pyarrow().as_py() for name, count in counts.items()}})


def names(tables: Tables, item_ids: Any) -> pd.DataFrame:
    """item_id, name, artists, albums and genres of some tracks, in any order; unknown ids are left out."""
    wanted = [int(item) for item in item_ids]
    chosen = tables.items.filter(tables.items.item_id.isin(wanted))
    rows: pd.DataFrame = chosen.select("item_id", "name", "artists", "albums", "genres").to_pyarrow().to_pandas()
    return rows


def named(tables: Tables, rows: pd.DataFrame, item: str = "item_id") -> pd.DataFrame:
    """`rows` in their order with name, artists and genres beside the ids of column `item`, lists as text for reading."""
    known = names(tables, rows[item].unique()).drop(columns="albums").rename(columns={"item_id": item})
    known[["artists", "genres"]] = known[["artists", "genres"]].map(", ".join)
    return rows.merge(known, on=item, how="left")


def a_listener(train: TrainSet, tracks: int = 40) -> int:
    """The user who has seen the number of tracks nearest to `tracks`, the lowest id of equals: somebody whose lists are worth reading."""
    return int(train.user_ids[np.argmin(np.abs(train.n_items_of_user - tracks))])


def last_plays(tables: Tables, train: TrainSet, user_id: int, n: int = 10) -> pd.DataFrame:
    """The last `n` plays of a user before the cutoff, the latest first, with names; empty for an unknown user."""
    _, items, times = train.sequences(train.user_index(np.array([user_id])))
    latest = pd.DataFrame({"item_id": train.item_ids[items[::-1][:n]], "played": [moment(time) for time in times[::-1][:n]]})
    return named(tables, latest)[["played", *SHOWN]]


def recommended_to(tables: Tables, made: TwoStageRecommender, name: str, user_id: int, k: int = 10) -> pd.DataFrame:
    """What a model, or another order of the recommender, recommends to one user, best first, with names and scores."""
    rows = made.with_order(name).recommend([user_id], k).to_pandas()
    return named(tables, rows)[[*SHOWN, "score"]]


def candidates_of(tables: Tables, made: TwoStageRecommender, user_id: int) -> pd.DataFrame:
    """The candidate table of one user with titles, best first: what each model says, and all features."""
    table = made.candidates([user_id])
    titles = names(tables, np.unique(table.item_ids)).set_index("item_id")["name"].to_dict()
    return table.to_pandas(titles)


def published_for(work: Workspace, tables: Tables, user_id: int, k: int = 10) -> pd.DataFrame:
    """The first `k` rows of recommendations.parquet for one user, with names; empty for a user without a personal list."""
    rows = pq.read_table(work.folder / "recommendations.parquet", filters=[("user_id", "==", user_id), ("rank", "<=", k)]).to_pandas()
    return named(tables, rows)[["rank", *SHOWN, "score"]]


def similar_to(work: Workspace, tables: Tables, item_ids: Sequence[int], k: int = 5) -> pd.DataFrame:
    """The first `k` neighbors of each track from similar.parquet, with the names of both; tracks without neighbors are left out."""
    rows = pq.read_table(work.folder / "similar.parquet", filters=[("item_id_1", "in", [int(item) for item in item_ids])]).to_pandas()
    rows = rows.groupby("item_id_1", sort=False).head(k)
    rows = rows.set_index("item_id_1").loc[[item for item in item_ids if item in set(rows["item_id_1"])]].reset_index()
    asked = named(tables, rows[["item_id_1"]], "item_id_1")
    found = named(tables, rows[["item_id_2"]], "item_id_2")
    return pd.DataFrame({"track": asked["name"] + " by " + asked["artists"], "similar track": found["name"] + " by " + found["artists"],
                         "genres": found["genres"], "score": rows["score"].to_numpy(), "source": rows["source"].to_numpy()})


def tracks_by_listeners(train: TrainSet, *shares: float) -> list[int]:
    """Ids of the tracks that stand at these shares of the order by listeners: 0 is the most played, 1 the least played of those played."""
    counts = train.n_listeners
    order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    return [int(train.item_ids[order[round(share * (len(order) - 1))]]) for share in shares]
