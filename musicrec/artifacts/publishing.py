"""Publish a run, go back to an earlier one, remove old ones."""

import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from musicrec.artifacts.checking import described, progress_bar
from musicrec.artifacts.record import MANIFEST, Manifest, RunInfo, current, key, manifest, runs, write_manifest, write_pointer
from musicrec.errors import ArtifactError, StorageError
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
    run = Manifest(run_id, moment.isoformat(timespec="seconds"), info, files)
    places = {name: key(run_id, name) for name in files}
    try:
        with progress_bar(f"publish {run_id}", sum(file.bytes for file in files.values())) as bar:
            for name, place in places.items():
                storage.upload(folder / name, place, bar.update)
        write_manifest(storage, run)
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


def prune(storage: Storage, keep: int, now: datetime | None = None) -> list[str]:
    """Remove all runs but the latest `keep` and the current one; return the ids removed.

    What killed publishers left behind goes as well once it is a day old, so that nobody who is publishing now is disturbed.
    """
    whole, spared = runs(storage), {current(storage).run_id}
    spared.update(whole[len(whole) - keep:] if keep else ())
    yesterday = f"{(now or datetime.now(UTC)) - timedelta(days=1):%Y%m%dT%H%M%SZ}"
    keys = storage.list("runs/")
    found = sorted({place.split("/")[1] for place in keys})
    removed = [run_id for run_id in found if run_id not in spared and (run_id in whole or run_id < yesterday)]
    for run_id in removed:
        storage.delete(key(run_id, MANIFEST))  # first, so that a half removed run does not count as whole
        for place in keys:
            if place.startswith(key(run_id, "")):
                storage.delete(place)
    return removed
