"""Published runs: their files, manifests and the pointer to the current run.

    runs/<run_id>/<file> ...      never changed once written
    runs/<run_id>/manifest.json   written after the files; a run without it is ignored
    current.json                  written last; names the run that services load

So a reader always sees a complete run, the earlier or the new one, also when publishing is killed.
"""

from musicrec.registry.checking import OPTIONAL, RECOMMENDER, REQUIRED
from musicrec.registry.fetching import fetch, run_keys
from musicrec.registry.publishing import prune, publish, rollback
from musicrec.registry.record import (
    CURRENT,
    FORMAT,
    MANIFEST,
    File,
    Manifest,
    RunInfo,
    complete_runs,
    current,
    current_id,
    manifest,
    manifest_text,
    runs,
    stored_manifest,
)

__all__ = [
    "CURRENT", "FORMAT", "MANIFEST", "OPTIONAL", "RECOMMENDER", "REQUIRED", "File", "Manifest", "RunInfo", "complete_runs", "current",
    "current_id", "fetch", "manifest", "manifest_text", "prune", "publish", "rollback", "run_keys", "runs", "stored_manifest",
]
