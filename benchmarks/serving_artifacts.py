"""A published run of any size with random content, for measuring services."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from musicrec import schema
from musicrec.registry import RunInfo, publish
from musicrec.storage import storage

K = 100


@dataclass(frozen=True)
class Size:
    """How much is built."""

    users: int
    items: int
    plays: int
    seed: int = 0


def artifacts(folder: Path, size: Size, add: Callable[[Path], None] = lambda run: None) -> Path:
    """A published run of the size, made once; `add` writes further files into its folder before it is published."""
    root = folder / f"{size.users}x{K}-{size.items}-{size.plays}"
    if (root / "artifacts" / "current.json").exists():
        return root
    run, rng = root / "run", np.random.default_rng(size.seed)
    run.mkdir(parents=True, exist_ok=True)
    _grouped(run, schema.RECOMMENDATIONS, size.users, K, size.items, rng)
    _grouped(run, schema.SIMILAR, size.items, 10, size.items, rng)
    _events(run, size, rng)
    _catalog(run, size)
    add(run)
    publish(storage(str(root / "artifacts"), {}), run, RunInfo({"made for": "benchmarks/serving.py"}))
    return root


def _grouped(run: Path, kind: schema.TableSchema, keys: int, per_key: int, items: int, rng: np.random.Generator) -> None:
    batch = 20_000
    with pq.ParquetWriter(run / f"{kind.name}.parquet", kind.arrow, compression="zstd") as writer:
        for start in tqdm(range(0, keys, batch), desc=kind.name, disable=None):
            n = min(batch, keys - start)
            # Steps from a random start: different items within a key, without sorting.
            found = (rng.integers(0, items, (n, 1)) + np.cumsum(rng.integers(1, items // per_key, (n, per_key)), 1)) % items
            columns = [np.repeat(np.arange(start, start + n), per_key), found.ravel(),
                       np.tile(np.linspace(1, 0.1, per_key), n), np.tile(np.arange(1, per_key + 1), n)]
            writer.write_table(pa.table([pa.array(c.astype(f.type.to_pandas_dtype())) for c, f in zip(columns, kind.arrow)],
                                        schema=kind.arrow))


def _events(run: Path, size: Size, rng: np.random.Generator) -> None:
    batch, moment = 20_000, np.datetime64(datetime(2022, 6, 1), "us")
    with pq.ParquetWriter(run / "events.parquet", schema.EVENTS.required, compression="zstd") as writer:
        for start in tqdm(range(0, size.users, batch), desc="events", disable=None):
            n = min(batch, size.users - start)
            rows = n * size.plays
            columns = [np.repeat(np.arange(start, start + n, dtype=np.int32), size.plays), rng.integers(0, size.items, rows, np.int32),
                       np.tile(np.arange(1, size.plays + 1, dtype=np.int32), n), np.full(rows, moment), np.ones(rows, np.int8)]
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema.EVENTS.required))


def _catalog(run: Path, size: Size) -> None:
    n = size.items
    ids, ones = np.arange(n, dtype=np.int32), np.ones(n, np.float32)
    artist_names = [[f"Artist {i % 50_000}"] for i in range(n)]
    lists = {"albums": [["Album"]] * n, "artists": artist_names, "genres": [["pop"]] * n, "album_ids": [[1]] * n,
             "artist_ids": [[i % 50_000] for i in range(n)], "genre_ids": [[1]] * n}
    columns = {"item_id": ids, "name": [f"Track {i}" for i in range(n)], "num_users": n - ids, "num_users_norm": ones,
               "num_albums": ids, "genre_score_mean": ones, **lists}
    _write(run, schema.ITEMS, columns)
    _write(run, schema.GENRES, {"genre_id": [1], "name": ["pop"], "items_count": [n], "score": [1.0]})
    top = {"rank": np.arange(1, 101), "item_id": np.arange(100), "users": np.arange(100), "score": np.linspace(1, 0, 100)}
    _write(run, schema.TOP_POPULAR, {**top, "name": ["x"] * 100, "genres": [[]] * 100, "artists": [[]] * 100, "albums": [[]] * 100})


def _write(run: Path, kind: schema.TableSchema, columns: dict[str, object]) -> None:
    given = {column.name: pa.array(columns[column.name], column.type) for column in kind.columns if column.name in columns}
    pq.write_table(pa.table(given), run / f"{kind.name}.parquet", compression="zstd")
