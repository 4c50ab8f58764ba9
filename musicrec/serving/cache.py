"""The cache of sorted arrays: made once per artifact, shared by all workers and services of a machine.

A part lies in `<cache>/<part>-<format>-<digest of its artifacts>`, so that runs with the same file share it and a changed file never
meets old arrays. Its files are compared with their checksums when a service loads them, and made again when they differ. That is done in
a child process: the memory goes back afterwards, and a service that answers meanwhile is not held up.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from musicrec import registry
from musicrec.errors import ArtifactError, MusicRecError, StorageError
from musicrec.files import make_folder
from musicrec.registry import Manifest
from musicrec.serving import cache_space, checksums, shards
from musicrec.serving.keys import KEY_PARTS
from musicrec.storage import storage

log = logging.getLogger("musicrec.serving")
FORMAT = 2
# The parts of a run that services map, and the artifacts that each is made from; layout.WRITERS holds the function of each.
PARTS: dict[str, tuple[str, ...]] = {
    "recommendations": ("recommendations.parquet",),
    "familiar": ("familiar.parquet",),
    "seen": ("events.parquet",),
    "popular": ("top_popular.parquet", "items.parquet"),
    "items": ("items.parquet",),
    "filters": ("top_popular.parquet", "items.parquet"),
    "similar": ("similar.parquet",),
    "user_keys": ("user_keys.parquet",),
    "item_keys": ("item_keys.parquet",),
    "factors": ("als_model.npz",),
}
# A run without keys has ids for keys; one without familiar.parquet has no lists of familiar items, one without factors folds nobody in.
OPTIONAL = ("familiar", *KEY_PARTS, "factors")


def folders(run: Manifest, parts: tuple[str, ...], cache: Path) -> dict[str, Path]:
    """Where the parts of a run lie in the cache, whether made yet or not. Raises ArtifactError when the run lacks an artifact."""
    return {part: cache / f"{part}-{FORMAT}-{_digest(run, part)}" for part in _present(run, parts)}


def ready(location: str, environment: Mapping[str, str], run: Manifest, parts: tuple[str, ...], cache: Path,
          limit: int | None = None) -> dict[str, Path]:
    """The folders of the parts, made if they are not there yet or damaged. `limit`: the bytes that the cache may have afterwards.

    Artifacts in a folder of this machine are checked on every call (milliseconds where nothing changed).
    Raises ArtifactError or StorageError with the one sentence that the child said.
    """
    found = folders(run, parts, cache)
    place = storage(location, environment)
    _remove_damaged(run, found, cache)
    if all(folder.is_dir() for folder in found.values()):
        for folder in found.values():
            os.utime(folder)
        if place.file(registry.CURRENT) is not None:
            registry.fetch(place, run.run_id, _artifacts(run, _present(run, parts)), cache / "runs")
        return found
    _make_in_child(location, environment, run.run_id, parts, cache, limit)
    return found


def warm(run: Manifest, parts: tuple[str, ...], cache: Path) -> dict[str, Path]:
    """The folders of the parts as the cache holds them. Raises ArtifactError when one is missing or damaged."""
    found = folders(run, parts, cache)
    for part, folder in found.items():
        if problem := checksums.problem(folder, _checksums(run, part)):
            raise ArtifactError(f"cache folder {folder} cannot be used ({problem}).")
    return found


def clean(cache: Path, limit: int | None, everything: bool = False, dry_run: bool = False) -> list[Path]:
    """Remove the arrays and artifacts that no service has used within a week, and older ones above `limit`; returns their folders.

    `everything` removes also what was used lately, except what services serve now. With `dry_run` nothing is removed.
    """
    with _locked(cache):
        gone = cache_space.unused(cache, _used(cache), limit, -1 if everything else cache_space.KEPT_S)
        if not dry_run:
            cache_space.remove(gone)
    return gone


def make(location: str, environment: Mapping[str, str], run_id: str, parts: tuple[str, ...], cache: Path, limit: int | None = None) -> None:
    """Fetch what is missing and write the arrays of the parts that are not there yet, one process of the machine at a time.

    Before and after, what nobody uses is removed until the cache has at most `limit` bytes.
    """
    place = storage(location, environment)
    run = registry.manifest(place, run_id)
    with _locked(cache), _room(cache, run, parts):
        for half in cache.glob("*.part"):
            shutil.rmtree(half)
        wanted, kept = folders(run, parts, cache), _of_run(run, cache) | _used(cache)
        missing = tuple(part for part, folder in wanted.items() if not folder.is_dir())
        cache_space.remove(cache_space.unused(cache, kept, None if limit is None else max(0, limit - _needed(run, missing))))
        source = registry.fetch(place, run_id, _artifacts(run, _present(run, parts)), cache / "runs")
        for part, folder in wanted.items():
            if not folder.is_dir():
                _write(part, source, folder, _checksums(run, part))
        cache_space.remove(cache_space.unused(cache, kept, limit))


def _write(part: str, source: Path, folder: Path, artifacts: Mapping[str, str]) -> None:
    from musicrec.serving import layout

    half = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}.part")
    half.mkdir(parents=True)
    try:
        layout.write(part, source, half)
        checksums.write(half, artifacts)
        half.replace(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _remove_damaged(run: Manifest, found: Mapping[str, Path], cache: Path) -> None:
    def damaged() -> dict[Path, str]:
        problems = {folder: checksums.problem(folder, _checksums(run, part)) for part, folder in found.items() if folder.is_dir()}
        return {folder: problem for folder, problem in problems.items() if problem}

    if damaged():
        # Asked again under the lock: another process may have made them anew meanwhile.
        with _locked(cache):
            for folder, problem in damaged().items():
                log.warning("cache folder %s is damaged (%s) and made again", folder, problem)
                try:
                    shutil.rmtree(folder)
                except OSError as cause:
                    raise ArtifactError(f"cache folder {folder} is damaged ({problem}) and cannot be removed: {cause.strerror}; "
                                        "remove it and start again.") from None


def _used(cache: Path) -> set[Path]:
    """The folders of the runs that services serve."""
    return {folder for run in cache_space.served_runs(cache) for folder in _of_run(run, cache)}


def _of_run(run: Manifest, cache: Path) -> set[Path]:
    parts = tuple(part for part, names in PARTS.items() if all(name in run.files for name in names))
    sharded = (cache.glob(f"{part}@*-{FORMAT}-{_digest(run, f'{part}@')}") for part in shards.SHARDED if part in parts)
    return {*folders(run, parts, cache).values(), *chain.from_iterable(sharded), cache / "runs" / run.run_id}


def _needed(run: Manifest, parts: tuple[str, ...]) -> int:
    """About the bytes that the artifacts and the arrays of the parts take."""
    return 2 * sum(run.files[name].bytes for name in _artifacts(run, parts) if name in run.files)


def _present(run: Manifest, parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part in parts if shards.plain(part) not in OPTIONAL or all(name in run.files for name in _made_from(run, part)))


def _made_from(run: Manifest, part: str) -> tuple[str, ...]:
    artifacts = PARTS[name := shards.plain(part)]
    return artifacts if part == name or shards.USER_KEYS not in run.files else (*artifacts, shards.USER_KEYS)


def _artifacts(run: Manifest, parts: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in _made_from(run, part)))


def _checksums(run: Manifest, part: str) -> dict[str, str]:
    try:
        return {name: run.files[name].sha256 for name in _made_from(run, part)}
    except KeyError as name:
        raise ArtifactError(f"run {run.run_id} holds no {name.args[0]}, which {part} are made from; publish again or roll back.") from None


def _digest(run: Manifest, part: str) -> str:
    return hashlib.sha256(" ".join(_checksums(run, part).values()).encode()).hexdigest()[:16]


@contextmanager
def _room(cache: Path, run: Manifest, parts: tuple[str, ...]) -> Iterator[None]:
    """Say how much room the parts of a run need when the cache refuses to take them."""
    try:
        yield
    except (OSError, StorageError) as cause:
        reason = cause.strerror or cause if isinstance(cause, OSError) else str(cause).rstrip(".")
        raise ArtifactError(f"cache folder {cache} does not take run {run.run_id}: {reason}; about {_needed(run, parts):,} bytes are "
                            "needed there; free space or set another [artifacts] cache_folder.") from None


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    try:
        make_folder(cache)
        lock = (cache / ".lock").open("w")
    except OSError as cause:
        raise ArtifactError(f"cache folder {cache} cannot be written: {cause.strerror}; set another [artifacts] cache_folder.") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_in_child(location: str, environment: Mapping[str, str], run_id: str, parts: tuple[str, ...], cache: Path,
                   limit: int | None) -> None:
    order = json.dumps([location, dict(environment), run_id, parts, str(cache), limit])
    package = str(Path(__file__).resolve().parents[2])
    # Secrets go through the pipe, never through the command line, which every user of the machine can read.
    child = subprocess.run([sys.executable, "-m", "musicrec.serving.cache"], input=order, stdout=subprocess.PIPE, text=True, check=False,
                           env={**os.environ, "PYTHONPATH": package})
    if child.returncode:
        said = child.stdout.strip() or (f"the process that writes run {run_id} to the cache folder {cache} ended with code "
                                        f"{child.returncode}, most often for want of memory; it is tried again.")
        raise ArtifactError(said)


def _child() -> None:
    location, environment, run_id, parts, cache, limit = json.load(sys.stdin)
    try:
        make(location, environment, run_id, tuple(parts), Path(cache), limit)
    except (MusicRecError, OSError) as cause:
        print(" ".join(str(cause).split()))
        sys.exit(1)


if __name__ == "__main__":
    _child()
