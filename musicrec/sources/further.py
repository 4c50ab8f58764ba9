"""Plays that came in after the logs were written: what the events service exports joins the logs of any source."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis

from musicrec.schema import RAW_INTERACTIONS
from musicrec.sources.parquet import opened, refuse_bad_values
from musicrec.sources.raw import RawTables


def with_further_plays(raw: RawTables, plays: Path, connection: Any) -> RawTables:
    """`raw` with the rows of the parquet file `plays` behind those of interactions; a line of the report says how many.

    plays has the columns of interactions, as `musicrec events export --form interactions` writes them. Within a
    user its track_seq goes on where the logs end. Raises SourceError for a file that is missing, not parquet or cut off, for ids
    below 0 and impossible moments, and SchemaError for missing or wrongly typed columns.
    """
    file = opened(plays, RAW_INTERACTIONS)
    refuse_bad_values(file, plays, ("user_id", "track_id"), ("started_at",))
    logged, further = raw.interactions, connection.read_parquet(plays)
    last = logged.group_by("user_id").agg(last=logged.track_seq.max())
    joined = further.left_join(last, further.user_id.cast("int32") == last.user_id)
    columns = {"user_id": joined.user_id.cast("int32"), "track_id": joined.track_id.cast("int32"),
               "track_seq": (joined.track_seq.cast("int32") + joined.last.fill_null(0)).cast("int32"),
               "started_at": joined.started_at.cast("timestamp(6)")}
    if "played_share" in logged.columns:
        columns["played_share"] = ibis.null("float32")
    rows = joined.select(**columns).select(*logged.columns)
    told = f"{file.metadata.num_rows:,} further plays come from {plays}."
    return replace(raw, interactions=logged.union(rows), report=(*raw.report, told))
