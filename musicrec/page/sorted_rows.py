"""Rows of one key from a parquet file that ascends by it, without looking at the others."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class SortedRows:
    """A file whose rows ascend by the column `key`. Its footer is read once, and then one row group or two for each question."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key, self._metadata = path, key, pq.read_metadata(path)
        self.columns = self._metadata.schema.to_arrow_schema().names
        place = self.columns.index(key)
        groups = map(self._metadata.row_group, range(self._metadata.num_row_groups))
        # Where a table is empty, its one group has no statistics.
        known = [group.column(place).statistics for group in groups if group.num_rows]
        self._first, self._last = (np.array([getattr(one, end) for one in known], np.int64) for end in ("min", "max"))

    def of(self, value: int, *columns: str) -> pa.Table:
        """The rows with this key, in their order: of these columns the ones that the file has, all without a name."""
        wanted = [name for name in columns or self.columns if name in self.columns]
        groups = range(int(self._last.searchsorted(value)), int(self._first.searchsorted(value, side="right")))
        with pq.ParquetFile(self._path, metadata=self._metadata, memory_map=True) as file:
            table = file.read_row_groups(list(groups), list(dict.fromkeys((self._key, *wanted))), use_threads=False)
        keys: Any = table[self._key].to_numpy()
        start, stop = np.searchsorted(keys, [value, value + 1])
        return table.slice(start, stop - start).select(wanted)
