"""Publishing a run, rolling back to an earlier one, and pruning old ones."""

import logging
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from musicrec.errors import ArtifactError, StorageError
from musicrec.progress import progress
from musicrec.registry.checking import run_files
from musicrec.registry.record import (
    MANIFEST,
    Manifest,
    RunInfo,
    complete_runs,
    current,
    current_id,
    key,
    manifest,
    manifest_text,
    runs,
    write_pointer,
)
from musicrec.storage import Storage

log = logging.getLogger(__name__)


def publish(storage: Storage, folder: Path, info: RunInfo, now: datetime | None = None) -> str:
    """Publish the required and optional files of `folder` as a new run, make it the current one and return its id.

    Run ids sort by time of publishing (`now`, UTC). Other files of the folder are left out. When somebody else makes another run the
    current one meanwhile (a rollback, another publisher), that choice stays: the new run is published but not current, which a warning
    says. A change in the moment between the last look and the write of the pointer, milliseconds, goes unnoticed.
    Raises ArtifactError when a required file is missing or damaged, and SchemaError when a table lacks a column, before anything is
    written. Raises StorageError when the storage cannot be written; then, as after Ctrl-C, the files written so far are removed and the
    earlier run stays current.
    """
    files = run_files(folder)
    before, moment = current_id(storage), now or datetime.now(UTC)
    run_id = f"{moment:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    text = manifest_text(Manifest(run_id, moment.isoformat(timespec="seconds"), info, files))
    keys = {name: key(run_id, name) for name in files}
    try:
        with progress(title=f"publish {run_id}", total=sum(file.bytes for file in files.values()), unit="B") as bar:
            for name, target in keys.items():
                storage.upload(folder / name, target, bar.update)
        storage.write(key(run_id, MANIFEST), text)
    except BaseException:
        with suppress(StorageError):
            for target in (key(run_id, MANIFEST), *keys.values()):
                storage.delete(target)
        raise
    chosen = current_id(storage)
    if chosen in (before, None):
        write_pointer(storage, run_id)
    else:
        log.warning("run %s is published at %s but not current, because %s was made current meanwhile; to make it current: "
                    "musicrec runs rollback %s", run_id, storage.location, chosen, run_id)
    return run_id


def rollback(storage: Storage, run_id: str) -> None:
    """Make another run the current one. Raises ArtifactError when it is unknown or incomplete."""
    run = manifest(storage, run_id)
    keys = set(storage.list(key(run_id, "")))
    missing = [name for name in run.files if key(run_id, name) not in keys]
    if missing:
        raise ArtifactError(f"run {run_id} at {storage.location} lacks {', '.join(missing)}; choose another of {', '.join(runs(storage))}.")
    write_pointer(storage, run_id)


def prune(storage: Storage, keep: int, dry_run: bool = False) -> list[str]:
    """Remove complete runs except the latest `keep` and the current one; return their ids. With `dry_run` nothing is removed.

    Only files of a manifest are removed: partially published runs and other files below runs/ stay.
    Raises ArtifactError for a negative `keep`, and when the pointer to the current run cannot be read.
    """
    if keep < 0:
        raise ArtifactError(f"{keep} runs cannot be kept; give 0 or more.")
    served, complete = current(storage).run_id, complete_runs(storage)
    old = [run for run in complete[:max(0, len(complete) - keep)] if run.run_id != served]
    for run in () if dry_run else old:
        if run.run_id == current(storage).run_id:
            raise ArtifactError(f"run {run.run_id} at {storage.location} has become the current run and stays; prune again.")
        for name in (MANIFEST, *run.files):  # the manifest first, so that a partially removed run is not complete
            storage.delete(key(run.run_id, name))
    return [run.run_id for run in old]
