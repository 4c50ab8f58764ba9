"""Files on their way between a storage and a folder of this machine, for what reads or writes files: logs, a saved recommender, lists."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from musicrec.errors import StorageError
from musicrec.files import make_folder, writable
from musicrec.progress import progress
from musicrec.storage import Storage, storage
from musicrec.storage.local import LocalStorage


def location_of(path: Path) -> str:
    """The folder, or the s3://bucket/prefix that lost a slash when it became a Path.

    >>> location_of(Path("s3a://bucket/logs")), location_of(Path("logs"))
    ('s3a://bucket/logs', 'logs')
    """
    return re.sub("^(s3a?):/", r"\1://", str(path))


def copied(place: Storage, prefix: str, into: Path) -> int:
    """Copy the files of all keys that begin with `prefix` into the folder `into`, named by the rest of their keys; returns how many."""
    keys = [key for key in place.list(prefix) if not key.endswith("/")]
    for key in progress(keys, title=f"fetch {place.location}", unit="file"):
        target = LocalStorage(into).file(key.removeprefix(prefix))
        make_folder(target.parent)
        place.download(key, target)
    return len(keys)


def local_copy(path: Path, environment: Mapping[str, str], into: Path) -> Path:
    """`path` where it is on this machine; else the folder `into`, emptied, with a copy of the objects below that location. Raises
    StorageError when there are none."""
    location = location_of(path)
    if "://" not in location:
        return path
    with writable(into):
        shutil.rmtree(into, ignore_errors=True)
        make_folder(into)
    if not copied(storage(location, environment), "", into):
        raise StorageError(f"{location} holds no objects; correct bucket and prefix.")
    return into


@contextmanager
def written(path: Path, environment: Mapping[str, str], near: Path) -> Iterator[Path]:
    """The path at which to write the file `path`; one of a bucket is written below the folder `near` and uploaded when the block ends
    without an error."""
    folder, _, name = location_of(path).rpartition("/")
    if "://" not in folder:
        yield path
        return
    with writable(near):
        make_folder(near)
    with TemporaryDirectory(dir=near) as local:
        yield Path(local, name)
        storage(folder, environment).upload(Path(local, name), name)
