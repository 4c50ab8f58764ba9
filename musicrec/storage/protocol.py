"""The interface of storages. Keys are relative names with forward slashes, such as `runs/20221216T031500Z/manifest.json`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self

from musicrec.errors import ArtifactError

Progress = Callable[[int], None]
"""Called with the number of bytes transferred since the last call, by several threads in turn."""


SMALL_BYTES = 1 << 20


class Storage(Protocol):
    """A storage of published files. Each method raises StorageError with location, key and what to do.

    Writes are atomic: a key has either its earlier bytes or the new ones, also when a write fails or is killed.
    """

    @property
    def location(self) -> str:
        """The location as in the settings: a folder or s3://bucket/prefix."""
        ...

    @classmethod
    def at(cls, location: str, environment: Mapping[str, str]) -> Self:
        """The storage at `location`, with keys and endpoint from `environment`. Nothing is read or written yet."""
        ...

    def preflight(self) -> None:
        """Raise where the location does not exist or a test write fails. Call it before long work."""
        ...

    def upload(self, local: Path, key: str, progress: Progress | None = None) -> None:
        """Store the file `local` under `key`, replacing an earlier one."""
        ...

    def download(self, key: str, local: Path, progress: Progress | None = None) -> None:
        """Write the bytes of `key` to the file `local`, which appears when it is complete. Raises where the key is missing."""
        ...

    def read(self, key: str) -> bytes:
        """The bytes of `key`. Raises ArtifactError for more than SMALL_BYTES, StorageError where the key is missing."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Store `content` under `key`, replacing earlier content."""
        ...

    def exists(self, key: str) -> bool:
        """Whether this key exists; a prefix of a key does not."""
        ...

    def list(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, ascending."""
        ...

    def delete(self, key: str) -> None:
        """Remove `key`; a missing key is no error."""
        ...

    def file(self, key: str) -> Path | None:
        """The file of `key` where the storage is a local folder, so that it need not be copied; else None."""
        ...


def small(content: bytes, place: str) -> bytes:
    """`content` of `place`. Raises ArtifactError when it has more than SMALL_BYTES."""
    if len(content) > SMALL_BYTES:
        raise ArtifactError(f"{place} is damaged: it has more than {SMALL_BYTES:,} bytes; publish again or roll back.")
    return content
