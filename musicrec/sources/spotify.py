"""Reader of the listening histories that Spotify sends to its users: the account history and the extended history."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from musicrec.sources.files import found_files
from musicrec.sources.importing import Import
from musicrec.sources.parsing import quoted
from musicrec.sources.raw import FIRST_IMPORT, Earlier, Example, RawTables
from musicrec.sources.reading import JsonArray

_PATHS = ["$.ts", "$.endTime", "$.master_metadata_album_artist_name", "$.artistName", "$.master_metadata_track_name", "$.trackName",
          "$.master_metadata_album_album_name", "$.spotify_track_uri", "$.ms_played", "$.msPlayed", "$.username", "$.reason_end",
          "$.skipped", "$.episode_name", "$.audiobook_title"]
# Spotify counts a stream from 30 seconds on; a track that ended by itself was played whole and tells its duration.
_FIELDS = {
    "moment": "coalesce(f[1], f[2])", "artist": "coalesce(f[3], f[4])", "title": "coalesce(f[5], f[6])", "album": "f[7]",
    "track": "coalesce(f[8], normal(coalesce(f[3], f[4])) || chr(9) || normal(coalesce(f[5], f[6])))", "ms": "coalesce(f[9], f[10])",
    "duration": "case when f[12] = 'trackdone' then f[9] end",
    "feedback": """case when f[12] = 'trackdone' then 'play' when f[12] in ('fwdbtn', 'backbtn') or f[13] in ('true', '1') then 'skip'
        when try_cast(coalesce(f[9], f[10]) as double) < 30000 then 'skip' else 'play' end""",
    "ignored": "case when coalesce(f[3], f[4], f[5], f[6], f[8]) is null then 'podcast, audiobook or video, no track' end", "line": "line",
}


@dataclass(frozen=True)
class Spotify:
    """Reads all files whose names match `plays` below `folder`, one JSON array each: StreamingHistory*.json of the account history,
    Streaming_History_Audio_*.json and endsong_*.json of the extended history.

    Whose plays they are says `user`, else username of the extended history, else the folder of the file, so that several people can lie
    side by side. Tracks are known by their Spotify URI, in the account history by artist and title. played_share is the time played in
    relation to the longest play of the track that ended by itself; feedback is skip where the listener went on or left within 30 seconds.
    Podcasts are left out. The raw tables are stored in `work`.
    """

    folder: Path
    plays: str = "StreamingHistory*.json, Streaming_History_Audio_*.json, endsong_*.json"
    user: str = ""
    work: Path = Path("work/imported")
    max_bad_share: float = 0.001
    example: ClassVar[Example] = {
        "ann/StreamingHistory0.json": """[
 {"endTime": "2023-01-24 09:46", "artistName": "The Larks", "trackName": "Morning", "msPlayed": 178000},
 {"endTime": "2023-01-24 09:47", "artistName": "The Larks", "trackName": "Noon", "msPlayed": 4000}
]
""",
        "Streaming_History_Audio_2023_0.json": """[
 {"ts": "2023-01-24T09:46:00Z", "username": "ben", "ms_played": 180000, "reason_end": "trackdone", "skipped": false,
  "master_metadata_track_name": "Morning", "master_metadata_album_artist_name": "The Larks", "spotify_track_uri": "spotify:track:1"}
]
""",
    }

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables, with the names of tracks, artists and albums. Keys that `earlier` has keep their ids.

        Entries that cannot be read are left out and accounted for. Raises SourceError when more than max_bad_share of them are, for a
        folder without histories and for a file that is not a whole JSON array.
        """
        relation = f"(select *, json_extract_string(line::json, {_PATHS}) as f from block)"
        names = {"moment": "ts", "ms": "ms_played", "track": "spotify_track_uri"}
        with Import(Path(self.folder), Path(self.work), earlier, self.max_bad_share) as logs:
            for path in logs.files(found_files(Path(self.folder), self.plays)):
                history = JsonArray(path)
                user = f"'{quoted(self.user)}'" if self.user else f"coalesce(f[11], '{quoted(path.resolve().parent.name)}')"
                logs.add(path, history, history.rows(), {**_FIELDS, "user": user}, relation, names)
            return logs.tables(connection)
