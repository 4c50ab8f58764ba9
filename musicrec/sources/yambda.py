"""Reader of Yambda, the open music data of Yandex (arXiv:2505.22238): listens, likes, dislikes and their removals, as parquet."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import SchemaError
from musicrec.sources.delimited import Rows
from musicrec.sources.files import FoundFiles, found_files
from musicrec.sources.importing import Import
from musicrec.sources.raw import FIRST_IMPORT, Earlier, Example, RawTables
from musicrec.sources.reading import ParquetRows, texts_in

_MARKS = {"likes": "like", "dislikes": "dislike", "unlikes": "unlike", "undislikes": "undislike"}
_LISTENED_PCT = 50
_REQUIRED = ("uid", "timestamp", "item_id")


@dataclass(frozen=True)
class Yambda:
    """Reads listens.parquet, likes.parquet, dislikes.parquet, unlikes.parquet and undislikes.parquet below `folder`, in the flat form (a
    row an event) or the sequential one (a row a user, with lists), and artist_item_mapping.parquet and album_item_mapping.parquet where
    they are.

    Times are given in seconds since an undisclosed day, for which `start` stands. played_share is played_ratio_pct, at most 1; a listen of
    more than half of a track is feedback play, else skip, and the latest like or dislike that was not taken back is that of all
    plays of its user and track. Artists and albums have ids and no names. The raw tables are stored in `work`.
    """

    folder: Path
    plays: str = "listens.parquet"
    start: datetime = datetime(2024, 1, 1)
    work: Path = Path("work/imported")
    max_bad_share: float = 0.001
    example: ClassVar[Example] = {
        "listens.parquet": [
            {"uid": 100, "timestamp": 39420, "item_id": 8326270, "is_organic": 0, "played_ratio_pct": 95, "track_length_seconds": 170},
            {"uid": 100, "timestamp": 39590, "item_id": 1441281, "is_organic": 1, "played_ratio_pct": 12, "track_length_seconds": 225},
            {"uid": 200, "timestamp": 40000, "item_id": 8326270, "is_organic": 1, "played_ratio_pct": 108, "track_length_seconds": 170}],
        "likes.parquet": [{"uid": 200, "timestamp": 40100, "item_id": 8326270, "is_organic": 1}],
        "artist_item_mapping.parquet": [{"artist_id": 7, "item_id": 8326270}],
    }

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables. Keys that `earlier` has keep their ids.

        Raises SourceError for a folder without listens and for a damaged file, SchemaError for a missing column.
        """
        folder = Path(self.folder)
        found = found_files(folder, self.plays)
        beside = [path for mark in _MARKS for path in sorted(folder.rglob(f"{mark}.parquet"))]
        described = [path for kind in ("artist", "album") for path in sorted(folder.rglob(f"{kind}_item_mapping.parquet"))]
        with Import(folder, Path(self.work), earlier, self.max_bad_share) as logs:
            for path in logs.files(FoundFiles([*found.files, *beside, *described], found.passed_over)):
                if path in described:
                    kind = path.name.split("_")[0]
                    file = ParquetRows(path)
                    logs.add(path, file, file.rows(["item_id", f"{kind}_id"]), {"track": "item_id", kind: f"'{kind} ' || {kind}_id"},
                             kind="tracks")
                else:
                    self._add_events(logs, path)
            return logs.tables(connection)

    def _add_events(self, logs: Import, path: Path) -> None:
        events, mark = _Events(path), _MARKS.get(path.stem)
        seconds = (self.start - datetime(1970, 1, 1)).total_seconds()
        fields = {"user": "uid", "track": "item_id", "moment": f"({seconds:.0f} + try_cast(timestamp as bigint))::varchar"}
        if mark:
            fields["feedback"] = f"'{mark}'"
        else:
            ratio = "try_cast(played_ratio_pct as double) / 100"
            fields["share"] = f"(case when {ratio} > 1 then 1 else {ratio} end)::varchar"
            fields["duration"] = "(1000 * try_cast(track_length_seconds as double))::varchar"
            fields["feedback"] = f"case when try_cast(played_ratio_pct as double) > {_LISTENED_PCT} then 'play' else 'skip' end"
        names = {"user": "uid", "track": "item_id", "moment": "timestamp", "share": "played_ratio_pct"}
        logs.add(path, events, events.flat(), fields, "block", names, kind="marks" if mark else "plays")


class _Events(ParquetRows):
    """The events of a file; of the sequential form `lines` counts events, too."""

    def flat(self) -> Iterator[Rows]:
        """uid, timestamp, item_id, played_ratio_pct and track_length_seconds as text, one row an event."""
        if missing := [name for name in _REQUIRED if name not in self.names]:
            raise SchemaError(f"{self.path} has no column {missing[0]!r}; it has {', '.join(self.names)}.")
        optional = [name for name in ("played_ratio_pct", "track_length_seconds") if name in self.names]
        for batch in self.batches([*_REQUIRED, *optional]):
            columns = {name: batch.column(name) for name in batch.schema.names}
            if pa.types.is_list(columns["item_id"].type) or pa.types.is_large_list(columns["item_id"].type):
                parents = pc.list_parent_indices(columns["item_id"])
                columns = {name: column.take(parents) if name == "uid" else pc.list_flatten(column) for name, column in columns.items()}
            n = len(columns["item_id"])
            table = {name: texts_in(columns[name]) if name in columns else pa.nulls(n, pa.string())
                     for name in (*_REQUIRED, "played_ratio_pct", "track_length_seconds")}
            yield Rows(pa.table(table), np.arange(self.lines + 1, self.lines + n + 1))
            self.lines += n
