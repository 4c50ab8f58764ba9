"""Writing files that appear under their names only when they are complete, with write errors as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError

# Lists, plays and keys are personal: nobody but the owner and the group of a file reads them, whatever the umask.
FILE_MODE, FOLDER_MODE = 0o640, 0o750


@contextmanager
def replaced(path: Path, private: bool = False) -> Iterator[Path]:
    """The path of a partial file beside `path`, which is renamed to `path` when the block ends without an error.

    Otherwise, also after Ctrl-C, the partial file is removed and an earlier file stays. private: the file is for its owner alone (0600),
    else for the group to read as well (0640).
    Raises StorageError when the file cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with writable(path):
            partial.touch(0o600 if private else FILE_MODE)
            yield partial
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()


def make_folder(folder: Path) -> None:
    """Create `folder` and the parents that it lacks, for the owner and the group (0750)."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(FOLDER_MODE, exist_ok=True)


# Rows of a group in files of which a screen or a person looks up the rows of one user or item: reading a group takes a millisecond or two.
LOOKUP_ROWS = 1 << 14


def write_parquet(table: pa.Table, path: Path, row_group_size: int | None = None, private: bool = False) -> None:
    """Write `table` to `path`, completely or not at all; `private` as in `replaced`. Raises StorageError when it cannot be written."""
    with replaced(path, private) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=row_group_size)


def parquet_in_parts(path: Path, memory_map: bool = False) -> pq.ParquetFile:
    """A parquet file to be read in parts. Buffered ahead, as pyarrow does by default, all of it would stay in memory.

    Raises what pyarrow raises for a file that cannot be read.
    """
    return pq.ParquetFile(path, memory_map=memory_map, pre_buffer=False)


@contextmanager
def writable(place: Path) -> Iterator[None]:
    """Convert an OSError while writing to `place`, a file or folder, to StorageError."""
    try:
        yield
    except OSError as cause:
        raise StorageError(f"{place} cannot be written: {cause.strerror or cause}; free space or choose another folder.") from cause
