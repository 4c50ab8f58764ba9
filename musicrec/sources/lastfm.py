"""Tab-separated plays in the form of the Last.fm-1K set: user, moment, artist id, artist, track id, track."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicrec.progress import progress
from musicrec.sources.importing import Import
from musicrec.sources.lines import blocks, files_of
from musicrec.sources.raw import RawTables

# The same track comes with and without an id, so artist and title tell tracks apart.
_PLAYS = """select number, line, f[1] as user_key, f[4] || chr(9) || f[6] as track_key, moment_of(f[2]) as moment, null::float as share,
    f[6] as title, f[4] as artist, null::varchar as album, null::varchar as genre,
    len(f) = 6 and present(f[1]) and present(f[4]) and present(f[6]) and moment_of(f[2]) is not null as good
    from (select number, line, string_split(line, chr(9)) as f from block)"""


@dataclass(frozen=True)
class Lastfm:
    """Reads every file `plays` (and `plays`.gz) below `folder`, one play a line, six fields separated by tabs, no header.

    Tracks are told apart by artist and title, users by their name; both are numbered. What is read is kept as parquet in `work`.
    """

    folder: Path
    plays: str = "userid-timestamp-artid-artname-traid-traname.tsv"
    work: Path = Path("work/imported")

    def read(self, connection: Any) -> RawTables:
        """The three tables, every play a row, with the names of tracks and artists; the report counts repeated plays.

        Unreadable lines (not six fields, no user, artist or title, no moment) are left out and told in the report.
        Raises SourceError when they are more than one in a thousand, or for a folder without logs or a file that is cut off.
        """
        with Import(Path(self.work)) as taken:
            for path in progress(files_of(Path(self.folder), self.plays), "reading logs", unit=" files"):
                for block in blocks(path):
                    taken.take(path, block, _PLAYS)
            return taken.tables(connection)
