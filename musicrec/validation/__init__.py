"""Validation of the logs: a table of findings, each with a count, an example and what is done about it."""

from collections.abc import Callable
from dataclasses import fields
from datetime import date

import duckdb
import pandas as pd
from ibis.expr.types import Table

from musicrec.errors import DataError
from musicrec.validation import catalog, dates, plays
from musicrec.validation.logs import SEVERITIES, Finding, Logs

__all__ = ["CHECKS", "Finding", "Logs", "findings"]

CHECKS: dict[str, Callable[[Logs], list[Finding]]] = {
    "nulls": plays.nulls,
    "repeated track ids": catalog.repeated_track_ids,
    "orphans": plays.orphans,
    "repeated names rows": catalog.ids_with_several_names,
    "unnamed": catalog.ids_without_names,
    "empty lists": catalog.empty_lists,
    "genre None": catalog.names_spelled_none,
    "shared names": catalog.names_of_several_ids,
    "repeats inside lists": catalog.names_repeated_inside_lists,
    "ids under several types": catalog.ids_under_several_types,
    "sequence": plays.gaps_in_sequence,
    "repeats": plays.repeats,
    "never played": plays.tracks_without_plays,
    "absent users": plays.skipped_user_ids,
    "shares": plays.shares_out_of_range,
    "implausible users": plays.implausible_users,
    "concentration": plays.concentration,
    "dates": dates.dates_out_of_range,
    "whole days": dates.whole_days,
    "cold users": dates.cold_users,
    "weekdays": dates.flat_week,
    "id order": dates.order_of_ids,
}


def findings(tracks: Table, catalog_names: Table, interactions: Table, test_start: date) -> pd.DataFrame:
    """One row per finding, most severe first: severity, finding, count, share, example, action.

    tracks, catalog_names, interactions: raw tables (RAW_TRACKS, RAW_NAMES, RAW_INTERACTIONS). test_start: first day of the test set.
    severity: "error" (must be corrected), "warning" (handled, but worth a look) or "note" (for information). share: 0..1, of the
    objects that the finding is about. Raises DataError for a damaged file.
    Cost: about seven passes over interactions; results in memory have one row per user, track or day, and repeats are counted in
    ranges of about eight million plays.
    """
    logs = Logs(tracks, catalog_names, interactions, test_start)
    try:
        rows = [found for check in CHECKS.values() for found in check(logs)]
    except duckdb.Error as cause:
        what = str(cause).strip().splitlines()[0].rstrip(".")
        raise DataError(f"The logs cannot be read: {what}; check the files that [data] names.") from cause
    rows.sort(key=lambda found: SEVERITIES.index(found.severity))
    return pd.DataFrame(rows, columns=[field.name for field in fields(Finding)])
