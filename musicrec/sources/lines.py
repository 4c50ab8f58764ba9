"""Files of lines in blocks of numbered rows, plain or .gz, with what is broken in them found and told by number."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from musicrec.errors import SourceError

MOST_BAD = 0.001
_BLOCK_BYTES, _SHOWN, _SHOWN_LENGTH = 16 << 20, 3, 60


def files_of(folder: Path, pattern: str) -> list[Path]:
    """Files below `folder` that match `pattern` or `pattern`.gz, sorted. Raises SourceError when there is none."""
    if not folder.is_dir():
        raise SourceError(f"{folder} does not exist; set [data] folder to where the logs lie.")
    found = sorted({*folder.rglob(pattern), *folder.rglob(f"{pattern}.gz")})
    if not found:
        raise SourceError(f"{folder} holds no file {pattern} or {pattern}.gz; check [data] folder and the section of this source.")
    return found


def blocks(path: Path) -> Iterator[pa.Table]:
    """Tables (number int64 from 1, line text) of the lines of a file, about 16 MB each, blank lines left out.

    A line that is not UTF-8 is null. Raises SourceError for a file that cannot be read, or a .gz that is no gzip or cut off.
    """
    number, rest = 1, b""
    with opened(path) as file:
        while True:
            try:
                block = file.read(_BLOCK_BYTES)
            except (EOFError, OSError, zlib.error) as cause:
                raise SourceError(f"{path} is damaged or cut off ({cause}); fetch it again.") from cause
            *lines, rest = (rest + block).split(b"\n") if block else [rest, b""]
            yield _numbered(lines, number)
            number += len(lines)
            if not block:
                return


def opened(path: Path) -> BinaryIO:
    """The bytes of a file, unpacked when its name ends in .gz."""
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


class Tally:
    """Counts lines and bad lines, remembers the first bad ones, and refuses more than one bad line in a thousand."""

    def __init__(self) -> None:
        self.total = self.bad = 0
        self.shown: list[str] = []

    def add(self, path: Path, total: int, bad: list[tuple[int, str | None]]) -> None:
        """Count a block of `total` lines of which those in `bad` (number, text or None where it is not UTF-8) are unreadable."""
        self.total += total
        self.bad += len(bad)
        for number, text in bad[: _SHOWN - len(self.shown)]:
            self.shown.append(f"{path.name} line {number}: {'not UTF-8' if text is None else repr(text[:_SHOWN_LENGTH])}")

    def report(self) -> tuple[str, ...]:
        """One line for a person when lines were left out; raises SourceError when they are more than 0.1 % of all.

        >>> tally = Tally()
        >>> tally.add(Path("day.json"), 5000, [(7, "oops")])
        >>> tally.report()
        ("1 of 5000 lines left out as unreadable, first: day.json line 7: 'oops'.",)
        """
        if not self.bad:
            return ()
        what = f"{self.bad} of {self.total} lines"
        if self.bad > MOST_BAD * self.total:
            raise SourceError(f"{what} are unreadable, more than {MOST_BAD:.1%}, first: {'; '.join(self.shown)}; "
                              f"repair the logs or choose another [data] source.")
        return (f"{what} left out as unreadable, first: {'; '.join(self.shown)}.",)
