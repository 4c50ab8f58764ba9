"""The space that the cache takes: what services use stays, what nobody has used for a week goes, and of the rest the oldest first.

Each service notes the manifest of the run that it serves in `<cache>/served`, so that its arrays are known to be in use and a restart
can go on with that run while the storage is down.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from musicrec import registry
from musicrec.errors import ArtifactError, MusicRecError
from musicrec.registry import Manifest
from musicrec.storage import storage

KEPT_S = 7 * 86_400.0
_SERVED = "served"


@dataclass(frozen=True)
class ServedRun:
    """The note of one service: the manifest of the run that it loaded last from one location."""

    cache: Path
    name: str

    @classmethod
    def of(cls, cache: Path, location: str, parts: tuple[str, ...]) -> "ServedRun":
        """The note of the service that maps `parts` of runs at `location`."""
        return cls(cache, f"{sha256(' '.join((location, *parts)).encode()).hexdigest()[:16]}.json")

    def write(self, run: Manifest) -> None:
        """Note `run`. A note that cannot be written is left out: only a restart while the storage is down would need it."""
        with suppress(MusicRecError):
            storage(str(self.cache / _SERVED), {}).write(self.name, registry.manifest_text(run))

    def touch(self) -> None:
        """Say that the service still serves that run."""
        with suppress(OSError):
            os.utime(self.cache / _SERVED / self.name)

    def read(self) -> Manifest:
        """The manifest. Raises ArtifactError when there is none or it is damaged."""
        place = storage(str(self.cache / _SERVED), {})
        if not place.exists(self.name):
            raise ArtifactError(f"{self.cache} holds no run that was served before.")
        return registry.stored_manifest(place, self.name)


def served_runs(cache: Path) -> list[Manifest]:
    """The runs that services have served within KEPT_S."""
    found = []
    for path in (cache / _SERVED).glob("*.json"):
        with suppress(MusicRecError, OSError):
            if time.time() - path.stat().st_mtime <= KEPT_S:
                found.append(ServedRun(cache, path.name).read())
    return found


def size(folder: Path) -> int:
    """The bytes of all files below `folder`; what disappears meanwhile does not count."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def unused(cache: Path, kept: set[Path], limit: int | None, unused_s: float = KEPT_S) -> list[Path]:
    """The folders of arrays and fetched artifacts that have to go: those nobody has taken up for `unused_s`, and the oldest of the others
    until the cache has at most `limit` bytes. Those in `kept` stay.
    """
    found = sorted(_aged(cache, kept), key=lambda entry: entry[0])
    left, gone = size(cache) if limit is not None else 0, []
    for used_at, folder in found:
        if time.time() - used_at > unused_s or (limit is not None and left > limit):
            gone.append(folder)
            left -= size(folder) if limit is not None else 0
    return gone


def remove(folders: list[Path]) -> None:
    """Remove them. A service that still maps such arrays keeps them until it lets go."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _aged(cache: Path, kept: set[Path]) -> Iterator[tuple[float, Path]]:
    for folder in (*cache.glob("*-*-*"), *(cache / "runs").glob("*")):
        with suppress(OSError):
            if folder not in kept and folder.is_dir():
                yield folder.stat().st_mtime, folder
