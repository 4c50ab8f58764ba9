"""Copying the files of a run to this machine, each checked against the manifest."""

import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from musicrec.errors import ArtifactError
from musicrec.files import make_folder
from musicrec.keys import KEY_FILES, RunKeys
from musicrec.progress import progress
from musicrec.registry.checking import sha256
from musicrec.registry.record import CURRENT, MANIFEST, File, Manifest, current, key, manifest
from musicrec.storage import Storage


def fetch(storage: Storage, run_id: str | None, names: Iterable[str], into: Path) -> Path:
    """The folder with the files `names` of a run (None: the current one), each checked against the manifest.

    Files of a local storage are read in place, others are copied to `into`/<run_id>. A file that was checked is not read again while
    its size and modification time are the same, so a second call takes milliseconds.
    Raises ArtifactError for a file that is not in the run or whose checksum differs, StorageError when the storage cannot be read.
    """
    run = current(storage) if run_id is None else manifest(storage, run_id)
    names = list(names)
    for name in names:
        if name not in run.files:
            raise ArtifactError(f"run {run.run_id} at {storage.location} has no file {name}; it has {', '.join(run.files)}.")
    cache = into / run.run_id
    for name in names:
        _fetch_one(storage, run, name, cache)
    own = storage.file(key(run.run_id, MANIFEST))
    return own.parent if own else cache


def run_keys(storage: Storage, into: Path, run_id: str | None = None) -> RunKeys:
    """The keys of a run, None for the current one; empty tables for a run without, and while nothing is published.

    Raises what `fetch` raises, and ArtifactError for a damaged table.
    """
    if run_id is None and not storage.exists(CURRENT):
        return RunKeys()
    run = current(storage) if run_id is None else manifest(storage, run_id)
    names = [name for name in KEY_FILES.values() if name in run.files]
    return RunKeys.read(fetch(storage, run.run_id, names, into)) if names else RunKeys()


def _fetch_one(storage: Storage, run: Manifest, name: str, cache: Path) -> None:
    source, wanted, record = key(run.run_id, name), run.files[name], cache / f"{name}.verified"
    local = storage.file(source) or cache / name
    if not local.exists():
        if not storage.exists(source):
            raise ArtifactError(f"{storage.location}/{source} is missing; publish again or roll back to another run.")
        with progress(title=f"fetch {name}", total=wanted.bytes, unit="B") as bar:
            storage.download(source, local, bar.update)
    if record.exists() and record.read_text() == _verified(local, wanted):
        return
    if local.stat().st_size != wanted.bytes or sha256(local) != wanted.sha256:
        if storage.file(source) is None:
            local.unlink()  # so that the next start fetches it again
        raise ArtifactError(f"{storage.location}/{source} is damaged: its checksum differs from the manifest; publish again or roll back.")
    with suppress(OSError):  # without the record the next start only takes longer
        make_folder(record.parent)
        partial = record.with_name(f"{record.name}.{uuid.uuid4().hex[:8]}.part")
        partial.write_text(_verified(local, wanted))
        partial.replace(record)


def _verified(path: Path, wanted: File) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns} {wanted.sha256}"
