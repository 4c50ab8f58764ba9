"""Plays exported by the events service, appended to the logs of any source."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis

from musicrec.schema import RAW_INTERACTIONS
from musicrec.sources.parquet import check_ranges, opened
from musicrec.sources.raw import RawTables


def with_further_plays(raw: RawTables, plays: Path, connection: Any) -> RawTables:
    """`raw` with the rows of the parquet file `plays` added to interactions and their number added to the report.

    plays: a file with the columns of interactions, as `musicrec events export --form interactions` writes it. A user's track_seq
    continues from the logs. Raises SourceError for a file that is missing, not parquet or truncated, and for ids and timestamps out of
    range; SchemaError for columns that are missing or have the wrong type.
    """
    file = opened(plays, RAW_INTERACTIONS)
    check_ranges(file, plays, ("user_id", "track_id"), ("started_at",))
    logged, added = raw.interactions, connection.read_parquet(plays)
    last = logged.group_by("user_id").agg(last=logged.track_seq.max())
    joined = added.left_join(last, added.user_id.cast("int32") == last.user_id)
    columns = {"user_id": joined.user_id.cast("int32"), "track_id": joined.track_id.cast("int32"),
               "track_seq": (joined.track_seq.cast("int32") + joined.last.fill_null(0)).cast("int32"),
               "started_at": joined.started_at.cast("timestamp(6)")}
    if "played_share" in logged.columns:
        columns["played_share"] = ibis.null("float32")
    rows = joined.select(**columns).select(*logged.columns)
    line = f"{file.metadata.num_rows:,} further plays come from {plays}."
    return replace(raw, interactions=logged.union(rows), report=(*raw.report, line))
