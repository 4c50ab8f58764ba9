"""Reader of ListenBrainz: the export of a listener, and the full dumps."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from musicrec.sources.files import found_files
from musicrec.sources.importing import Import
from musicrec.sources.parsing import OF_JSON_LINES, quoted
from musicrec.sources.raw import FIRST_IMPORT, Earlier, Example, RawTables
from musicrec.sources.reading import TextLines

_PATHS = ["$.user_name", "$.user_id", "$.listened_at", "$.track_metadata.artist_name", "$.track_metadata.track_name",
          "$.track_metadata.release_name", "$.track_metadata.mbid_mapping.recording_mbid", "$.track_metadata.additional_info.duration_ms",
          "$.track_metadata.additional_info.duration", "$.timestamp"]
_FIELDS = {
    "moment": "coalesce(f[3], f[10])", "artist": "f[4]", "title": "f[5]", "album": "f[6]",
    "track": "coalesce(f[7], normal(f[4]) || chr(9) || normal(f[5]))",
    "duration": "coalesce(try_cast(f[8] as double), 1000 * try_cast(f[9] as double))::varchar",
    **OF_JSON_LINES,
}


@dataclass(frozen=True)
class ListenBrainz:
    """Reads all files whose names match `plays` below `folder`, one JSON object a line: the export of a listener
    (listens/<year>/<month>.jsonl) or the unpacked .listens files of a full dump.

    Tracks are known by the MusicBrainz id of the recording that ListenBrainz mapped them to, else by artist and title. Where lines name no
    user, as in an export, it is `user`, else the name of `folder`. The raw tables are stored in `work`.
    """

    folder: Path
    plays: str = "*.jsonl, *.listens"
    user: str = ""
    work: Path = Path("work/imported")
    max_bad_share: float = 0.001
    example: ClassVar[Example] = {"listens/2023/1.jsonl": """\
{"listened_at": 1674553320, "user_name": "ann", "track_metadata": {"artist_name": "The Larks", "track_name": "Morning"}}
{"listened_at": 1674553560, "user_name": "ann", "track_metadata": {"artist_name": "The Larks", "track_name": "Noon"}}
{"listened_at": 1674639960, "user_name": "ben", "track_metadata": {"artist_name": "the larks", "track_name": "Noon "}}
"""}

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables, with the names of tracks, artists and releases. Keys that `earlier` has keep their ids.

        Lines that cannot be read are left out and accounted for. Raises SourceError when more than max_bad_share of them are, for a folder
        without logs and for a truncated file.
        """
        user = quoted(self.user or Path(self.folder).resolve().name)
        relation = f"(select *, json_extract_string(try_cast(line as json), {_PATHS}) as f from block)"
        names = {"user": "user_name", "moment": "listened_at", "track": "track_name", "artist": "artist_name"}
        with Import(Path(self.folder), Path(self.work), earlier, self.max_bad_share) as logs:
            for path in logs.files(found_files(Path(self.folder), self.plays)):
                lines = TextLines(path)
                logs.add(path, lines, lines.rows(), {**_FIELDS, "user": f"coalesce(f[1], f[2], '{user}')"}, relation, names)
            return logs.tables(connection)
