"""The validation of raw logs and the EDA chapter on preprocessed ones: seconds of every check and table, pictures drawn, peak memory.

    python -m benchmarks.validation --data DIR --preprocessed DIR [--test-start 2022-12-16] [--memory-limit 2GB] [--pictures DIR]

--data holds the three raw files, --preprocessed what benchmarks.preprocess or the pipeline wrote. Both parts run in children of their own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.children import machine, measured
from musicrec import engine, plots
from musicrec.eda import Exploration
from musicrec.validation import CHECKS, Logs


def validation(options: argparse.Namespace, connection: Any) -> None:
    """Every check with its seconds and findings."""
    tables = (connection.read_parquet(options.data / f"{name}.parquet") for name in ("tracks", "catalog_names", "interactions"))
    logs = Logs(*tables, options.test_start)
    for name, check in CHECKS.items():
        start = time.perf_counter()
        found = check(logs)
        print(f"  {name:28}{time.perf_counter() - start:7.1f} s", flush=True)
        for finding in found:
            print(f"    {finding.severity}: {finding.finding}: {finding.count:,} ({finding.share:.2%}); {finding.example}")


def eda(options: argparse.Namespace, connection: Any) -> None:
    """Every table and its picture with their seconds."""
    matplotlib.use("Agg")
    look = Exploration(*(connection.read_parquet(options.preprocessed / f"{name}.parquet") for name in ("items", "events")))
    drawn: dict[str, tuple[Callable[[], Any], tuple[Callable[..., Any], ...]]] = {
        "monthly": (look.monthly, (plots.monthly_plays, plots.monthly_users)), "daily": (look.daily, (plots.daily_plays,)),
        "history_lengths": (look.history_lengths, (plots.history_lengths,)), "popularity": (look.popularity, (plots.popularity,)),
        "plays_of_tracks": (look.plays_of_tracks, (plots.plays_of_tracks,)), "lorenz": (look.lorenz, (plots.lorenz,)),
        "top_tracks": (look.top_tracks, (plots.top_tracks,)), "genres": (look.genres, (plots.genres,)),
        "never_played": (look.never_played, ()), "new_tracks": (look.new_tracks, (plots.new_tracks,)),
        "cohorts": (look.cohorts, (plots.cohorts,)),
        "list_lengths": (look.list_lengths, (plots.list_lengths,))}
    options.pictures.mkdir(parents=True, exist_ok=True)
    for name, (table, pictures) in drawn.items():
        start = time.perf_counter()
        rows = table()
        for picture in pictures:
            ax = picture(rows)
            ax.figure.savefig(options.pictures / f"{picture.__name__}.png")
            matplotlib.pyplot.close(ax.figure)
        print(f"  {name:28}{time.perf_counter() - start:7.1f} s   {len(rows):,} rows", flush=True)


PARTS = {"validation": validation, "eda": eda}


def main() -> None:
    """Print both parts and what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preprocessed", type=Path, required=True)
    parser.add_argument("--test-start", type=date.fromisoformat, default=date(2022, 12, 16))
    parser.add_argument("--memory-limit", default="2GB")
    parser.add_argument("--pictures", type=Path, default=Path(tempfile.gettempdir()) / "pictures")
    parser.add_argument("--part", choices=PARTS)
    options = parser.parse_args()
    if options.part:
        with tempfile.TemporaryDirectory(dir=options.preprocessed) as spill:
            connection = engine.connect("duckdb", memory_limit=options.memory_limit, threads=2, temp_folder=Path(spill))
            PARTS[options.part](options, connection)
        return
    print(f"{machine()}; memory_limit {options.memory_limit}")
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in vars(options).items() if name != "part"]
    for part in PARTS:
        print(f"{part:8}{measured('benchmarks.validation', *arguments, '--part', part)}", flush=True)


if __name__ == "__main__":
    main()
