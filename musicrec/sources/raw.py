"""The result of every source: three raw tables and a report of what was left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ibis


@dataclass(frozen=True)
class RawTables:
    """The three raw tables as Ibis expressions, with the columns of RAW_TRACKS, RAW_NAMES and RAW_INTERACTIONS.

    user_id, track_id and track_seq are int32, ids of names int64, started_at is a timestamp in microseconds, UTC.
    Nothing is read before an expression is executed. Rows are in no particular order. report: sentences about the files, such as the
    number of unreadable lines and of repeated plays; empty where there is nothing to report.
    """

    tracks: ibis.Table
    catalog_names: ibis.Table
    interactions: ibis.Table
    report: tuple[str, ...] = ()


class Source(Protocol):
    """A reader of one format of logs: a frozen dataclass of its settings, the first of which is the folder of the files."""

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        ...

    def read(self, connection: Any) -> RawTables:
        """The raw tables of the folder, bound to the Ibis backend `connection`.

        Raises SourceError for a file that is missing, in another format, truncated or with too many unreadable lines, and
        SchemaError for a column that is missing or has the wrong type.
        """
        ...
