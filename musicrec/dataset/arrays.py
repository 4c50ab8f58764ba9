"""Look-ups of ids in ascending arrays, and passes over long arrays in chunks."""

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]


def index_of(ids: Int32, wanted: NDArray[np.integer]) -> Int32:
    """Positions (int32) of `wanted` in the ascending array `ids`; -1 where an id is unknown. O(log n) per id.

    >>> index_of(np.array([3, 7, 9], np.int32), np.array([9, 4, 3])).tolist()
    [2, -1, 0]
    """
    if len(ids) == 0:
        return np.full(len(wanted), -1, np.int32)
    position = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    found: Int32 = np.where(ids[position] == wanted, position, -1).astype(np.int32)
    return found


def chunks(n: int, size: int = 1 << 24) -> list[slice]:
    """Slices that cover range(n), each of length `size` except the last: temporary arrays stay shorter than the whole.

    >>> chunks(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def counts_by_row(keep: NDArray[np.bool_], indptr: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number of entries in each row of a sparse matrix for which `keep` (entries,) is true, int64 (rows,). indptr: (rows + 1,).

    >>> counts_by_row(np.array([True, False, True, True]), np.array([0, 2, 2, 4])).tolist()
    [1, 0, 2]
    """
    # A cumulative sum over all entries would take 8 bytes per entry.
    counts, filled = np.zeros(len(indptr) - 1, np.int64), np.diff(indptr) > 0
    counts[filled] = np.add.reduceat(keep, indptr[:-1][filled], dtype=np.int64)
    return counts


def positions_of_rows(indptr: NDArray[np.integer], rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the entries of these rows of a sparse matrix are, one row behind the other, and an indptr of them; nothing for row -1.

    >>> positions_of_rows(np.array([0, 1, 3]), np.array([1, -1]))
    (array([0, 2, 2]), array([1, 2]))
    """
    starts = indptr[rows].astype(np.int64)
    lengths = np.where(rows >= 0, indptr[rows + 1] - starts, 0)
    chosen = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return chosen, np.repeat(starts - chosen[:-1], lengths) + np.arange(chosen[-1])


class Places:
    """index_of for one ascending array and very many look-ups, about 15 times faster: a table where all ids are below 2^28."""

    def __init__(self, ids: Int32) -> None:
        self.ids, self.table = ids, None
        if len(ids) and ids[0] >= 0 and ids[-1] < 1 << 28:
            self.table = np.full(ids[-1] + 2, -1, np.int32)
            self.table[ids] = np.arange(len(ids), dtype=np.int32)

    def of(self, wanted: Int32) -> Int32:
        """Positions (int32) of `wanted`; -1 where an id is unknown."""
        if self.table is None:
            return index_of(self.ids, wanted)
        # The last entry of the table belongs to no id and stands for everything out of range.
        inside = (wanted >= 0) & (wanted < len(self.table))
        found: Int32 = self.table[np.where(inside, wanted, len(self.table) - 1)]
        return found
