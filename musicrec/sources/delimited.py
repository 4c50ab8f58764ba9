"""Rows of CSV and similar files, read so that no line is lost: a quote that never closes costs its own line at most.

Arrow parses the lines; before that, quotes are counted line by line, and a line after which whole rows follow inside an open quote is
taken literally.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from musicrec.sources.files import Block, LineReader, text_of

# A quoted value may go on over so many lines; an open quote with more lines behind it is taken literally.
_MOST_LINES = 1000
NAMED = {"\\t": "\t", "tab": "\t", "space": " "}


@dataclass(frozen=True)
class Dialect:
    """delimiter: one character, or \\t. quote, escape: one character, or empty for none; a doubled quote stands for one, too."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "delimiter", NAMED.get(self.delimiter, self.delimiter))

    def fields(self, line: str) -> list[str]:
        """The values of one line.

        >>> Dialect().fields('1,"a, b",c')
        ['1', 'a, b', 'c']
        """
        if not self.quote:
            return line.split(self.delimiter)
        return next(csv.reader([line], delimiter=self.delimiter, quotechar=self.quote, escapechar=self.escape or None), [])

    def is_open(self, line: str, inside: bool = False) -> bool:
        """Whether a quoted value goes on behind this line, which begins `inside` one or not; quotes in other places are text.

        >>> Dialect().is_open('1,"a'), Dialect().is_open('b",c', inside=True), Dialect().is_open('12",x')
        (True, False, False)
        """
        at, begins = 0, not inside
        while at < len(line):
            one = line[at]
            at += 1
            if one == self.escape:
                at += 1
            elif inside and one == self.quote:
                inside = line.startswith(self.quote, at)
                at += inside
            elif one == self.quote and begins:
                inside = True
            begins = one == self.delimiter and not inside
        # An escape at the end takes the end of the line with it.
        return inside or at > len(line)

    def literal(self, line: str) -> str:
        """The line with every value quoted, quotes that stand in it being part of the values."""
        quote, escape = self.quote, self.escape
        plain = line.replace(escape, escape * 2) if escape else line
        return self.delimiter.join(f"{quote}{value.replace(quote, quote * 2)}{quote}" for value in plain.split(self.delimiter))


@dataclass
class Rows:
    """Rows as text columns, the line of each, lines that are no rows, and (line, text, what is wrong) of rows that cannot be read."""

    table: pa.Table
    numbers: NDArray[np.int64]
    no_rows: int = 0
    broken: list[tuple[int, str, str]] = field(default_factory=list)


class DelimitedRows:
    """The rows of a CSV file or a similar one. names: its columns, given or from the header; lines, position, digest: see LineReader."""

    def __init__(self, path: Path, dialect: Dialect, names: Sequence[str] = (), encoding: str = "") -> None:
        self.dialect, self._reader = dialect, LineReader(path, encoding)
        blocks = iter(self._reader)
        start, self._no_rows = next(blocks, Block(b"", 1)), 0
        self.names = list(names)
        if not names:
            header, data, self._no_rows = _header(start.data)
            start = Block(data, 1 + self._no_rows)
            self.names = [name.strip() for name in dialect.fields(header)]
        self._blocks = chain([start], blocks)

    @property
    def lines(self) -> int:
        """Lines read so far, in the end all of the file."""
        return self._reader.lines

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        return self._reader.position

    @property
    def digest(self) -> str:
        """The digest of the content."""
        return self._reader.digest

    def rows(self, wanted: list[str]) -> Iterator[Rows]:
        """The columns `wanted` of all rows, block by block."""
        parser, rest = _Parser(self.dialect, self.names, wanted), b""
        for block in self._blocks:
            rows, rest = parser.parse(rest + block.data, block.first - rest.count(b"\n"), is_last=False)
            rows.no_rows, self._no_rows = rows.no_rows + self._no_rows, 0
            yield rows
        if rest:
            yield parser.parse(rest, self.lines - rest.count(b"\n") + 1, is_last=True)[0]


def _header(data: bytes) -> tuple[str, bytes, int]:
    """The first line that is not blank, the lines behind it, and how many lines that leaves out."""
    skipped, line = 0, b""
    while data and not line.strip():
        line, _, data = data.partition(b"\n")
        skipped += 1
    return line.decode("utf-8", "replace"), data, skipped


