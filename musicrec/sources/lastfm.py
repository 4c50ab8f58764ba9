"""Reader of listening histories of Last.fm: the Last.fm-1K set, and the CSV exports of single people."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from musicrec.errors import SchemaError
from musicrec.sources.delimited import DelimitedRows, Dialect
from musicrec.sources.files import found_files
from musicrec.sources.importing import Import
from musicrec.sources.parsing import quoted
from musicrec.sources.raw import FIRST_IMPORT, Earlier, Example, RawTables

_LASTFM_1K = ("user", "timestamp", "artist_mbid", "artist", "track_mbid", "track")
# Files without a header: artist, album, track and time, as lastfm-to-csv writes them.
_BARE = ("artist", "album", "track", "timestamp")
_CALLED = {"user": ("user", "username", "user_name"), "moment": ("uts", "timestamp", "time", "date", "utc_time", "played_at"),
           "artist": ("artist", "artist_name"), "album": ("album", "album_name"), "title": ("track", "track_name", "title", "name", "song")}
_EXPORTED = re.compile(r"^(recenttracks|lastfm|scrobbles)[-_](?P<user>.+?)([-_]\d{6,})?$", re.IGNORECASE)


@dataclass(frozen=True)
class Lastfm:
    """Reads all files whose names match `plays` below `folder`: .tsv as in Last.fm-1K (user, timestamp, two fields of the artist, two of
    the track, no header), .csv as the exports in use, with a header that names artist, track and a time, or without one: artist, album,
    track, time.

    Whose plays a .csv has says its column user, else `user`, else the name of the file: listener of recenttracks-listener-1675000000.csv.
    Tracks are known by artist and title together; case and surrounding spaces do not count. The raw tables are stored in `work`.
    """

    folder: Path
    plays: str = "userid-timestamp-artid-artname-traid-traname.tsv, *.csv"
    user: str = ""
    work: Path = Path("work/imported")
    max_bad_share: float = 0.001
    example: ClassVar[Example] = {
        "userid-timestamp-artid-artname-traid-traname.tsv":
            "user_000001\t2009-05-04T23:08:57Z\t\tThe Larks\t\tMorning\nuser_000002\t2009-05-04T23:12:00Z\t\tThe Larks\t\tNoon\n",
        "recenttracks-listener-1675000000.csv": """uts,utc_time,artist,artist_mbid,album,album_mbid,track,track_mbid
"1674553320","24 Jan 2023, 09:42","The Larks","","Dawn","","Morning",""
"1674553560","24 Jan 2023, 09:46","The Larks","","Dawn","","Noon",""
""",
    }

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables, with the names of tracks, artists and albums. Keys that `earlier` has keep their ids.

        Lines that cannot be read are left out and accounted for. Raises SourceError when more than max_bad_share of them are, for a folder
        without logs and for a truncated file, and SchemaError for a .csv without artist, track or time.
        """
        with Import(Path(self.folder), Path(self.work), earlier, self.max_bad_share) as logs:
            for path in logs.files(found_files(Path(self.folder), self.plays)):
                file, fields, names = self._file(path)
                fields["track"] = f"normal({fields['artist']}) || chr(9) || normal({fields['title']})"
                logs.add(path, file, file.rows(file.names), fields, names=names)
            return logs.tables(connection)

    def _file(self, path: Path) -> tuple[DelimitedRows, dict[str, str], dict[str, str]]:
        """The rows of a file, the SQL of its fields, and what it calls them."""
        if ".tsv" in (suffix.lower() for suffix in path.suffixes):
            file = DelimitedRows(path, Dialect("\t", quote=""), _LASTFM_1K)
        else:
            file = DelimitedRows(path, Dialect())
            if not {name.lower() for name in file.names} & set(_CALLED["title"]):
                file = DelimitedRows(path, Dialect(), _BARE)
        given = {name.lower(): name for name in file.names}
        names = {field: given[name] for field, called in _CALLED.items() for name in reversed(called) if name in given}
        if missing := [field for field in ("moment", "artist", "title") if field not in names]:
            raise SchemaError(f"{path} has no column of the {missing[0]}; it has {', '.join(file.names)}; use source columns for it.")
        fields = {field: '"' + name.replace('"', '""') + '"' for field, name in names.items()}
        if "user" not in fields:
            stem = path.name.split(".")[0]
            match = _EXPORTED.match(stem)
            fields["user"] = f"'{quoted(self.user or (match['user'] if match else stem))}'"
        return file, fields, {**names, "track": f"{names['artist']}, {names['title']}"}
