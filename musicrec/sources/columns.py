"""Any table of plays, CSV or parquet: the section [sources.columns] says which column means what."""

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
    """Reads every file `plays` below `folder`; a name that ends in .parquet is parquet, any other CSV with a header, also .gz.

    user, track and started_at name columns that must be there; the others may stay empty. started_at is a moment as text, a
    timestamp, or seconds, milliseconds or microseconds since 1970. genre may hold several names separated by "|". Whole numbers
    stay the ids they are, other keys are numbered. What is read is kept as parquet in `work`.
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
        """The three tables, every row of the files a play.

        Unreadable rows (too few or many fields, no user, track or moment, a share outside 0..1) are left out and told in the report.
        Raises SourceError when they are more than one in a thousand, or for a folder without logs or a file that is cut off;
        SchemaError for a column that a file lacks.
        """
        with Import(Path(self.work)) as taken:
            for path in progress(files_of(Path(self.folder), self.plays), "reading logs", unit=" files"):
                wrong: list[tuple[int, str | None]] = []
                number = 1 if path.suffix == ".parquet" else 2
                for batch in self._batches(path, wrong):
                    taken.take(path, self._block(batch, path, number), _PLAYS)
                    number += batch.num_rows
                taken.tally.add(path, len(wrong), wrong)
            return taken.tables(connection)

    def _batches(self, path: Path, wrong: list[tuple[int, str | None]]) -> Iterator[pa.RecordBatch]:
        try:
            if path.suffix == ".parquet":
                yield from pq.ParquetFile(path).iter_batches(_BATCH)
            else:
                yield from self._csv(path, wrong)
        except (pa.ArrowException, OSError) as cause:
            what = " ".join(str(cause).split())[:120]
            raise SourceError(f"{path} cannot be read to its end ({what}); repair or fetch it again.") from cause

    def _csv(self, path: Path, wrong: list[tuple[int, str | None]]) -> Iterator[pa.RecordBatch]:
        def skip(row: pc.InvalidRow) -> str:
            wrong.append((row.number or 0, row.text))
            return "skip"

        reading = pc.ReadOptions(use_threads=False, block_size=8 << 20)
        parsing = pc.ParseOptions(delimiter=self.delimiter, invalid_row_handler=skip, newlines_in_values=True)
        names = [name for name in self._meanings().values() if name]
        converting = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""],
                                       quoted_strings_can_be_null=True)
        with pa.input_stream(str(path), compression="detect") as stream:
            yield from pc.open_csv(stream, reading, parsing, converting)

    def _meanings(self) -> dict[str, str]:
        return {"user_key": self.user, "track_key": self.track, "moment": self.started_at, "share": self.played_share,
                "title": self.title, "artist": self.artist, "album": self.album, "genre": self.genre}

    def _block(self, batch: pa.RecordBatch, path: Path, number: int) -> pa.Table:
        columns = {}
        for meaning, name in self._meanings().items():
            if name and name not in batch.schema.names:
                raise SchemaError(f"{path} has no column {name!r}, which [sources.columns] names as {meaning.removesuffix('_key')}; "
                                  f"it has {', '.join(batch.schema.names)}.")
            columns[meaning] = batch.column(name).cast(pa.string()) if name else pa.nulls(batch.num_rows, pa.string())
        lines = pa.compute.binary_join_element_wise(*(columns[name].fill_null("") for name in ("user_key", "track_key", "moment")), ",")
        return pa.table({"number": pa.array(range(number, number + batch.num_rows)), "line": lines, **columns})
