"""Reader of tab-separated plays in the form of the Last.fm-1K data set: user, timestamp, artist id, artist, track id, track."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicrec.progress import progress
from musicrec.sources.importing import Import
from musicrec.sources.lines import blocks, files_of
from musicrec.sources.raw import RawTables

# The same track occurs with and without an id, so tracks are identified by artist and title.
_PLAYS = """select number, line, f[1] as user_key, f[4] || chr(9) || f[6] as track_key, moment_of(f[2]) as moment, null::float as share,
    f[6] as title, f[4] as artist, null::varchar as album, null::varchar as genre,
    len(f) = 6 and present(f[1]) and present(f[4]) and present(f[6]) and moment_of(f[2]) is not null as good
    from (select number, line, string_split(line, chr(9)) as f from block)"""


@dataclass(frozen=True)
class Lastfm:
    """Reads all files named `plays` (or `plays`.gz) below `folder`: one play per line, six fields separated by tabs, no header.

    Users are identified by name, tracks by artist and title; both are numbered. The raw tables are stored as parquet files in `work`.
    """

    folder: Path
    plays: str = "userid-timestamp-artid-artname-traid-traname.tsv"
    work: Path = Path("work/imported")

    def read(self, connection: Any) -> RawTables:
        """The raw tables, with the names of tracks and artists; the report counts repeated plays.

        Unreadable lines (not six fields, no user, artist, title or timestamp) are left out and counted in the report.
        Raises SourceError when more than 0.1 % of the lines are unreadable, for a folder without logs and for a truncated file.
        """
        with Import(Path(self.work)) as logs:
            for path in progress(files_of(Path(self.folder), self.plays), "reading logs", unit=" files"):
                for block in blocks(path):
                    logs.add(path, block, _PLAYS)
            return logs.tables(connection)
