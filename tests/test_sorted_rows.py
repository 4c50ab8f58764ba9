"""Rows of one key from a sorted parquet file, against a filter over all rows."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.page.sorted_rows import SortedRows


@settings(max_examples=60)
@given(keys=st.lists(st.integers(0, 12), max_size=60), group=st.integers(1, 9))
def test_rows_are_those_of_the_key_in_their_order(keys: list[int], group: int) -> None:
    """Whatever the row groups, and for keys that nobody has, before, between and behind the others."""
    table = pa.table({"place": pa.array(range(len(keys)), pa.int32()), "key": pa.array(sorted(keys), pa.int32())})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(table, path, row_group_size=group)
        rows = SortedRows(path, "key")
        for key in range(-1, 14):
            expected = [row for row in table.to_pylist() if row["key"] == key]
            assert rows.of(key).to_pylist() == expected
            assert rows.of(key, "place", "absent").to_pylist() == [{"place": row["place"]} for row in expected]
