"""`python -m musicrec.datasets.sample --out data/sample`: write the sample, or keep it when it is there and whole."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from musicrec.command import exit_code
from musicrec.datasets.generated import INDEX, origin, writers
from musicrec.datasets.sample.catalogue import tables, tracks
from musicrec.datasets.sample.listening import interactions, users


def write(folder: Path, seed: int = 0) -> bool:
    """Write the three files of the sample into `folder` and return True; False when the same sample is already there, whole.

    Deterministic in `seed`. About 20 s. Raises SourceError when the folder cannot be written.
    """
    how = f"python -m musicrec.datasets.sample --seed {seed}"
    if origin(folder) == how:
        return False
    rng = np.random.default_rng(seed)
    with writers(folder, how) as files:
        catalogue = tracks(rng)
        plays = interactions(catalogue, users(rng, catalogue), rng)
        plays = plays.append_column(INDEX, pa.array(plays["track_seq"].to_numpy() - 1))
        for file, table in zip(files, (*tables(catalogue, rng), plays)):
            file.write_table(table.cast(file.schema.remove_metadata()))
    return True


def main() -> int:
    """The command line; 0 when the sample is there, 1 when it cannot be written."""
    parser = argparse.ArgumentParser(prog="python -m musicrec.datasets.sample", description="Write the generated sample logs.")
    parser.add_argument("--out", type=Path, default=Path("data/sample"), help="folder for the three files (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes another world (default: %(default)s)")
    arguments = parser.parse_args()
    return exit_code(lambda: _write(arguments))


def _write(arguments: argparse.Namespace) -> None:
    new = write(arguments.out, arguments.seed)
    print(f"{'wrote generated sample logs to' if new else 'generated sample logs are there:'} {arguments.out}")


if __name__ == "__main__":
    sys.exit(main())
