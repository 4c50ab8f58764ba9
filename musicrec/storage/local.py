"""Published files in a folder of this machine."""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from musicrec.errors import StorageError
from musicrec.storage.protocol import SMALL_BYTES, Progress, small

_CHUNK = 4 << 20
_HALF = ".part"


@dataclass(frozen=True)
class LocalStorage:
    """Keys are files below `root`, which is made when something is first written."""

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
        """Return when a test file can be written and removed again."""
        probe = f"preflight-{uuid.uuid4().hex}.txt"
        self.write(probe, b"test")
        self.delete(probe)

    def upload(self, local: Path, key: str, progress: Progress | None = None) -> None:
        """Copy `local`; bytes reach the disk before the key appears."""
        with _opened(local) as source, self._replaced(key) as target:
            _copy(source, target, progress)

    def download(self, key: str, local: Path, progress: Progress | None = None) -> None:
        """Copy what `key` holds to `local`."""
        whole = LocalStorage(local.parent)
        with _opened(self._path(key)) as source, whole._replaced(local.name) as target:
            _copy(source, target, progress)

    def read(self, key: str) -> bytes:
        """All bytes under `key`."""
        with _opened(self._path(key)) as source:
            return small(source.read(SMALL_BYTES + 1), str(self._path(key)))

    def write(self, key: str, content: bytes) -> None:
        """Write, sync, then rename over what was there."""
        with self._replaced(key) as target:
            target.write(content)

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return self._path(key).is_file()

    def list(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, ascending; unfinished files are not among them."""
        start = self.root / prefix.rpartition("/")[0]
        files = (path for path in start.rglob("*") if path.is_file() and path.suffix != _HALF)
        keys = (path.relative_to(self.root).as_posix() for path in files)
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove the file, and its folder when that was the last one in it."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self.root or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()
        except OSError as cause:
            raise _sentence(path, "removed", cause) from None

    def file(self, key: str) -> Path | None:
        """The file itself."""
        return self._path(key)

    def _path(self, key: str) -> Path:
        if not key or key.startswith("/") or ".." in PurePosixPath(key).parts:
            raise StorageError(f"key {key!r} leads out of {self.root}; keys are relative names without '..'.")
        return self.root / key

    @contextmanager
    def _replaced(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        half = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{_HALF}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with half.open("wb") as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            half.replace(path)
        except OSError as cause:
            raise _sentence(path, "written", cause) from None
        finally:
            with suppress(OSError):
                half.unlink()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        source = path.open("rb")
    except FileNotFoundError:
        raise StorageError(f"{path} does not exist.") from None
    except OSError as cause:
        raise _sentence(path, "read", cause) from None
    with source:
        yield source


def _copy(source: BinaryIO, target: BinaryIO, progress: Progress | None) -> None:
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        if progress:
            progress(len(chunk))


def _sentence(path: Path, done: str, cause: OSError) -> StorageError:
    return StorageError(f"{path} cannot be {done}: {cause.strerror or cause}; free space, fix its permissions or choose another folder.")
