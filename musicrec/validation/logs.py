"""The logs to validate, with aggregates that several checks use, each computed once: a query costs a cluster more than its answer does."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
from ibis.expr.types import Table

from musicrec.validation.catalog_facts import catalog_facts

SEVERITIES = ("error", "warning", "note")
EARLIEST = datetime(1990, 1, 1)
PLAY_KEYS = ("user_id", "track_id", "track_seq", "started_at")


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
    def track_ids(self) -> pa.ChunkedArray:
        """The column track_id of tracks."""
        return self.tracks.select("track_id").to_pyarrow()["track_id"]

    @property
    def n_tracks(self) -> int:
        """Rows of tracks."""
        return len(self.track_ids)

    @property
    def n_plays(self) -> int:
        """Rows of interactions."""
        return int(self.of_plays["rows"])

    @cached_property
    def of_plays(self) -> dict[str, Any]:
        """Counts over interactions: rows; null_ and the name of a key; odd_dates, and the latest of them as odd_date; timed (not at
        midnight); odd_shares, and the largest of them as odd_share, None without played_share. A count is None where there is no row.
        """
        rows = self.interactions
        odd = (rows.started_at < EARLIEST) | (rows.started_at > datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1))
        asked = {f"null_{column}": rows[column].isnull().sum() for column in PLAY_KEYS}
        asked |= {"odd_dates": odd.sum(), "odd_date": rows.started_at.max(where=odd)}
        if "played_share" in rows.columns:
            outside = (rows.played_share < 0) | (rows.played_share > 1)
            asked |= {"odd_shares": outside.sum(), "odd_share": rows.played_share.max(where=outside)}
        timed = (rows.started_at != rows.started_at.truncate("D")).sum()
        found = rows.aggregate(rows=rows.count(), timed=timed, **asked).to_pyarrow().to_pylist()[0]
        return {"odd_shares": None, **found}

    @cached_property
    def of_catalog(self) -> dict[str, dict[str, Any]]:
        """See catalog_facts."""
        return catalog_facts(self.tracks, self.catalog_names)

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
