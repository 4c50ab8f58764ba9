"""Readers of kinds of files other than CSV: lines of JSON, one JSON array, parquet. Each gives rows of text like `delimited`."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.errors import SourceError
from musicrec.files import parquet_in_parts
from musicrec.sources.delimited import Rows
from musicrec.sources.files import LineReader, text_of

_ROWS = 1 << 17


class TextLines(LineReader):
    """The lines of a file as rows."""

    def rows(self) -> Iterator[Rows]:
        """A table with the column `line` for each block; blank lines are no rows."""
        for block in self:
            texts = block.data.split(b"\n")[:-1]
            places = [at for at, text in enumerate(texts) if text.strip()]
            decoded = [text_of(texts[at]) for at in places]
            kept = [at for at, text in zip(places, decoded) if text is not None]
            broken = [(at + block.first, texts[at].decode("utf-8", "replace"), "is not UTF-8; set encoding")
                      for at, text in zip(places, decoded) if text is None]
            table = pa.table({"line": pa.array([text for text in decoded if text is not None], pa.string())})
            yield Rows(table, np.array(kept, np.int64) + block.first, len(texts) - len(places), broken)


class JsonArray:
    """The objects of a file that is one JSON array, each as a line of JSON; `lines` counts them."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines, self.position, self.digest = path, 0, 0, ""

    def rows(self) -> Iterator[Rows]:
        """A table with the column `line`. Raises SourceError for a file that is not one whole JSON array."""
        reader = LineReader(self.path)
        text = b"".join(block.data for block in reader)
        self.digest, self.position = reader.digest, reader.position
        try:
            objects = json.loads(text)
        except ValueError as cause:
            raise SourceError(f"{self.path} is not a whole JSON array ({cause}); download it again.") from None
        if not isinstance(objects, list):
            raise SourceError(f"{self.path} holds no JSON array; expected [{{...}}, ...].")
        self.lines = len(objects)
        table = pa.table({"line": pa.array([json.dumps(one, ensure_ascii=False) for one in objects], pa.string())})
        yield Rows(table, np.arange(1, len(objects) + 1))


class ParquetRows:
    """The rows of a parquet file, every column as text; `lines` counts them."""

    def __init__(self, path: Path) -> None:
        self.path, self.lines, self.position = path, 0, 0
        if not path.is_file():
            raise SourceError(f"{path} does not exist; set the name of the file.")
        try:
            self.file = parquet_in_parts(path)
        except (pa.ArrowException, OSError) as cause:
            raise self._damaged(cause) from cause
        self.names: list[str] = self.file.schema_arrow.names

    @property
    def digest(self) -> str:
        """The digest of the file."""
        with self.path.open("rb") as content:
            return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    def batches(self, wanted: list[str]) -> Iterator[pa.RecordBatch]:
        """The columns `wanted`, batch by batch. Raises SourceError for a damaged file."""
        size, done = self.path.stat().st_size, 0
        try:
            for batch in self.file.iter_batches(_ROWS, columns=wanted):
                yield batch
                done += batch.num_rows
                self.position = size * done // max(self.file.metadata.num_rows, 1)
        except (pa.ArrowException, OSError) as cause:
            raise self._damaged(cause) from cause

    def rows(self, wanted: list[str], lists: tuple[str, ...] = ()) -> Iterator[Rows]:
        """The columns `wanted` as text, those in `lists` as lists of text."""
        for batch in self.batches(wanted):
            columns = {name: names_in(batch.column(name)) if name in lists else texts_in(batch.column(name)) for name in wanted}
            yield Rows(pa.table(columns), np.arange(self.lines + 1, self.lines + batch.num_rows + 1))
            self.lines += batch.num_rows

    def _damaged(self, cause: Exception) -> SourceError:
        what = " ".join(str(cause).split())[:120]
        return SourceError(f"{self.path} cannot be read to its end ({what}); repair it or download it again.")


def texts_in(column: pa.Array) -> pa.Array:
    """A column of any type as text: whole numbers without a fraction, UUIDs as they are written, of a list or struct its first text."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return texts_in(column.storage)
    if pa.types.is_dictionary(kind):
        return texts_in(column.dictionary_decode())
    if pa.types.is_struct(kind):
        return texts_in(_named_field(column))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pc.binary_join(names_in(column), "|")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([_of_bytes(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_floating(kind) and pc.all(pc.equal(column, pc.trunc(column))).as_py():
        return pc.cast(column, pa.int64(), safe=False).cast(pa.string())
    if pa.types.is_decimal(kind) and kind.scale == 0:
        return pa.array([None if value is None else str(int(value)) for value in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind) and kind.tz:
        return column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit)).cast(pa.string())
    return column.cast(pa.string())


def names_in(column: pa.Array) -> pa.Array:
    """A column of lists, structs or text as lists of text; text is several names where "|" or ";" stand between them."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        column = column.cast(pa.list_(kind.value_type)) if not pa.types.is_list(kind) else column
        flat = texts_in(pc.list_flatten(column))
        offsets = np.concatenate(([0], np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
    return pc.split_pattern_regex(texts_in(column), "[|;]")


def _named_field(column: pa.StructArray) -> pa.Array:
    names = [field.name for field in column.type]
    return column.field("name" if "name" in names else names[0])


def _of_bytes(value: bytes | None) -> str | None:
    if value is None:
        return None
    if len(value) == 16:
        text = value.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