class _Parser:
    def __init__(self, dialect: Dialect, names: list[str], wanted: list[str]) -> None:
        self.dialect, self.names, self.wanted = dialect, names, wanted

    def parse(self, data: bytes, first: int, is_last: bool) -> tuple[Rows, bytes]:
        """The rows of whole lines, and the bytes of a record at their end that may go on."""
        lines = _Lines(data)
        starts = np.ones(len(lines), np.bool_)
        broken: list[tuple[int, str, str]] = []
        replaced: dict[int, bytes] = {}
        end = len(lines)
        for at in lines.not_utf8():
            broken.append((at, lines.text(at), "is not UTF-8; set encoding"))
            replaced[at] = b""
        after = 0
        for line in map(int, lines.unclear(self.dialect)):
            text = lines.text(line)
            if line < after or line in replaced or not self.dialect.is_open(text):
                continue
            is_escaped = self._ends_escaped(text)
            close = None if is_escaped else self._close(lines, line)
            if close is not None:
                starts[line + 1:close + 1], after = False, close + 1
                continue
            may_go_on = not is_escaped and not is_last and end - line <= _MOST_LINES
            if may_go_on and not any(self._is_row(lines.text(at)) for at in range(line + 1, end)):
                end = line
                break
            replaced[line] = self.dialect.literal(text).encode() if self._is_row(text) else b""
            if not replaced[line]:
                broken.append((line, text, "has a quote that never closes"))
        rest = data[lines.starts[end]:] if end < len(lines) else b""
        broken = [one for one in broken if one[0] < end]
        return self._rows(lines, starts, {line: text for line, text in replaced.items() if line < end}, broken, end, first), rest

    def _close(self, lines: "_Lines", opened: int) -> int | None:
        """The line that closes the quote which `opened` leaves open; None where there is none or rows of their own would be swallowed."""
        is_row = self._is_row(lines.text(opened))
        for at in range(opened + 1, min(opened + _MOST_LINES, len(lines))):
            text = lines.text(at)
            is_open = self.dialect.is_open(text, inside=True)
            if (self._is_row(text) and (is_open or is_row)) or self._ends_escaped(text):
                return None
            if not is_open:
                return at
        return None

    def _ends_escaped(self, line: str) -> bool:
        escape = self.dialect.escape
        return bool(escape) and (len(line) - len(line.rstrip(escape))) % 2 == 1

    def _is_row(self, line: str) -> bool:
        if line.count(self.dialect.delimiter) < len(self.names) - 1:
            return False
        fields = line.split(self.dialect.delimiter) if self.dialect.is_open(line) else self.dialect.fields(line)
        return len(fields) == len(self.names) > 1

    def _rows(self, lines: "_Lines", starts: NDArray[np.bool_], replaced: dict[int, bytes], broken: list[tuple[int, str, str]], end: int,
              first: int) -> Rows:
        blank = (lines.lengths[:end] == 0) & starts[:end]
        data = lines.replaced(replaced, end)
        for at in replaced:
            blank[at] |= not replaced[at]
        numbers = np.flatnonzero(starts[:end] & ~blank)
        no_rows = end - len(numbers) - len(broken)
        invalid: list[int] = []

        def skip(row: Any) -> str:
            nonlocal no_rows
            invalid.append(row.number - 1)
            if not (row.text or "").strip():
                no_rows += 1
                return "skip"
            broken.append((int(numbers[row.number - 1]), row.text or "", f"has {row.actual_columns} values, not {row.expected_columns}"))
            return "skip"

        if not len(numbers):
            table = pa.table({name: pa.array([], pa.string()) for name in self.wanted})
        else:
            table = pc.read_csv(
                pa.BufferReader(data),
                pc.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=self.names),
                pc.ParseOptions(delimiter=self.dialect.delimiter, quote_char=self.dialect.quote or False,
                                escape_char=self.dialect.escape or False, newlines_in_values=True, invalid_row_handler=skip),
                pc.ConvertOptions(check_utf8=False, include_columns=self.wanted, column_types=dict.fromkeys(self.wanted, pa.string())))
        kept = np.delete(numbers, invalid) + first
        return Rows(table, kept, no_rows, [(at + first, text, what) for at, text, what in broken])


class _Lines:
    """Bytes cut into lines."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.bytes = np.frombuffer(data, np.uint8)
        self.ends = np.flatnonzero(self.bytes == 10)
        self.starts = np.concatenate(([0], self.ends[:-1] + 1)) if len(self.ends) else np.empty(0, np.int64)
        self.lengths = self.ends - self.starts

    def __len__(self) -> int:
        return len(self.ends)

    def text(self, at: int) -> str:
        return self.data[self.starts[at]:self.ends[at]].decode("utf-8", "replace")

    def unclear(self, dialect: Dialect) -> NDArray[np.int64]:
        """The lines in which quotes do not simply open and close values by turns."""
        found = [np.flatnonzero(self.bytes == ord(one)) for one in dialect.quote + dialect.escape]
        quotes = np.concatenate([np.empty(0, np.int64), *found])
        line = np.searchsorted(self.ends, quotes)
        if dialect.escape or not len(quotes):
            return np.unique(line)
        borders = [ord(dialect.delimiter), 10]
        opens = (quotes == 0) | np.isin(self.bytes[quotes - 1], borders)
        closes = np.isin(self.bytes[np.minimum(quotes + 1, len(self.bytes) - 1)], borders)
        first = np.flatnonzero(np.diff(line, prepend=-1))
        turn = np.arange(len(quotes)) - np.repeat(first, np.diff(np.append(first, len(quotes))))
        wrong = ~np.where(turn % 2, closes, opens)
        counts = np.diff(np.append(first, len(quotes)))
        return np.unique(np.concatenate((line[wrong], line[first][counts % 2 == 1])))

    def not_utf8(self) -> list[int]:
        if text_of(self.data) is not None:
            return []
        return [at for at in range(len(self)) if text_of(self.data[self.starts[at]:self.ends[at]]) is None]

    def replaced(self, lines: dict[int, bytes], end: int) -> bytes:
        """The bytes of the lines before `end`, some of them replaced."""
        pieces, before = [], 0
        for at in sorted(lines):
            pieces += [self.data[before:self.starts[at]], lines[at]]
            before = int(self.ends[at])
        return b"".join((*pieces, self.data[before:int(self.ends[end - 1]) + 1 if end else 0]))

