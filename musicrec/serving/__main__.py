"""`python -m musicrec.serving runs` lists what is published; `... rollback RUN_ID` makes another run the served one."""

import argparse
import sys

from musicrec import artifacts, settings
from musicrec.command import exit_code
from musicrec.storage import storage


def main() -> int:
    """0 when done, 1 after one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m musicrec.serving", description="Which run the services answer from.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("runs", help="list all published runs, the served one marked")
    rollback = commands.add_parser("rollback", help="serve another run; services notice it within poll_s seconds")
    rollback.add_argument("run_id", help="as `runs` lists it")
    chosen = parser.parse_args()
    return exit_code(lambda: _answer(chosen))


def _answer(chosen: argparse.Namespace) -> None:
    place = storage(settings.load().artifacts.location, settings.s3_environment())
    if chosen.command == "rollback":
        artifacts.rollback(place, chosen.run_id)
    served = artifacts.current(place).run_id
    for run_id in artifacts.runs(place):
        print(f"{run_id}  {artifacts.manifest(place, run_id).created_at}{'  served' if run_id == served else ''}")


if __name__ == "__main__":
    sys.exit(main())
