"""Search as one types over names of tracks and artists: milliseconds a search, on the clock and of a core, with and without typos.

    python -m benchmarks.page_names [--items 1000000]

Names are those of the generator of logs, whose words are few, so that every word fits many names.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.children import machine
from musicrec import schema
from musicrec.datasets.synthetic.names import artists, titles
from musicrec.page.names import Names
from musicrec.page.published import Published
from musicrec.registry import Manifest, RunInfo
from musicrec.serving import layout
from musicrec.serving.arrays import arrays
from musicrec.serving.lookup import Grouped, ItemNames, Lookup

_SEARCHES = 300


def published(folder: Path, count: int) -> Published:
    """A run of `count` named items, a sixth as many artists, and nothing else."""
    number, artist = np.arange(count), np.arange(count) // 6
    ones = pa.ListArray.from_arrays(pa.array(np.arange(count + 1), pa.int32()), artists(artist, artist % 4 == 0))
    ids = pa.ListArray.from_arrays(pa.array(np.arange(count + 1), pa.int32()), pa.array(artist, pa.int32()))
    listeners = np.random.default_rng(0).permutation(count)
    empty = {column.name: pa.nulls(count, column.type) for column in schema.ITEMS.columns}
    pq.write_table(pa.table({**empty, "item_id": pa.array(number, pa.int32()), "name": titles(number, number % 4 == 0), "artists": ones,
                             "artist_ids": ids, "num_users": pa.array(listeners, pa.int32())}), folder / "items.parquet")
    (folder / "into").mkdir()
    layout.write("items", folder, folder / "into")
    found, none = arrays(folder / "into"), np.empty(0, np.int32)
    nobody = Grouped(none, np.zeros(1, np.int64), none, none.astype(np.float32))
    return Published(Manifest("run", "2023-01-01T00:00:00+00:00", RunInfo({}), {}), folder,
                     Lookup("run", nobody, nobody, none, none.astype(np.float32), ItemNames(found["item_id"], found)))


def with_typo(text: str, chosen: random.Random) -> str:
    """`text` without one of its letters."""
    at = chosen.randrange(1, len(text) - 1)
    return text[:at] + text[at + 1:]


def main() -> None:
    """Make the names and the index, and search for names at random."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args()
    print(machine())
    chosen = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        run = published(Path(place), options.items)
        begun, core = time.perf_counter(), time.thread_time()
        names = Names(run)
        print(f"{options.items:,} tracks and {len(run.artists):,} artists: index made in {time.perf_counter() - begun:.1f} s, "
              f"{time.thread_time() - core:.1f} s of a core")
        items = [run.lookup.catalog.item(chosen.randrange(options.items)) for _ in range(_SEARCHES)]
        asked = {"one letter": [item.name[:1] for item in items], "three letters": [item.name[:3] for item in items],
                 "title": [item.name for item in items], "title and artist": [f"{item.name} {item.artists[0]}" for item in items],
                 "title and artist, one letter missing": [with_typo(f"{item.name} {item.artists[0]}", chosen) for item in items]}
        for what, texts in asked.items():
            times, cores, right = [], [], 0
            for text, item in zip(texts, items):
                begun, core = time.perf_counter(), time.thread_time()
                found = names.find(text)
                times.append(1000 * (time.perf_counter() - begun))
                cores.append(1000 * (time.thread_time() - core))
                right += any(hit.id == item.item_id for hit in found)
            figures = (f"median {np.median(one):6.1f} ms, 95 % {np.quantile(one, 0.95):6.1f} ms" for one in (times, cores))
            print(f"{what:<37} {'; of a core: '.join(figures)}; found among ten {right / _SEARCHES:4.0%}")


if __name__ == "__main__":
    main()
