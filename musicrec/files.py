"""Files that appear under their names only when they are whole, and what a disk says when it refuses, as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """The place of an unfinished file beside `path`, which takes that name when the block ends well.

    When it fails, also by Ctrl-C, the unfinished file is removed and an earlier one stays. Raises StorageError when the disk is
    full or refuses.
    """
    half = path.with_name(path.name + ".part")
    try:
        with writable(path):
            yield half
            half.replace(path)
    finally:
        with suppress(OSError):
            half.unlink()


def write_parquet(table: pa.Table, path: Path, row_group_size: int | None = None) -> None:
    """Write `table` as the file `path`, whole or not at all. Raises StorageError when the disk is full or refuses."""
    with replaced(path) as half:
        pq.write_table(table, half, compression="zstd", row_group_size=row_group_size)


@contextmanager
def writable(place: Path) -> Iterator[None]:
    """Turn what the system says about writing to `place`, a file or a folder, into StorageError."""
    try:
        yield
    except OSError as cause:
        raise StorageError(f"{place} cannot be written: {cause.strerror or cause}; free space or choose another folder.") from cause
