"""Reader of JSON lines from a playback service: user, track, time and played share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicrec.progress import progress
from musicrec.sources.importing import Import
from musicrec.sources.lines import blocks, files_of
from musicrec.sources.raw import RawTables

_PLAYS = """select number, line, f[1] as user_key, f[2] as track_key, moment_of(f[3]) as moment, share_of(f[4]) as share,
    null::varchar as title, null::varchar as artist, null::varchar as album, null::varchar as genre,
    present(f[1]) and present(f[2]) and moment_of(f[3]) is not null and good_share(f[4]) as good
    from (select number, line, json_extract_string(try_cast(line as json), ['$.user', '$.track', '$.timestamp', '$.time']) as f
        from block)"""
_TRACKS = """select number, line, null::varchar as user_key, f[1] as track_key, null::timestamp as moment, null::float as share,
    f[2] as title, f[3] as artist, f[4] as album, f[5] as genre, present(f[1]) as good
    from (select number, line, json_extract_string(try_cast(line as json), ['$.track', '$.title', '$.artist', '$.album', '$.genre']) as f
        from block)"""


@dataclass(frozen=True)
class Botify:
    """Reads all files named `plays` (or `plays`.gz) below `folder`: one JSON object per line with user, track, timestamp and time.

    timestamp: text, or seconds, milliseconds or microseconds since 1970. time: the share of the track that was played, which becomes
    played_share. Other fields are ignored. Files named `names` describe the tracks: track, title, artist, album, genre. The raw tables
    are stored as parquet files in `work`.
    """

    folder: Path
    plays: str = "data.json"
    names: str = "tracks.json"
    work: Path = Path("work/imported")

    def read(self, connection: Any) -> RawTables:
        """The raw tables. Every line is a play, whatever its message; tracks that are not described have no names.

        Unreadable lines (not JSON, no user, track or timestamp, a time outside 0..1) are left out and counted in the report.
        Raises SourceError when more than 0.1 % of the lines are unreadable, for a folder without logs and for a truncated file.
        """
        folder = Path(self.folder)
        files = [(path, _PLAYS) for path in files_of(folder, self.plays)]
        files += [(path, _TRACKS) for pattern in (self.names, f"{self.names}.gz") for path in sorted(folder.rglob(pattern))]
        with Import(Path(self.work)) as logs:
            for path, query in progress(files, "reading logs", unit=" files"):
                for block in blocks(path):
                    logs.add(path, block, query)
            return logs.tables(connection)
