"""Plays that are appended to logs whose ids are the keys, and plays that are left out of them."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import ibis

from musicrec.schema import LARGEST_ID, RAW_INTERACTIONS
from musicrec.sources.account import OF_EXCLUDED_USER
from musicrec.sources.parquet import check_ranges, opened
from musicrec.sources.raw import RawTables


def with_further_plays(raw: RawTables, plays: Path, connection: Any) -> RawTables:
    """`raw` with the rows of the parquet file `plays` added to interactions and to the account.

    plays: a file with the columns of interactions, as `musicrec events export --form interactions` writes it; with played_share or
    feedback the rows of the logs get these columns too, and was_recommended where feedback names answers. A user's track_seq continues
    from the logs. Raises SourceError for a file that is missing, not parquet or truncated, and for ids and timestamps out of range;
    SchemaError for columns that are missing or have the wrong type.
    """
    table = opened(plays, RAW_INTERACTIONS)
    check_ranges(table, ("user_id", "track_id"), ("started_at",))
    logged, added = raw.interactions, connection.read_parquet(table.readable)
    last = logged.group_by("user_id").agg(last=logged.track_seq.max())
    joined = added.left_join(last, added.user_id.cast("int32") == last.user_id)
    place = ibis.row_number().over(group_by=joined.user_id, order_by=joined.started_at) + 1
    columns = {"user_id": joined.user_id.cast("int32"), "track_id": joined.track_id.cast("int32"),
               "track_seq": (place + joined["last"].fill_null(0)).cast("int32"), "started_at": joined.started_at.cast("timestamp(6)")}
    for name, kind in (("played_share", "float32"), ("feedback", "string")):
        if name in added.columns and name not in logged.columns:
            logged = logged.mutate(**{name: ibis.null(kind)})
        if name in logged.columns:
            columns[name] = joined[name].cast(kind) if name in added.columns else ibis.null(kind)
    if "recommendation_id" in added.columns:
        logged = logged.mutate(was_recommended=ibis.literal(0, "int8"))
        columns["was_recommended"] = (joined.recommendation_id.fill_null("") != "").cast("int8")
    rows = joined.select(**columns).select(*logged.columns)
    return replace(raw, interactions=logged.union(rows), account=replace(raw.account, files=[*raw.account.files, table.count()]))


def without_users(raw: RawTables, excluded: Collection[str]) -> RawTables:
    """`raw` without the plays of these users, which the account counts as left out of its last file. Cost: one pass over the users."""
    ids = [int(key) for key in excluded if key.isascii() and key.isdecimal() and int(key) <= LARGEST_ID]
    if not ids:
        return raw
    of_them = raw.interactions.user_id.isin(ids)
    if rows := raw.interactions.filter(of_them).count().to_pyarrow().as_py():
        file = raw.account.files[-1]
        file.rows -= rows
        raw.account.leave_out(OF_EXCLUDED_USER, rows, file.name, is_bad=False)
    return replace(raw, interactions=raw.interactions.filter(~of_them))
