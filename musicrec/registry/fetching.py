"""Bring the files of a run to this machine, each checked against the manifest."""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from musicrec.errors import ArtifactError
from musicrec.progress import progress
from musicrec.registry.checking import sha256
from musicrec.registry.record import MANIFEST, File, Manifest, current, key, manifest
from musicrec.storage import Storage


def fetch(storage: Storage, run_id: str | None, names: Iterable[str], into: Path) -> Path:
    """The folder that holds the files `names` of a run (None: the current one), each checked against the manifest.

    A storage that is a folder of this machine is read in place, others are copied to `into`/<run_id>. A file checked once is
    not read again while its size and time of change stay: a second call costs milliseconds.
    Raises ArtifactError for a file that the run lacks or whose bytes differ; StorageError when the storage refuses.
    """
    run = current(storage) if run_id is None else manifest(storage, run_id)
    names = list(names)
    for name in names:
        if name not in run.files:
            raise ArtifactError(f"run {run.run_id} at {storage.location} holds no {name}; it holds {', '.join(run.files)}.")
    cache = into / run.run_id
    for name in names:
        _fetch_one(storage, run, name, cache)
    own = storage.file(key(run.run_id, MANIFEST))
    return own.parent if own else cache


def _fetch_one(storage: Storage, run: Manifest, name: str, cache: Path) -> None:
    place, wanted, seal = key(run.run_id, name), run.files[name], cache / f"{name}.verified"
    local = storage.file(place) or cache / name
    if not local.exists():
        if not storage.exists(place):
            raise ArtifactError(f"{storage.location}/{place} is missing; publish again or roll back to another run.")
        with progress(title=f"fetch {name}", total=wanted.bytes, unit="B") as bar:
            storage.download(place, local, bar.update)
    if seal.exists() and seal.read_text() == _seal(local, wanted):
        return
    if local.stat().st_size != wanted.bytes or sha256(local) != wanted.sha256:
        if storage.file(place) is None:
            local.unlink()  # so that the next start fetches it again
        raise ArtifactError(f"{storage.location}/{place} is damaged: its bytes are not those published; publish again or roll back.")
    with suppress(OSError):  # a seal only saves the next start some time
        seal.parent.mkdir(parents=True, exist_ok=True)
        half = seal.with_name(f"{seal.name}.{uuid.uuid4().hex[:8]}.part")
        half.write_text(_seal(local, wanted))
        half.replace(seal)


def _seal(path: Path, wanted: File) -> str:
    facts = path.stat()
    return f"{facts.st_size} {facts.st_mtime_ns} {wanted.sha256}"
