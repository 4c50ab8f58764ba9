"""How long a filter takes over a million items: the mask alone, and a whole offline list of 100 items that pass it.

    python -m benchmarks.filters [--items 1000000] [--rounds 200]

Items have one or two of 900 genres and one of 150,000 artists, both with a long tail; the lists are those of a user with 100 items.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec import schema
from musicrec.serving import layout
from musicrec.serving.answers import Answer, AnswerOptions, Answers
from musicrec.serving.arrays import arrays
from musicrec.serving.filters import Filters, ItemMask, item_columns
from musicrec.serving.keys import KeyIndex
from musicrec.serving.lookup import Grouped, ItemNames, Lookup

FILTERS: dict[str, dict[str, Any]] = {
    "a genre of two items in three": {"genres": ["genre 1"]},
    "a genre of few items": {"genres": ["genre 800"]},
    "without the largest genre": {"not_genres": ["genre 1"]},
    "an artist": {"artists": ["artist 70"]},
    "added in the last fifth": {"added_since": "2021-01-01"},
    "1,000 items excluded": {"exclude": list(range(0, 20_000, 20))},
    "all of it, three of each": {"genres": ["genre 1", "genre 2", "genre 3"], "not_artists": ["artist 1", "artist 2", "artist 3"],
                                 "not_genres": ["genre 4", "genre 5"], "added_since": "2018-01-01", "exclude": list(range(100))},
}


def catalog(folder: Path, n: int, rng: np.random.Generator) -> None:
    """items.parquet and top_popular.parquet of n items."""
    genres, artists = (np.minimum(rng.zipf(shape, (n, width)), most) for shape, width, most in ((1.6, 2, 900), (1.3, 1, 150_000)))
    days = rng.integers(0, 5 * 365, n) * np.timedelta64(1, "D")
    columns: dict[str, Any] = {"item_id": np.arange(n), "genres": [[f"genre {g}" for g in sorted({*row})] for row in genres.tolist()],
                               "artists": [[f"artist {row[0]}"] for row in artists.tolist()], "num_users": n - np.arange(n),
                               "added_at": np.datetime64("2017-01-01", "us") + days}
    given = {column.name: pa.array(columns[column.name], column.type) if column.name in columns else pa.nulls(n, column.type)
             for column in schema.ITEMS.columns}
    pq.write_table(pa.table(given), folder / "items.parquet")
    top = {"rank": range(1, 101), "item_id": range(100), "users": range(100), "score": [1.0] * 100, **dict.fromkeys(
        ("name", "genres", "artists", "albums"), [None] * 100)}
    pq.write_table(pa.table([pa.array(list(top[c.name]), c.type) for c in schema.TOP_POPULAR.columns if not c.optional],
                            names=schema.TOP_POPULAR.required.names), folder / "top_popular.parquet")


def opened(folder: Path, n: int, rng: np.random.Generator) -> Lookup:
    """A run with one user, whose list has 100 items and who has played 160."""
    for part in ("filters", "popular"):
        (folder / part).mkdir()
        layout.write(part, folder, folder / part)
    popular, ids = arrays(folder / "popular"), np.arange(n, dtype=np.int32)
    own, seen = (Grouped(np.zeros(1, np.int32), np.array([0, size]), rng.choice(n, size, replace=False).astype(np.int32),
                         np.ones(size, np.float32)) for size in (100, 160))
    seen.items.sort()
    return Lookup("run", own, seen, popular["item_id"], popular["score"], ItemNames(ids, {}), item_columns(folder / "filters"), KeyIndex())


def ms(work: Callable[[], object], rounds: int) -> str:
    """Median milliseconds of the clock, and median and 99th percentile of the processor, which say the same on a crowded machine."""
    clock, processor = np.empty(rounds), np.empty(rounds)
    for at in range(rounds):
        began, cpu = time.perf_counter(), time.thread_time()
        work()
        clock[at], processor[at] = time.perf_counter() - began, time.thread_time() - cpu
    return f"{np.median(clock) * 1000:.2f} ms (of a core {np.median(processor) * 1000:.2f}, p99 {np.quantile(processor, 0.99) * 1000:.2f})"


def measured(run: Lookup, asked: Filters, rounds: int) -> str:
    """How many items pass, and how long it takes."""
    def mask() -> ItemMask:
        return run.columns.mask(asked, asked.exclude)

    def whole() -> Answer:
        return Answers(run, AnswerOptions(), mask()).offline(0, 100)

    return f"passes {mask().passes.sum():>7}  mask {ms(mask, rounds)}  mask and list {ms(whole, rounds)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    chosen, rng = parser.parse_args(), np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        catalog(Path(folder), chosen.items, rng)
        run = opened(Path(folder), chosen.items, rng)
        plain = ms(lambda: Answers(run, AnswerOptions()).offline(0, 100), chosen.rounds)
        print(f"{chosen.items} items; no filter: list {plain}")
        for name, parameters in FILTERS.items():
            print(f"{name:<30} {measured(run, Filters.model_validate(parameters), chosen.rounds)}")


if __name__ == "__main__":
    main()
