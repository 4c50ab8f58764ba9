"""Reader of any table of plays, CSV or parquet: the section [sources.columns] names its columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from musicrec.errors import SchemaError, SourceError
from musicrec.progress import progress
from musicrec.sources.importing import Import
from musicrec.sources.lines import files_of
from musicrec.sources.raw import RawTables

_PLAYS = """select number, line, user_key, track_key, moment_of(moment) as moment, share_of(share) as share, title, artist, album, genre,
    present(user_key) and present(track_key) and moment_of(moment) is not null and good_share(share) as good from block"""
_BATCH = 1 << 17


@dataclass(frozen=True)
class Columns:
    """Reads all files named `plays` below `folder`: parquet where the name ends in .parquet, else CSV with a header, also as .gz.

    user, track and started_at name required columns; the others may stay empty. started_at: a timestamp, text, or seconds,
    milliseconds or microseconds since 1970. genre: one name, or several separated by "|". Users and tracks that are all whole numbers
    keep these as ids, others are numbered. The raw tables are stored as parquet files in `work`.
    """

    folder: Path
    plays: str = "*.csv"
    delimiter: str = ","
    user: str = "user"
    track: str = "track"
    started_at: str = "timestamp"
    played_share: str = ""
    title: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""
    work: Path = Path("work/imported")

    def read(self, connection: Any) -> RawTables:
        """The raw tables; every row of the files is a play.

        Unreadable rows (too few or too many fields, no user, track or timestamp, a share outside 0..1) are left out and counted in the
        report. Raises SourceError when more than 0.1 % of the rows are unreadable, for a folder without logs and for a truncated file,
        and SchemaError for a missing column.
        """
        with Import(Path(self.work)) as logs:
            for path in progress(files_of(Path(self.folder), self.plays), "reading logs", unit=" files"):
                invalid: list[tuple[int, str | None]] = []
                number = 1 if path.suffix == ".parquet" else 2
                for batch in self._batches(path, invalid):
                    logs.add(path, self._block(batch, path, number), _PLAYS)
                    number += batch.num_rows
                logs.counts.add(path, len(invalid), invalid)
            return logs.tables(connection)

    def _batches(self, path: Path, invalid: list[tuple[int, str | None]]) -> Iterator[pa.RecordBatch]:
        try:
            if path.suffix == ".parquet":
                yield from pq.ParquetFile(path).iter_batches(_BATCH)
            else:
                yield from self._csv(path, invalid)
        except (pa.ArrowException, OSError) as cause:
            what = " ".join(str(cause).split())[:120]
            raise SourceError(f"{path} cannot be read to its end ({what}); repair it or download it again.") from cause

    def _csv(self, path: Path, invalid: list[tuple[int, str | None]]) -> Iterator[pa.RecordBatch]:
        def skip(row: pc.InvalidRow) -> str:
            invalid.append((row.number or 0, row.text))
            return "skip"

        reading = pc.ReadOptions(use_threads=False, block_size=8 << 20)
        parsing = pc.ParseOptions(delimiter=self.delimiter, invalid_row_handler=skip, newlines_in_values=True)
        names = [name for name in self._names().values() if name]
        converting = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""],
                                       quoted_strings_can_be_null=True)
        with pa.input_stream(str(path), compression="detect") as stream:
            yield from pc.open_csv(stream, reading, parsing, converting)

    def _names(self) -> dict[str, str]:
        return {"user_key": self.user, "track_key": self.track, "moment": self.started_at, "share": self.played_share,
                "title": self.title, "artist": self.artist, "album": self.album, "genre": self.genre}

    def _block(self, batch: pa.RecordBatch, path: Path, number: int) -> pa.Table:
        columns = {}
        for column, name in self._names().items():
            if name and name not in batch.schema.names:
                raise SchemaError(f"{path} has no column {name!r}, which [sources.columns] names as {column.removesuffix('_key')}; "
                                  f"it has {', '.join(batch.schema.names)}.")
            columns[column] = batch.column(name).cast(pa.string()) if name else pa.nulls(batch.num_rows, pa.string())
        lines = pa.compute.binary_join_element_wise(*(columns[name].fill_null("") for name in ("user_key", "track_key", "moment")), ",")
        return pa.table({"number": pa.array(range(number, number + batch.num_rows)), "line": lines, **columns})
