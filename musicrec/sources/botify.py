"""Reader of JSON lines from a playback service: user, track, time and played share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from musicrec.sources.files import found_files
from musicrec.sources.importing import Import
from musicrec.sources.parsing import OF_JSON_LINES
from musicrec.sources.raw import FIRST_IMPORT, Earlier, Example, RawTables
from musicrec.sources.reading import TextLines

_PLAYS = {**OF_JSON_LINES, "user": "f[1]", "track": "f[2]", "moment": "f[3]", "share": "f[4]"}
_TRACKS = {**OF_JSON_LINES, "track": "f[1]", "title": "f[2]", "artist": "f[3]", "album": "f[4]", "genres": "string_split(f[5], '|')"}
_OF_PLAY = "['$.user', '$.track', '$.timestamp', '$.time']"
_OF_TRACK = "['$.track', '$.title', '$.artist', '$.album', '$.genre']"
_NAMES = {"moment": "timestamp", "share": "time"}


@dataclass(frozen=True)
class Botify:
    """Reads all files named `plays` (also compressed) below `folder`: one JSON object per line with user, track, timestamp and time.

    timestamp: text, or a number since 1970. time: the share of the track that was played, which becomes played_share. Other fields are
    ignored. Files named `names` describe the tracks: track, title, artist, album, genre. The raw tables are stored in `work`.
    """

    folder: Path
    plays: str = "data.json"
    names: str = "tracks.json"
    work: Path = Path("work/imported")
    max_bad_share: float = 0.001
    example: ClassVar[Example] = {
        "data.json": """{"user": 5, "track": 26, "timestamp": 1646136000000, "time": 0.97, "message": "next"}
{"user": 5, "track": 38, "timestamp": 1646136180000, "time": 0.2, "message": "last"}
{"user": 7, "track": 26, "timestamp": 1646222400000, "time": 1.0, "message": "last"}
""",
        "tracks.json": """{"track": 26, "title": "Morning", "artist": "The Larks", "album": "Dawn", "genre": "Folk|Pop"}
{"track": 38, "title": "Noon", "artist": "The Larks", "album": "Dawn", "genre": "Folk"}
""",
    }

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables. Every line is a play, whatever its message; tracks that are not described have no names.

        Lines that cannot be read are left out and accounted for. Raises SourceError when more than max_bad_share of them are, for a folder
        without logs and for a truncated file.
        """
        found = found_files(Path(self.folder), f"{self.plays}, {self.names}")
        with Import(Path(self.folder), Path(self.work), earlier, self.max_bad_share) as logs:
            for path in logs.files(found):
                lines, describes = TextLines(path), path.name.lower().startswith(self.names.lower())
                fields, paths = (_TRACKS, _OF_TRACK) if describes else (_PLAYS, _OF_PLAY)
                relation = f"(select *, json_extract_string(try_cast(line as json), {paths}) as f from block)"
                logs.add(path, lines, lines.rows(), fields, relation, _NAMES, kind="tracks" if describes else "plays")
            return logs.tables(connection)
