"""Looking up keys as services do: microseconds a look-up each way, and bytes that workers share, at the size of the full logs.

    python -m benchmarks.keys [--users 1370000] [--items 1000000]

Keys have 20 to 40 characters. A request looks up one user and gives the keys of its items, so both ways are measured.
"""

import argparse
import hashlib
import random
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.children import machine
from musicrec.keys import KeyTable
from musicrec.serving import layout
from musicrec.serving.keys import key_index

_LOOKED_UP = 20_000


def main() -> None:
    """Make the tables, write their arrays, and look up users and items at random."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_370_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    options = parser.parse_args()
    print(machine())
    shared, chosen = 0, random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        for kind, count in (("user", options.users), ("item", options.items)):
            folder = Path(place) / kind
            (folder / "into").mkdir(parents=True)
            keys = [f"{kind}:{hashlib.md5(str(at).encode()).hexdigest()[:15 + at % 20]}{at:x}" for at in range(count)]
            KeyTable().extended(pa.array(keys)).write(folder / f"{kind}_keys.parquet")
            layout.write(f"{kind}_keys", folder, folder / "into")
            size = sum(path.stat().st_size for path in (folder / "into").glob("*.npy"))
            shared += size
            index, asked = key_index(folder / "into"), chosen.sample(keys, _LOOKED_UP)
            begun = time.perf_counter()
            ids = [index.id_of(key) for key in asked]
            found = time.perf_counter()
            assert [index.key_of(one) for one in ids] == asked
            back = time.perf_counter() - found
            print(f"{count:>10,} {kind}s: {(found - begun) / _LOOKED_UP * 1e6:5.1f} us from key to id, {back / _LOOKED_UP * 1e6:5.1f} us "
                  f"from id to key, {size / 1e6:6.1f} MB shared")
    print(f"{shared / 1e6:.1f} MB in all")


if __name__ == "__main__":
    main()
