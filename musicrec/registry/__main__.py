"""`python -m musicrec.registry`: the runs at [artifacts] location; go back to one, remove old ones, check where they lie."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from musicrec import registry, settings
from musicrec.command import exit_code
from musicrec.storage import Storage, storage


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m musicrec.registry", description="Runs at [artifacts] location of config.ini.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="all whole runs, the latest last; * marks the current one")
    commands.add_parser("check", help="can the place be written, and is every byte of the current run what was published?")
    commands.add_parser("rollback", help="make another run the current one").add_argument("run_id")
    prune = commands.add_parser("prune", help="remove old runs; the current one stays")
    prune.add_argument("--keep", type=int, default=5, help="how many of the latest runs stay (default: 5)")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    request = parser.parse_args(arguments)
    return exit_code(lambda: _answer(request))


def _answer(request: argparse.Namespace) -> None:
    place = storage(settings.load().artifacts.location, settings.s3_environment())
    if request.command == "list":
        _list(place)
    elif request.command == "check":
        _check(place)
    elif request.command == "rollback":
        registry.rollback(place, request.run_id)
        print(f"{request.run_id} is the current run at {place.location}; services take it up within [service] poll_s seconds.")
    else:
        removed = registry.prune(place, request.keep, request.dry_run)
        print(f"{'Would remove' if request.dry_run else 'Removed'} {', '.join(removed) or 'nothing'}.")


def _check(place: Storage) -> None:
    place.preflight()
    run = registry.current(place)
    # a folder of its own, so that nothing is trusted because it was read before
    with tempfile.TemporaryDirectory() as empty:
        registry.fetch(place, run.run_id, run.files, Path(empty))
    print(f"{place.location} can be written, and the {len(run.files)} files of run {run.run_id} are whole.")


def _list(place: Storage) -> None:
    current = registry.current(place).run_id
    whole = registry.whole_runs(place)
    for run in whole:
        size = sum(file.bytes for file in run.files.values())
        print(f"{'*' if run.run_id == current else ' '} {run.run_id}  {run.created_at}  {size / 1e6:,.1f} MB in {len(run.files)} files")
    others = sorted({key.split("/")[1] for key in place.list("runs/")} - {run.run_id for run in whole})
    if others:
        print(f"Not whole, or not ours; prune leaves them alone: {', '.join(others)}")


if __name__ == "__main__":
    sys.exit(main())
