"""Text files, plain or .gz, read in blocks of numbered lines, and counts of unreadable lines."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from musicrec.errors import SourceError

MAX_UNREADABLE_SHARE = 0.001
_BLOCK_BYTES, _EXAMPLES, _EXAMPLE_LENGTH = 16 << 20, 3, 60


def files_of(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder` that match `pattern` or `pattern`.gz, sorted. Raises SourceError when there is none."""
    if not folder.is_dir():
        raise SourceError(f"{folder} does not exist; set [data] folder to the folder of the logs.")
    found = sorted({*folder.rglob(pattern), *folder.rglob(f"{pattern}.gz")})
    if not found:
        raise SourceError(f"{folder} contains no file {pattern} or {pattern}.gz; check [data] folder and the section of this source.")
    return found


def blocks(path: Path) -> Iterator[pa.Table]:
    """The lines of a file as tables of about 16 MB: number (int64, from 1) and line (text, null where it is not UTF-8).

    Blank lines are left out. Raises SourceError for a file that cannot be read and for a .gz file that is not gzip or is truncated.
    """
    number, rest = 1, b""
    with opened(path) as file:
        while True:
            try:
                block = file.read(_BLOCK_BYTES)
            except (EOFError, OSError, zlib.error) as cause:
                raise SourceError(f"{path} is damaged or truncated ({cause}); download it again.") from cause
            *lines, rest = (rest + block).split(b"\n") if block else [rest, b""]
            yield _numbered(lines, number)
            number += len(lines)
            if not block:
                return


def opened(path: Path) -> BinaryIO:
    """The bytes of a file, decompressed when its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _numbered(lines: list[bytes], first: int) -> pa.Table:
    kept = [(first + place, line) for place, line in enumerate(lines) if line.strip()]
    texts = [_text(line) for _, line in kept]
    return pa.table({"number": pa.array([number for number, _ in kept], pa.int64()), "line": pa.array(texts, pa.string())})


def _text(line: bytes) -> str | None:
    try:
        return line.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError:
        return None


class LineCounts:
    """The number of lines and of unreadable lines, with the first unreadable lines as examples."""

    def __init__(self) -> None:
        self.total = self.unreadable = 0
        self.examples: list[str] = []

    def add(self, path: Path, total: int, unreadable: list[tuple[int, str | None]]) -> None:
        """Count a block of `total` lines. unreadable: (number, text) of each unreadable line, text None where it is not UTF-8."""
        self.total += total
        self.unreadable += len(unreadable)
        for number, text in unreadable[: _EXAMPLES - len(self.examples)]:
            self.examples.append(f"{path.name} line {number}: {'not UTF-8' if text is None else repr(text[:_EXAMPLE_LENGTH])}")

    def report(self) -> tuple[str, ...]:
        """One sentence where lines were left out, else nothing. Raises SourceError when more than 0.1 % of the lines are unreadable.

        >>> counts = LineCounts()
        >>> counts.add(Path("day.json"), 5000, [(7, "oops")])
        >>> counts.report()
        ("1 of 5000 lines left out as unreadable, first: day.json line 7: 'oops'.",)
        """
        if not self.unreadable:
            return ()
        what = f"{self.unreadable} of {self.total} lines"
        if self.unreadable > MAX_UNREADABLE_SHARE * self.total:
            raise SourceError(f"{what} are unreadable, more than {MAX_UNREADABLE_SHARE:.1%}, first: {'; '.join(self.examples)}; "
                              f"repair the logs or choose another [data] source.")
        return (f"{what} left out as unreadable, first: {'; '.join(self.examples)}.",)
