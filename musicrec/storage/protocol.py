"""What every storage can do. Keys are relative names with forward slashes, such as `runs/20221216T031500Z/manifest.json`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self

from musicrec.errors import ArtifactError

Progress = Callable[[int], None]
"""Called with the number of bytes that have moved since the last call; may come from several threads, one at a time."""


SMALL_BYTES = 1 << 20


class Storage(Protocol):
    """A place for published files. Each method raises StorageError: one sentence with place, key and what to do.

    A key holds either its earlier bytes or its later ones, never half of either, also when a write fails or is killed.
    """

    @property
    def location(self) -> str:
        """The place as settings name it: a folder or s3://bucket/prefix."""
        ...

    @classmethod
    def at(cls, location: str, environment: Mapping[str, str]) -> Self:
        """The storage at `location`, with keys and endpoint out of `environment` where it needs them. Touches nothing yet."""
        ...

    def preflight(self) -> None:
        """Return when the place exists and a test write succeeds; raise otherwise. Meant to come before long work."""
        ...

    def upload(self, local: Path, key: str, progress: Progress | None = None) -> None:
        """Store the file `local` under `key`, replacing what was there."""
        ...

    def download(self, key: str, local: Path, progress: Progress | None = None) -> None:
        """Write what `key` holds to the file `local`, which appears only when it is whole. A missing key raises."""
        ...

    def read(self, key: str) -> bytes:
        """All bytes under `key`, of which there may be SMALL_BYTES: more raises ArtifactError. A missing key raises."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Store `content` under `key`, replacing what was there."""
        ...

    def exists(self, key: str) -> bool:
        """Whether something is stored under exactly this key."""
        ...

    def list(self, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, ascending; empty when there are none."""
        ...

    def delete(self, key: str) -> None:
        """Remove `key`; a key that is not there is no error."""
        ...

    def file(self, key: str) -> Path | None:
        """The file that holds `key` when the storage is a folder of this machine, else None: saves readers a copy."""
        ...


def small(content: bytes, place: str) -> bytes:
    """`content`, read up to one byte beyond SMALL_BYTES from `place`. Raises ArtifactError when that byte is there."""
    if len(content) > SMALL_BYTES:
        raise ArtifactError(f"{place} is damaged: it has more than {SMALL_BYTES:,} bytes; publish again or roll back.")
    return content
