"""Writing files that appear under their names only when they are complete, with write errors as one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.errors import StorageError


@contextmanager
def replaced(path: Path, private: bool = False) -> Iterator[Path]:
    """The path of a partial file beside `path`, which is renamed to `path` when the block ends without an error.

    Otherwise, also after Ctrl-C, the partial file is removed and an earlier file stays. private: the file is for its owner alone (0600).
    Raises StorageError when the file cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with writable(path):
            if private:
                partial.touch(0o600)
            yield partial
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()


def write_parquet(table: pa.Table, path: Path, row_group_size: int | None = None, private: bool = False) -> None:
    """Write `table` to `path`, completely or not at all; `private` as in `replaced`. Raises StorageError when it cannot be written."""
    with replaced(path, private) as partial:
        pq.write_table(table, partial, compression="zstd", row_group_size=row_group_size)


@contextmanager
def writable(place: Path) -> Iterator[None]:
    """Convert an OSError while writing to `place`, a file or folder, to StorageError."""
    try:
        yield
    except OSError as cause:
        raise StorageError(f"{place} cannot be written: {cause.strerror or cause}; free space or choose another folder.") from cause
