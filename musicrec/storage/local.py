"""Storage in a local folder."""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from musicrec.errors import StorageError
from musicrec.files import FILE_MODE, make_folder
from musicrec.storage.protocol import SMALL_BYTES, Progress, small

_CHUNK = 4 << 20
_PARTIAL = ".part"


@dataclass(frozen=True)
class LocalStorage:
    """Keys are files below `root`, which is created by the first write."""

    root: Path

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.root)

    @classmethod
    def at(cls, location: str, environment: Mapping[str, str]) -> Self:
        """The storage in folder `location`; `~` is the home folder."""
        return cls(Path(location.removeprefix("folder://")).expanduser())

    def preflight(self) -> None:
        """Write a test file and remove it."""
        probe = f"preflight-{uuid.uuid4().hex}.txt"
        self.write(probe, b"test")
        self.delete(probe)

    def upload(self, local: Path, key: str, progress: Progress | None = None) -> None:
        """Copy `local`; the key appears after the bytes are synced to the disk."""
        with _opened(local) as source, self._replaced(key) as target:
            _copy(source, target, progress)

    def download(self, key: str, local: Path, progress: Progress | None = None) -> None:
        """Copy the file of `key` to `local`."""
        folder = LocalStorage(local.parent)
        with _opened(self._path(key)) as source, folder._replaced(local.name) as target:
            _copy(source, target, progress)

    def read(self, key: str) -> bytes:
        """The bytes of `key`."""
        with _opened(self._path(key)) as source:
            return small(source.read(SMALL_BYTES + 1), str(self._path(key)))

    def write(self, key: str, content: bytes) -> None:
        """Write, sync, then rename over an earlier file."""
        with self._replaced(key) as target:
            target.write(content)

    def exists(self, key: str) -> bool:
        """Whether the file exists."""
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, ascending, without partial files."""
        start = self.root / prefix.rpartition("/")[0]
        files = (path for path in start.rglob("*") if path.is_file() and path.suffix != _PARTIAL)
        keys = (path.relative_to(self.root).as_posix() for path in files)
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove the file, and its folder where that is then empty."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()
        except OSError as cause:
            raise _error(path, "removed", cause) from None

    def file(self, key: str) -> Path:
        """The file."""
        return self._path(key)

    def _path(self, key: str) -> Path:
        if not key or key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise StorageError(f"key {key!r} leads out of {self.root}; keys are relative names without '..'.")
        return self.root / key

    @contextmanager
    def _replaced(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
        try:
            make_folder(path.parent)
            with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, FILE_MODE)) as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            partial.replace(path)
        except OSError as cause:
            raise _error(path, "written", cause) from None
        finally:
            with suppress(OSError):
                partial.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        source = path.open("rb")
    except FileNotFoundError:
        raise StorageError(f"{path} does not exist.") from None
    except OSError as cause:
        raise _error(path, "read", cause) from None
    with source:
        yield source


def _copy(source: BinaryIO, target: BinaryIO, progress: Progress | None) -> None:
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        if progress:
            progress(len(chunk))


def _error(path: Path, done: str, cause: OSError) -> StorageError:
    return StorageError(f"{path} cannot be {done}: {cause.strerror or cause}; free space, fix its permissions or choose another folder.")
