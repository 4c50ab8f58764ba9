"""What jobs on the executors of Spark have in common: files that machines leave for each other, and failures in one sentence."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from musicrec import engine
from musicrec.errors import EngineError
from musicrec.storage import Storage
from musicrec.storage.copying import copied


def run_tasks(session: Any, tasks: int, done: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]) -> None:
    """Let `done` have the numbers of all tasks (column `id`), each on an executor."""
    session.range(0, tasks, 1, tasks).mapInArrow(done, "id long").collect()


@contextmanager
def near(place: Storage, key: str) -> Iterator[Path]:
    """The file of `key` in a folder, or a copy of it that lasts as long as the block."""
    with TemporaryDirectory() as folder:
        path = place.file(key)
        if path is None:
            path = Path(folder, Path(key).name)
            place.download(key, path)
        yield path


def fetched(place: Storage, prefix: str, folder: Path) -> Path:
    """`folder` with the files below `prefix`, fetched by the first worker of this machine; those of an earlier job are removed."""
    with (folder.parent / "musicrec.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for earlier in folder.parent.glob("musicrec-*"):
                shutil.rmtree(earlier, ignore_errors=True)
            partial = folder.with_name(f"{folder.name}.part")
            copied(place, prefix, partial)
            partial.rename(folder)
    return folder


@contextmanager
def emptied(place: Storage) -> Iterator[None]:
    """Nothing is at `place` at the beginning, whatever a lost driver has left there, and at the end."""
    _empty(place)
    try:
        yield
    finally:
        _empty(place)


def _empty(place: Storage) -> None:
    if own := place.file("files"):
        shutil.rmtree(own.parent, ignore_errors=True)
        return
    for key in place.list():
        place.delete(key)


@contextmanager
def one_sentence(what: str, needed: str) -> Iterator[None]:
    """Raises EngineError, that Spark could not do `what`, for an error of Spark inside; `needed`: what every executor must reach."""
    try:
        yield
    except Exception as cause:
        if said := engine.failure(cause):
            raise EngineError(f"Spark could not {what}: {said}; check that every executor has this version of musicrec and "
                              f"reaches {needed}.") from cause
        raise
