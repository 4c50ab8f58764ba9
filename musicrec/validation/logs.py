"""The logs to validate, with aggregates that several checks use, each computed once."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import pandas as pd
from ibis.expr.types import Table

SEVERITIES = ("error", "warning", "note")
KINDS = {"albums": "album", "artists": "artist", "genres": "genre"}


@dataclass(frozen=True)
class Finding:
    """One finding: its severity, what was found, the count and share, an example, and what is done about it."""

    severity: str
    finding: str
    count: int
    share: float
    example: str
    action: str


def frame(table: Table) -> pd.DataFrame:
    """The result of the engine as a DataFrame, for small tables."""
    found: pd.DataFrame = table.to_pyarrow().to_pandas()
    return found


@dataclass(frozen=True)
class Logs:
    """The raw tables and the first day of the test set. Aggregates have one row per track, user or day, never per play."""

    tracks: Table
    catalog_names: Table
    interactions: Table
    test_start: date

    @cached_property
    def n_tracks(self) -> int:
        """Rows of tracks."""
        return int(self.tracks.count().to_pyarrow().as_py())

    @cached_property
    def n_plays(self) -> int:
        """Rows of interactions."""
        return int(self.interactions.count().to_pyarrow().as_py())

    @cached_property
    def of_user(self) -> pd.DataFrame:
        """One row per user, ascending: user_id, plays, low and high (of track_seq), first and last (of started_at)."""
        rows = self.interactions
        grouped = rows.group_by("user_id").agg(plays=rows.count(), low=rows.track_seq.min(), high=rows.track_seq.max(),
                                               first=rows.started_at.min(), last=rows.started_at.max())
        return frame(grouped).sort_values("user_id", ignore_index=True)

    @cached_property
    def of_track(self) -> pd.DataFrame:
        """One row per played track: track_id, plays; most plays first, ties by track_id."""
        counted = frame(self.interactions.group_by("track_id").agg(plays=self.interactions.count()))
        return counted.sort_values(["plays", "track_id"], ascending=[False, True], ignore_index=True)

    @cached_property
    def of_day(self) -> pd.Series:
        """Number of plays per day, ascending, without days that have none."""
        days = self.interactions.select(day=self.interactions.started_at.date())
        counted = frame(days.group_by("day").agg(plays=days.count())).dropna()
        series: pd.Series = counted.set_index(pd.to_datetime(counted["day"]))["plays"].sort_index()
        return series

    @cached_property
    def links(self) -> dict[str, Table]:
        """For albums, artists and genres: rows (track_id, id, name), one per element of a list; name is null where the catalog has none."""
        made = {}
        for column, kind in KINDS.items():
            flat = self.tracks.select("track_id", id=self.tracks[column].cast("array<int64>")).unnest("id")
            known = self.catalog_names.filter(self.catalog_names.type == kind, self.catalog_names.name.strip() != "")
            known = known.group_by("id").agg(name=known.name.min())
            made[column] = flat.left_join(known, "id").select("track_id", "id", "name")
        return made
