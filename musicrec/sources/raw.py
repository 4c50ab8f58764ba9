"""The result of every source: three raw tables, the keys behind their ids, and an account of what was read and left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import ibis

from musicrec.keys import RunKeys
from musicrec.sources.account import Account

Example = Mapping[str, str | Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class RawTables:
    """The three raw tables as Ibis expressions, with the columns of RAW_TRACKS, RAW_NAMES and RAW_INTERACTIONS.

    user_id, track_id and track_seq are int32, ids of names int64, started_at is a timestamp in microseconds, UTC.
    Nothing is read before an expression is executed. Rows are in no particular order. keys: the keys of the ids; None where the logs hold
    the ids themselves.
    """

    tracks: ibis.Table
    catalog_names: ibis.Table
    interactions: ibis.Table
    account: Account = field(default_factory=Account)
    keys: RunKeys | None = None


@dataclass(frozen=True)
class Earlier:
    """What an import goes on from: the keys of the current run, whose ids stay, plays that the events service has stored since, and keys of
    users whose plays are left out."""

    keys: RunKeys = field(default_factory=RunKeys)
    further_plays: Path | None = None
    excluded: frozenset[str] = frozenset()


FIRST_IMPORT = Earlier()


class Source(Protocol):
    """A reader of one format of logs: a frozen dataclass of its settings, the first of which is the folder of the files.

    example: small files that it reads with its defaults, by name, for the documentation and the tests: text, or the rows of a parquet
    file.
    """

    example: ClassVar[Example]

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        ...

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables of the folder and of further plays, bound to the Ibis backend `connection`. Keys that
        `earlier` has keep their ids.

        Raises SourceError for a file that is missing, in another format, truncated or with too many unreadable lines, and
        SchemaError for a column that is missing or has the wrong type.
        """
        ...
