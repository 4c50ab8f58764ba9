"""What every source yields: three raw tables, and what was seen while reading them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ibis


@dataclass(frozen=True)
class RawTables:
    """The three raw tables as Ibis expressions, with the columns of RAW_TRACKS, RAW_NAMES and RAW_INTERACTIONS.

    user_id, track_id and track_seq are int32, ids of names int64, started_at is a timestamp of microseconds in UTC.
    Nothing is read before an expression is executed. Rows are in no particular order. report: lines for a person on what
    was odd in the files (bad lines left out, repeats counted); empty where nothing was.
    """

    tracks: ibis.Table
    catalog_names: ibis.Table
    interactions: ibis.Table
    report: tuple[str, ...] = ()


class Source(Protocol):
    """A reader of one kind of logs: a frozen dataclass of its settings, the first of them the folder with the files."""

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        ...

    def read(self, connection: Any) -> RawTables:
        """The raw tables of the folder, bound to the Ibis backend `connection`.

        Raises SourceError for a file that is missing, of another kind, cut off or with too many bad lines, and
        SchemaError for a column that is missing or of the wrong type.
        """
        ...
