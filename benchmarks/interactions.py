"""Events to a sparse matrix: streamed from the parquet file, against reading it whole and letting scipy sort it.

    python -m benchmarks.interactions --preprocessed DIR [--only ours]

--preprocessed holds items.parquet and events.parquet. Each side runs in a child of its own; the memory above the matrix is the peak less
the matrix's own arrays and less what the interpreter held before it began.
"""

import argparse
import resource
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy import sparse

from benchmarks.children import machine, measured, ratios
from musicrec.dataset import Dataset, catalog, index_of


def ours(folder: Path) -> tuple[sparse.csr_matrix, np.ndarray | None]:
    """The product's way: matrix and times."""
    made = Dataset(folder / "events.parquet", catalog(_items(folder))).train_set()
    return made.matrix, made.last_played


def whole(folder: Path) -> tuple[sparse.csr_matrix, np.ndarray | None]:
    """All events in memory, users by np.unique, a COO matrix that scipy turns into CSR; it keeps no times."""
    events = pq.read_table(folder / "events.parquet", columns=["user_id", "item_id"])
    _, rows = np.unique(events["user_id"].to_numpy(), return_inverse=True)
    ids = np.sort(_items(folder)["item_id"].to_numpy())
    columns = index_of(ids, events["item_id"].to_numpy())
    matrix = sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(int(rows.max()) + 1, len(ids))).tocsr()
    matrix.sort_indices()
    return matrix, None


SIDES = {"ours": ours, "whole": whole}


def _items(folder: Path) -> object:
    return pq.read_table(folder / "items.parquet", columns=["item_id", "genre_ids", "artist_ids", "album_ids"])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _report(side: str, folder: Path) -> None:
    before, start = _peak(), time.perf_counter()
    matrix, times = SIDES[side](folder)
    seconds, peak = time.perf_counter() - start, _peak()
    own = sum(array.nbytes for array in (matrix.data, matrix.indices, matrix.indptr, times) if array is not None) / 1e9
    check = zlib.crc32(matrix.indices) ^ zlib.crc32(matrix.data)
    print(f"{side}: {matrix.shape[0]:,} x {matrix.shape[1]:,}, {matrix.nnz:,} entries, checksum {check:08x}; {seconds:.1f} s, "
          f"matrix {own:.2f} GB, above it {peak - own - before:.2f} GB", flush=True)


def main() -> None:
    """Print both sides; equal checksums mean equal columns and values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preprocessed", type=Path, required=True)
    parser.add_argument("--only", choices=SIDES)
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        _report(options.side, options.preprocessed)
        return
    print(f"{machine()}; {pq.read_metadata(options.preprocessed / 'events.parquet').num_rows:,} plays", flush=True)
    sides = [options.only] if options.only else list(SIDES)
    found = [measured("benchmarks.interactions", "--preprocessed", str(options.preprocessed), "--side", side) for side in sides]
    for side, side_found in zip(sides, found):
        print(f"{side:8}{side_found}")
    if len(found) > 1:
        print(f"whole / ours: {ratios(found[1], found[0])}")


if __name__ == "__main__":
    main()
