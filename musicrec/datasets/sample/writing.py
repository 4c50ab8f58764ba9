"""Writing the sample as three parquet files."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from musicrec.datasets.generated import INDEX, origin, writers
from musicrec.datasets.sample.catalog import tables, tracks
from musicrec.datasets.sample.listening import interactions, users


def write(folder: Path, seed: int = 0) -> bool:
    """Write the three files of the sample into `folder` and return True; return False when the complete sample is already there.

    Deterministic in `seed`. Takes about 20 s. Raises SourceError when the folder cannot be written.
    """
    how = f"musicrec datasets make sample --seed {seed}"
    if origin(folder) == how:
        return False
    rng = np.random.default_rng(seed)
    with writers(folder, how) as files:
        made = tracks(rng)
        plays = interactions(made, users(rng, made), rng)
        plays = plays.append_column(INDEX, pa.array(plays["track_seq"].to_numpy() - 1))
        for file, table in zip(files, (*tables(made, rng), plays)):
            file.write_table(table.cast(file.schema.remove_metadata()))
    return True
