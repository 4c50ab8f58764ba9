"""Published runs: what a run holds, how it appears all at once, and how a reader knows that it is whole.

    runs/<run_id>/<file> ...      never changed once written
    runs/<run_id>/manifest.json   written after the files: a run without it does not count
    current.json                  written last: names the run that services load

A reader therefore sees the earlier run or the later one, never half of either, also when publishing is killed.
"""

from musicrec.registry.checking import OPTIONAL, RECOMMENDER, REQUIRED
from musicrec.registry.fetching import fetch
from musicrec.registry.publishing import prune, publish, rollback
from musicrec.registry.record import CURRENT, FORMAT, MANIFEST, File, Manifest, RunInfo, current, manifest, runs, whole_runs

__all__ = [
    "CURRENT", "FORMAT", "MANIFEST", "OPTIONAL", "RECOMMENDER", "REQUIRED", "File", "Manifest", "RunInfo", "current", "fetch",
    "manifest", "prune", "publish", "rollback", "runs", "whole_runs",
]
