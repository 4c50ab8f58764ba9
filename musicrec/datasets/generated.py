"""Writing generated tables: the exact types of the Yandex Music files, metadata that says "generated", all three files or none."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import SourceError
from musicrec.schema import RAW_INTERACTIONS, RAW_NAMES, RAW_TRACKS

MARK = b"musicrec.generated"
INDEX = "__index_level_0__"
FILES = ("tracks.parquet", "catalog_names.parquet", "interactions.parquet")
_README = """Generated data. No person listened to this, and no such artist exists.

Made by {how}
in the form of the three Yandex Music files: tracks, catalog_names, interactions.
"""


def is_generated(folder: Path) -> bool:
    """Whether the logs in `folder` are generated; False where there are no logs. Reads file footers only."""
    tracks = Path(folder) / FILES[0]
    return tracks.is_file() and MARK in (pq.read_schema(tracks).metadata or {})


def origin(folder: Path) -> str | None:
    """The command that generated the logs in `folder`; None where a file is missing, damaged or not generated."""
    try:
        marks = {(pq.ParquetFile(Path(folder) / name).schema_arrow.metadata or {}).get(MARK) for name in FILES}
    except (OSError, pa.ArrowException):
        return None
    mark = marks.pop()
    return None if marks or mark is None else mark.decode()


@contextmanager
def writers(folder: Path, how: str) -> Iterator[tuple[pq.ParquetWriter, pq.ParquetWriter, pq.ParquetWriter]]:
    """Writers for tracks, catalog_names and interactions. `how`: the command that generates them, stored in the metadata of the files.

    The files appear under their names when the block ends without an error; otherwise earlier files stay and nothing new is left.
    Raises SourceError when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            partials = [folder / f"{name}.part" for name in FILES]
            for partial in partials:
                stack.callback(partial.unlink, missing_ok=True)
            opened = [stack.enter_context(pq.ParquetWriter(partial, schema, compression="zstd"))
                      for partial, schema in zip(partials, _schemas(how))]
            yield opened[0], opened[1], opened[2]
            for writer, partial, name in zip(opened, partials, FILES):
                writer.close()
                partial.replace(folder / name)
            (folder / "README.txt").write_text(_README.format(how=how), encoding="utf-8")
    except OSError as cause:
        raise SourceError(f"{folder} cannot be written: {cause.strerror or cause}; free space or choose another folder.") from cause


def _schemas(how: str) -> tuple[pa.Schema, pa.Schema, pa.Schema]:
    mark = {MARK: how.encode()}
    plays = pa.schema(list(RAW_INTERACTIONS.arrow)[:4])
    # The Yandex Music file was written by pandas with an index that restarts for every user; pandas must find it here, too.
    indexed = pa.Schema.from_pandas(plays.empty_table().to_pandas().set_index(pd.Index([], dtype="int64")), preserve_index=True)
    plays = plays.append(pa.field(INDEX, pa.int64())).with_metadata({**mark, **indexed.metadata})
    return RAW_TRACKS.required.with_metadata(mark), RAW_NAMES.arrow.with_metadata(mark), plays
