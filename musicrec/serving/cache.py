"""The cache of sorted arrays: made once per artifact, shared by all workers and services of a machine.

A part lies in `<cache>/<part>-<format>-<digest of its artifacts>`, so that runs with the same file share it and a changed file never
meets old arrays. It is made in a child process: the memory goes back afterwards, and a service that answers meanwhile is not held up.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from musicrec import registry
from musicrec.errors import ArtifactError, MusicRecError, StorageError
from musicrec.registry import Manifest
from musicrec.storage import storage

FORMAT = 1
# The parts of a run that services map, and the artifacts that each is made from; layout.WRITERS holds the function of each.
PARTS: dict[str, tuple[str, ...]] = {
    "recommendations": ("recommendations.parquet",),
    "seen": ("events.parquet",),
    "popular": ("top_popular.parquet", "items.parquet"),
    "items": ("items.parquet",),
    "similar": ("similar.parquet",),
}
KEPT_S = 7 * 86_400.0


def folders(run: Manifest, parts: tuple[str, ...], cache: Path) -> dict[str, Path]:
    """Where the parts of a run lie in the cache, whether made yet or not. Raises ArtifactError when the run lacks an artifact."""
    return {part: cache / f"{part}-{FORMAT}-{_digest(run, part)}" for part in parts}


def ready(location: str, environment: Mapping[str, str], run: Manifest, parts: tuple[str, ...], cache: Path) -> dict[str, Path]:
    """The folders of the parts, made if they are not there yet.

    Artifacts in a folder of this machine are checked on every call (milliseconds where nothing changed).
    Raises ArtifactError or StorageError with the one sentence that the child said.
    """
    found = folders(run, parts, cache)
    place = storage(location, environment)
    if all(folder.is_dir() for folder in found.values()):
        for folder in found.values():
            os.utime(folder)
        if place.file(registry.CURRENT) is not None:
            registry.fetch(place, run.run_id, _artifacts(parts), cache / "runs")
        return found
    _make_in_child(location, environment, run.run_id, parts, cache)
    return found


def make(location: str, environment: Mapping[str, str], run_id: str, parts: tuple[str, ...], cache: Path) -> None:
    """Fetch what is missing and write the arrays of the parts that are not there yet, one process of the machine at a time."""
    place = storage(location, environment)
    run = registry.manifest(place, run_id)
    with _locked(cache), _room(cache, run, parts):
        for half in cache.glob("*.part"):
            shutil.rmtree(half)
        source = registry.fetch(place, run_id, _artifacts(parts), cache / "runs")
        wanted = folders(run, parts, cache)
        for part, folder in wanted.items():
            if not folder.is_dir():
                _write(part, source, folder)
        _forget_old({*wanted.values(), cache / "runs" / run_id}, cache)


def _write(part: str, source: Path, folder: Path) -> None:
    from musicrec.serving import layout

    half = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}.part")
    half.mkdir(parents=True)
    try:
        layout.write(part, source, half)
        half.replace(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _forget_old(kept: set[Path], cache: Path) -> None:
    """Remove what nobody has taken up for KEPT_S. A service that still maps such arrays keeps them until it lets go."""
    for folder in (*cache.glob("*-*-*"), *(cache / "runs").glob("*")):
        if folder.is_dir() and folder not in kept and time.time() - folder.stat().st_mtime > KEPT_S:
            shutil.rmtree(folder)


def _artifacts(parts: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in PARTS[part]))


def _digest(run: Manifest, part: str) -> str:
    try:
        checksums = [run.files[name].sha256 for name in PARTS[part]]
    except KeyError as name:
        raise ArtifactError(f"run {run.run_id} holds no {name.args[0]}, which {part} are made from; publish again or roll back.") from None
    return hashlib.sha256(" ".join(checksums).encode()).hexdigest()[:16]


@contextmanager
def _room(cache: Path, run: Manifest, parts: tuple[str, ...]) -> Iterator[None]:
    """Say how much room the parts of a run need when the cache refuses to take them."""
    try:
        yield
    except (OSError, StorageError) as cause:
        needed = 2 * sum(run.files[name].bytes for name in _artifacts(parts) if name in run.files)
        reason = cause.strerror or cause if isinstance(cause, OSError) else str(cause).rstrip(".")
        raise ArtifactError(f"cache folder {cache} does not take run {run.run_id}: {reason}; about {needed:,} bytes are needed there; "
                            "free space or set another [artifacts] cache_folder.") from None


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("w")
    except OSError as cause:
        raise ArtifactError(f"cache folder {cache} cannot be written: {cause.strerror}; set another [artifacts] cache_folder.") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_in_child(location: str, environment: Mapping[str, str], run_id: str, parts: tuple[str, ...], cache: Path) -> None:
    order = json.dumps([location, dict(environment), run_id, parts, str(cache)])
    package = str(Path(__file__).resolve().parents[2])
    # Secrets go through the pipe, never through the command line, which every user of the machine can read.
    child = subprocess.run([sys.executable, "-m", "musicrec.serving.cache"], input=order, stdout=subprocess.PIPE, text=True, check=False,
                           env={**os.environ, "PYTHONPATH": package})
    if child.returncode:
        said = child.stdout.strip() or (f"the process that writes run {run_id} to the cache folder {cache} ended with code "
                                        f"{child.returncode}, most often for want of memory; it is tried again.")
        raise ArtifactError(said)


def _child() -> None:
    location, environment, run_id, parts, cache = json.load(sys.stdin)
    try:
        make(location, environment, run_id, tuple(parts), Path(cache))
    except (MusicRecError, OSError) as cause:
        print(" ".join(str(cause).split()))
        sys.exit(1)


if __name__ == "__main__":
    _child()
