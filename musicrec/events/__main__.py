"""`python -m musicrec.events export --out FILE` writes the stored plays as parquet."""

import argparse
import asyncio
import sys
from pathlib import Path

from musicrec import settings
from musicrec.command import exit_code
from musicrec.events import event_store
from musicrec.events.export import FORMS, write


def main() -> int:
    """0 when written, 1 after one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m musicrec.events", description="What the event store of config.ini holds.")
    export = parser.add_subparsers(dest="command", required=True).add_parser("export", help="write it as a parquet file")
    export.add_argument("--form", choices=FORMS, default="events",
                        help="events (as the preprocessed table), interactions (as the raw file of the pipeline) or impressions")
    export.add_argument("--out", type=Path, required=True, help="the file to write")
    chosen = parser.parse_args()
    return exit_code(lambda: _export(chosen))


def _export(chosen: argparse.Namespace) -> None:
    section = settings.load().events
    store = event_store(section.store, section.path.get_secret_value(), section.per_user, log_rows=section.log_rows)
    try:
        table = FORMS[chosen.form](store)
    finally:
        asyncio.run(store.close())
    write(table, chosen.out)
    print(f"{table.num_rows} rows in {chosen.out}")


if __name__ == "__main__":
    sys.exit(main())
