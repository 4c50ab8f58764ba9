"""The sample as three files."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from musicrec.datasets.generated import INDEX, origin, writers
from musicrec.datasets.sample.catalogue import tables, tracks
from musicrec.datasets.sample.listening import interactions, users


def write(folder: Path, seed: int = 0) -> bool:
    """Write the three files of the sample into `folder` and return True; False when the same sample is already there, whole.

    Deterministic in `seed`. About 20 s. Raises SourceError when the folder cannot be written.
    """
    how = f"musicrec datasets make sample --seed {seed}"
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
