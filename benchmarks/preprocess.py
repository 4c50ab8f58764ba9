"""Prepare against pandas doing the same tables, each in a child of its own; then the tables of both are compared row by row.

    python -m benchmarks.preprocess --data DIR --out DIR [--memory-limit 2GB]

--data holds tracks.parquet, catalog_names.parquet and interactions.parquet; --out takes both sides' tables and what DuckDB spills.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.children import Measured, machine, measured, ratios
from musicrec import engine
from musicrec.preprocess import preprocessed, write

TABLES = ("items", "events", "genres")


def ours(data: Path, out: Path, memory_limit: str) -> None:
    """The product's way."""
    connection = engine.connect("duckdb", memory_limit=memory_limit, threads=2, temp_folder=out / "spill")
    write(preprocessed(*(connection.read_parquet(data / f"{name}.parquet") for name in ("tracks", "catalog_names", "interactions"))), out)


def in_pandas(data: Path, out: Path, _: str) -> None:
    """The same tables by pandas, in the types of the files.

    Two kindnesses keep it within this machine: it relies on the file's order within a user instead of sorting by four keys, and it counts
    listeners in eight slices of users, because nunique over all events at once takes about 100 bytes an event.
    """
    out.mkdir(parents=True, exist_ok=True)
    tracks, names = pd.read_parquet(data / "tracks.parquet"), pd.read_parquet(data / "catalog_names.parquet")
    items = pd.DataFrame({"item_id": tracks["track_id"].astype("int32")})
    known = {kind: dict(zip(part["id"], part["name"])) for kind, part in names.groupby("type")}
    items["name"] = [known["track"].get(track, f"unnamed_track_{track}") for track in tracks["track_id"]]
    for column, kind in (("albums", "album"), ("artists", "artist"), ("genres", "genre")):
        ids = [list(dict.fromkeys(row.tolist())) for row in tracks[column]]
        items[f"{kind}_ids"] = ids
        if kind == "genre":
            items[column] = [list(dict.fromkeys(known[kind].get(i, f"other_genre_{i}") for i in row)) for row in ids]
        else:
            items[column] = [list(dict.fromkeys(known[kind][i] for i in row if i in known[kind])) for row in ids]
    genres = _genres(items, known["genre"])
    scores = dict(zip(genres["genre_id"], genres["score"]))
    items["genre_score_mean"] = [float(np.mean([scores[i] for i in row])) if row else 0.0 for row in items["genre_ids"]]
    items["num_albums"] = items["album_ids"].map(len).astype("int32")
    events = pd.read_parquet(data / "interactions.parquet").rename(columns={"track_id": "item_id"})
    events = events.sort_values("user_id", kind="stable", ignore_index=True)
    edges = np.searchsorted(events["user_id"], np.linspace(0, events["user_id"].iloc[-1] + 1, 9))
    slices = [events.iloc[start:end].groupby("item_id")["user_id"].nunique() for start, end in pairwise(edges)]
    listeners = pd.concat(slices).groupby(level=0).sum()
    items["num_users"] = items["item_id"].map(listeners).fillna(0).astype("int32")
    low, high = items["num_users"].min(), items["num_users"].max()
    items["num_users_norm"] = ((items["num_users"] - low) / (high - low)).astype("float32")
    items.sort_values("item_id").to_parquet(out / "items.parquet", compression="zstd", index=False)
    genres.to_parquet(out / "genres.parquet", compression="zstd", index=False)
    events["track_seq"], events["listened"] = events["track_seq"].astype("int32"), np.int8(1)
    events.to_parquet(out / "events.parquet", compression="zstd", index=False)


def _genres(items: pd.DataFrame, known: dict[int, str]) -> pd.DataFrame:
    counts = items["genre_ids"].explode().dropna().astype("int64").value_counts().rename_axis("genre_id").reset_index(name="items_count")
    counts.insert(1, "name", [known.get(i, f"other_genre_{i}") for i in counts["genre_id"]])
    counts["score"] = counts["items_count"] / counts["items_count"].sum()
    return counts.sort_values(["items_count", "genre_id"], ascending=[False, True])


SIDES = {"ours": ours, "pandas": in_pandas}


def same(left: Path, right: Path) -> int:
    """Rows compared and found equal, floats to 1e-6; raises AssertionError at the first batch that differs."""
    rows = 0
    files = pq.ParquetFile(left), pq.ParquetFile(right)
    columns = files[0].schema_arrow.names
    for mine, theirs in zip(*(file.iter_batches(1 << 20, columns=columns) for file in files), strict=True):
        for name, field in zip(columns, files[0].schema_arrow):
            one, other = mine.column(name), theirs.column(name).cast(field.type)
            if pa.types.is_floating(field.type):
                np.testing.assert_allclose(one.to_numpy(), other.to_numpy(), atol=1e-6)
            else:
                assert one.equals(other), f"{left} and {right} differ in {name}"
        rows += mine.num_rows
    return rows


def main() -> None:
    """Print both sides, their ratios, and that the tables agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--memory-limit", default="2GB")
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        SIDES[options.side](options.data, options.out / options.side, options.memory_limit)
        return
    print(f"{machine()}; {pq.read_metadata(options.data / 'interactions.parquet').num_rows:,} plays; memory_limit {options.memory_limit}")
    found: dict[str, Measured] = {}
    for side in SIDES:
        found[side] = measured("benchmarks.preprocess", "--data", str(options.data), "--out", str(options.out), "--side", side,
                               "--memory-limit", options.memory_limit)
        print(f"{side:8}{found[side]}", flush=True)
    print(f"pandas / ours: {ratios(found['pandas'], found['ours'])}")
    for table in TABLES:
        rows = same(options.out / "ours" / f"{table}.parquet", options.out / "pandas" / f"{table}.parquet")
        print(f"{table}: {rows:,} rows, the same on both sides")


if __name__ == "__main__":
    main()
