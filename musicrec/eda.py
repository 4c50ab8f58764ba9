"""Exploratory data analysis of preprocessed logs: small tables for plots, aggregated by the engine over all data, nothing sampled."""

from dataclasses import dataclass
from functools import cached_property

import ibis
import numpy as np
import pandas as pd
from ibis.expr.types import Table

LISTS = ("albums", "artists", "genres")


def _frame(table: Table) -> pd.DataFrame:
    found: pd.DataFrame = table.to_pyarrow().to_pandas()
    return found


@dataclass(frozen=True)
class Exploration:
    """Tables about `items` and `events` (columns of ITEMS and EVENTS). A play is a row of events.

    Cost: four passes over events, by track, by user, by user and day, by user and month; the rest is built on what they give. What is
    fetched has one row a track, a day, a pair of months or a length of history.
    """

    items: Table
    events: Table

    @cached_property
    def of_item(self) -> pd.DataFrame:
        """item_id, plays, first (day of its first play): one row a track that is played, most plays first, ties by item_id."""
        rows = self.events
        counted = _frame(rows.group_by("item_id").agg(plays=rows.count(), first=rows.started_at.min()))
        return counted.sort_values(["plays", "item_id"], ascending=[False, True], ignore_index=True)

    @cached_property
    def of_cohort(self) -> pd.DataFrame:
        """arrival, month, users, plays: what the users whose first play falls into the month `arrival` do in `month`; both ascending."""
        rows = self.events.select("user_id", month=self.events.started_at.truncate("M"))
        active = rows.group_by("user_id", "month").agg(plays=rows.count())
        active = active.mutate(arrival=active.month.min().over(ibis.window(group_by="user_id")))
        counted = active.group_by("arrival", "month").agg(users=active.count(), plays=active.plays.sum())
        return _frame(counted).sort_values(["arrival", "month"], ignore_index=True)

    def monthly(self) -> pd.DataFrame:
        """month, plays, users (who played in it), new_users (who first played in it), ascending."""
        table = self.of_cohort.assign(new_users=self.of_cohort["users"].where(self.of_cohort["arrival"] == self.of_cohort["month"], 0))
        return table.groupby("month", as_index=False)[["plays", "users", "new_users"]].sum()

    def daily(self) -> pd.DataFrame:
        """day, plays, users, ascending; days without plays are left out."""
        rows = self.events.select("user_id", day=self.events.started_at.truncate("D"))
        active = rows.group_by("user_id", "day").agg(plays=rows.count())
        return _frame(active.group_by("day").agg(plays=active.plays.sum(), users=active.count())).sort_values("day", ignore_index=True)

    def history_lengths(self) -> pd.DataFrame:
        """plays, users: how many users have so many plays, ascending."""
        of_user = self.events.group_by("user_id").agg(plays=self.events.count())
        return _frame(of_user.group_by("plays").agg(users=of_user.count())).sort_values("plays", ignore_index=True)

    def plays_of_tracks(self) -> pd.DataFrame:
        """plays, tracks: how many tracks have so many plays, 0 included, ascending."""
        counts = self.of_item["plays"].value_counts().sort_index()
        table = pd.DataFrame({"plays": counts.index.astype(int), "tracks": counts.to_numpy()})
        silent = int(self.never_played()["tracks"].iloc[0]) - len(self.of_item)
        return pd.concat([pd.DataFrame({"plays": [0], "tracks": [silent]}), table], ignore_index=True) if silent else table

    def popularity(self) -> pd.DataFrame:
        """rank, plays: tracks from most to least played, thinned to at most about 400 rows evenly spread over the logarithm of rank."""
        n = len(self.of_item)
        ranks = np.unique(np.geomspace(1, n, 400).astype(int)) if n else np.empty(0, int)
        return pd.DataFrame({"rank": ranks, "plays": self.of_item["plays"].to_numpy()[ranks - 1]})

    def lorenz(self) -> pd.DataFrame:
        """share_of_tracks, share_of_plays: from the least to the most played, tracks of the catalog without plays included, 201 rows."""
        silent = int(self.never_played()["tracks"].iloc[0]) - len(self.of_item)
        plays = np.concatenate([[0], np.zeros(max(silent, 0)), self.of_item["plays"].to_numpy()[::-1]])
        cumulated = np.cumsum(plays) / max(plays.sum(), 1)
        share = np.linspace(0, 1, 201)
        return pd.DataFrame({"share_of_tracks": share, "share_of_plays": np.interp(share, np.linspace(0, 1, len(plays)), cumulated)})

    def top_tracks(self, n: int = 20) -> pd.DataFrame:
        """rank, item_id, name, artists (joined by commas), plays: the n most played tracks."""
        top = self.of_item.head(n)
        rows = self.items.filter(self.items.item_id.isin(top["item_id"].tolist())).select("item_id", "name", "artists")
        named = top[["item_id", "plays"]].merge(_frame(rows), on="item_id")
        named["artists"] = [", ".join(artists) for artists in named["artists"]]
        named.insert(0, "rank", range(1, len(named) + 1))
        return named[["rank", "item_id", "name", "artists", "plays"]]

    def genres(self, n: int = 20) -> pd.DataFrame:
        """genre, tracks, plays, share_of_tracks, share_of_plays: the n genres with most plays. Shares are of all mentions of a genre."""
        rows = self.items.select("item_id", genre=self.items.genres).unnest("genre")
        links = _frame(rows).merge(self.of_item[["item_id", "plays"]], how="left", on="item_id").fillna({"plays": 0})
        table = links.groupby("genre", as_index=False).agg(tracks=("item_id", "size"), plays=("plays", "sum"))
        table["plays"] = table["plays"].astype(int)
        for column in ("tracks", "plays"):
            table[f"share_of_{column}"] = table[column] / max(table[column].sum(), 1)
        return table.sort_values(["plays", "genre"], ascending=[False, True], ignore_index=True).head(n)

    def never_played(self) -> pd.DataFrame:
        """tracks (in the catalog), played, never_played, share (never played): one row."""
        tracks, played = int(self.items.count().to_pyarrow().as_py()), len(self.of_item)
        share = 1 - played / max(tracks, 1)
        return pd.DataFrame({"tracks": [tracks], "played": [played], "never_played": [tracks - played], "share": [share]})

    def new_tracks(self) -> pd.DataFrame:
        """month, tracks: how many tracks have their first play in it, ascending. In the first months most of what is known is new."""
        months = self.of_item["first"].dt.to_period("M").dt.to_timestamp()
        counts = months.value_counts().sort_index()
        return pd.DataFrame({"month": counts.index, "tracks": counts.to_numpy()})

    def cohorts(self) -> pd.DataFrame:
        """arrival, month, users, share: of the users whose first play falls into `arrival`, how many play in `month`; both ascending."""
        arrived = self.of_cohort.groupby("arrival")["users"].transform("first")
        return self.of_cohort.assign(share=self.of_cohort["users"] / arrived)[["arrival", "month", "users", "share"]]

    def list_lengths(self) -> pd.DataFrame:
        """list (albums, artists, genres), length, tracks: how many tracks name so many; ids counted, repeats removed."""
        parts = []
        for name in LISTS:
            lengths = self.items.select(length=self.items[f"{name[:-1]}_ids"].length())
            part = _frame(lengths.group_by("length").agg(tracks=lengths.count())).sort_values("length", ignore_index=True)
            parts.append(part.assign(list=name)[["list", "length", "tracks"]])
        return pd.concat(parts, ignore_index=True)
