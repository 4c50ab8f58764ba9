"""Missing columns and columns of the wrong type are named; families of types are compared, not widths."""

import pyarrow as pa
import pytest

from musicrec import schema
from musicrec.errors import SchemaError
from musicrec.schema import Column, TableSchema, check

TABLES = [value for value in vars(schema).values() if isinstance(value, TableSchema)]
WRONG = {"integers": pa.string(), "numbers": pa.string(), "text": pa.int64(), "timestamps": pa.string(),
         "lists of integers": pa.list_(pa.string()), "lists of text": pa.list_(pa.int64())}
FITTING = {"integers": [pa.int8(), pa.uint32(), pa.int64()], "numbers": [pa.float64(), pa.uint8()],
           "text": [pa.large_string(), pa.string()], "timestamps": [pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.date32()],
           "lists of integers": [pa.list_(pa.int16()), pa.large_list(pa.int64()), pa.list_(pa.null())],
           "lists of text": [pa.list_(pa.large_string()), pa.list_(pa.null())]}
COLUMNS = [(table, column) for table in TABLES for column in table.columns]
NAMED = [f"{table.name}.{column.name}" for table, column in COLUMNS]


def with_type(table: TableSchema, column: Column, kind: pa.DataType | None) -> pa.Schema:
    """The Arrow schema of `table` with another type for one column, or without it."""
    kinds = {each.name: kind if each is column else each.type for each in table.columns}
    return pa.schema([(name, kind) for name, kind in kinds.items() if kind is not None])


def family(column: Column) -> str:
    """The family of the column's type."""
    return next(name for name, kinds in FITTING.items() if column.type in kinds or column.type in _WRITTEN[name])


_WRITTEN = {"integers": [pa.int16(), pa.int32()], "numbers": [pa.float32()], "text": [], "timestamps": [pa.timestamp("us")],
            "lists of integers": [pa.list_(pa.int32()), pa.list_(pa.int64())], "lists of text": [pa.list_(pa.string())]}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_as_we_write_it_passes(table: TableSchema) -> None:
    """Each schema accepts itself, with further columns and in another order."""
    check(table.arrow, table, "file")
    check(pa.schema([*reversed(list(table.arrow)), pa.field("further", pa.binary())]), table, "file")


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=NAMED)
def test_a_missing_column_is_named(table: TableSchema, column: Column) -> None:
    """The sentence names file, column, meaning and what is there; an optional column may be absent."""
    rest = with_type(table, column, None)
    if column.optional:
        check(rest, table, "some.parquet")
        return
    with pytest.raises(SchemaError) as told:
        check(rest, table, "some.parquet")
    assert str(told.value).startswith(f"some.parquet has no column {column.name!r} ({column.meaning}); it has ")


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=NAMED)
def test_a_wrong_type_is_named(table: TableSchema, column: Column) -> None:
    """The sentence names file, column, the type found and the family expected."""
    wrong = WRONG[family(column)]
    with pytest.raises(SchemaError) as told:
        check(with_type(table, column, wrong), table, "some.parquet")
    assert str(told.value) == f"some.parquet: column {column.name!r} holds {wrong}, expected {family(column)} such as {column.type}."


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=NAMED)
def test_any_width_of_the_family_passes(table: TableSchema, column: Column) -> None:
    """int16 is accepted for int32, and list<null> where every list is empty."""
    for kind in FITTING[family(column)]:
        check(with_type(table, column, kind), table, "some.parquet")


def test_a_table_is_checked_like_its_schema() -> None:
    """A pyarrow Table may be given instead of a schema; one without columns says `none`."""
    check(pa.table({"rank": [1]}), TableSchema("top", (Column("rank", pa.int32(), "1 is best"),)), "top")
    with pytest.raises(SchemaError, match=r"it has none\."):
        check(pa.table({}), TableSchema("top", (Column("rank", pa.int32(), "1 is best"),)), "top")


def test_every_column_says_what_it_means() -> None:
    """No column without a meaning, no name twice in a table."""
    for table in TABLES:
        assert all(column.meaning for column in table.columns)
        assert len(set(table.names)) == len(table.columns)
