"""Publish a run, go back to an earlier one, remove old ones."""

import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from musicrec.errors import ArtifactError, StorageError
from musicrec.progress import progress
from musicrec.registry.checking import described
from musicrec.registry.record import MANIFEST, Manifest, RunInfo, current, key, manifest, manifest_text, runs, whole_runs, write_pointer
from musicrec.storage import Storage


def publish(storage: Storage, folder: Path, info: RunInfo, now: datetime | None = None) -> str:
    """Publish the files of `folder` that REQUIRED and OPTIONAL name as a new run, make it the current one, return its id.

    Run ids sort by time of publishing (`now`, UTC). Other files of the folder are left out.
    Raises ArtifactError when a required file is missing or a table lacks a column, before anything is written, and
    StorageError when the storage refuses; then, as with Ctrl-C, the files sent so far are removed and the earlier run stays.
    """
    files = described(folder)
    moment = now or datetime.now(UTC)
    run_id = f"{moment:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    text = manifest_text(Manifest(run_id, moment.isoformat(timespec="seconds"), info, files))
    places = {name: key(run_id, name) for name in files}
    try:
        with progress(title=f"publish {run_id}", total=sum(file.bytes for file in files.values()), unit="B") as bar:
            for name, place in places.items():
                storage.upload(folder / name, place, bar.update)
        storage.write(key(run_id, MANIFEST), text)
    except BaseException:
        with suppress(StorageError):
            for place in (key(run_id, MANIFEST), *places.values()):
                storage.delete(place)
        raise
    write_pointer(storage, run_id)
    return run_id


def rollback(storage: Storage, run_id: str) -> None:
    """Make an earlier (or later) run the current one. Raises ArtifactError when it is unknown or lacks a file."""
    run = manifest(storage, run_id)
    there = set(storage.list(key(run_id, "")))
    gone = [name for name in run.files if key(run_id, name) not in there]
    if gone:
        raise ArtifactError(f"run {run_id} at {storage.location} lacks {', '.join(gone)}; choose another of {', '.join(runs(storage))}.")
    write_pointer(storage, run_id)


def prune(storage: Storage, keep: int, dry_run: bool = False) -> list[str]:
    """Remove whole runs but the latest `keep` and the current one; return their ids. With `dry_run` nothing is removed.

    Only files that a manifest names are removed: half published runs and what other people keep below runs/ stay.
    Raises ArtifactError for a negative `keep`, and when it cannot be read which run is the current one.
    """
    if keep < 0:
        raise ArtifactError(f"{keep} runs cannot be kept; give 0 or more.")
    served, whole = current(storage).run_id, whole_runs(storage)
    old = [run for run in whole[:max(0, len(whole) - keep)] if run.run_id != served]
    for run in () if dry_run else old:
        if run.run_id == current(storage).run_id:
            raise ArtifactError(f"run {run.run_id} at {storage.location} was made current meanwhile and stays; prune again.")
        for name in (MANIFEST, *run.files):  # the manifest first, so that a half removed run does not count as whole
            storage.delete(key(run.run_id, name))
    return [run.run_id for run in old]
