"""The account of an import: what was found, what was read, and what was left out and why, with an example of each reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musicrec.errors import SourceError

_LENGTH = 60
_FILES_IN_RECORD = 100
# Why plays of [data] excluded are left out.
OF_EXCLUDED_USER = "the user was deleted"


def shown(value: str | None) -> str:
    """A value of a log for a message: quoted, control characters escaped, cut after 60 characters.

    >>> shown("a\\nb"), shown(None)
    ("'a\\\\nb'", 'empty')
    """
    if value is None:
        return "empty"
    text = value[:_LENGTH].encode("unicode_escape").decode() if not value[:_LENGTH].isprintable() else value[:_LENGTH]
    return f"'{text}'"


@dataclass
class FileCount:
    """What one file holds: bytes on disk, lines (of a parquet file: rows), and rows that were read."""

    name: str
    bytes: int
    lines: int = 0
    rows: int = 0


@dataclass
class LeftOut:
    """Rows that were left out for one reason; they count against max_bad_share unless they were no plays to begin with."""

    rows: int
    example: str
    is_bad: bool = True


@dataclass
class Account:
    """The account of an import, filled while files are read.

    left_out: by reason. passed_over: hidden files and copies that were not read. repeats: rows of the same user, track and moment as
    another. blank, continued, headers: lines that are no rows of their own, so that all lines are accounted for.
    """

    files: list[FileCount] = field(default_factory=list)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    repeats: int = 0
    no_rows: int = 0

    @property
    def rows(self) -> int:
        """Rows that were read, repeats included."""
        return sum(file.rows for file in self.files)

    @property
    def bad(self) -> int:
        """Rows that were left out and should have been plays."""
        return sum(one.rows for one in self.left_out.values() if one.is_bad)

    def leave_out(self, reason: str, rows: int, example: str, is_bad: bool = True) -> None:
        """Count rows that are left out. example: file, line and value of the first one."""
        known = self.left_out.setdefault(reason, LeftOut(0, example, is_bad))
        known.rows += rows

    def take_back(self, left_out: Mapping[str, int]) -> int:
        """Count as left out only `left_out`, the rows by reason of an earlier moment; returns how many more there were."""
        more = sum(one.rows for one in self.left_out.values()) - sum(left_out.values())
        self.left_out = {reason: LeftOut(left_out[reason], one.example, one.is_bad) for reason, one in self.left_out.items()
                         if reason in left_out}
        return more

    def check(self, max_bad_share: float) -> None:
        """Raise SourceError when lines were lost or too many rows were left out, or when nothing was read at all."""
        lost = sum(file.lines for file in self.files) - self.rows - self.no_rows - sum(one.rows for one in self.left_out.values())
        if lost:
            self.leave_out("lines that no row accounts for", abs(lost), "the counts of lines and rows differ")
        if self.bad > max_bad_share * (self.rows + self.bad):
            reasons = "; ".join(f"{one.rows:,} x {reason}, first {one.example}" for reason, one in self._bad_first())
            raise SourceError(f"{self.bad:,} of {self.rows + self.bad:,} rows are unreadable, more than [data] max_bad_share "
                              f"{max_bad_share:.3%}: {reasons}; repair the logs, check the section of this source, or raise max_bad_share.")
        if not self.rows:
            raise SourceError("the logs contain no plays; set [data] folder to logs with plays.")

    def sentences(self) -> tuple[str, ...]:
        """The account for a person, one sentence a line.

        >>> account = Account([FileCount("day.json", 120_000, 5000, 4999)])
        >>> account.leave_out("column 'time' is not a time", 1, "day.json line 7: 'oops'")
        >>> account.sentences()  # doctest: +NORMALIZE_WHITESPACE
        ('4,999 plays were read from 1 file with 5,000 lines (0.1 MB).',
         "1 row left out: column 'time' is not a time, first day.json line 7: 'oops'.")
        """
        lines, size = sum(file.lines for file in self.files), sum(file.bytes for file in self.files)
        found = [f"{self.rows:,} plays were read from {_number(len(self.files), 'file')} with {lines:,} lines ({size / 1e6:,.1f} MB)."]
        found += [f"{_number(one.rows, 'row')} left out: {reason}, first {one.example}." for reason, one in self._bad_first()]
        if self.repeats:
            found.append(f"{_number(self.repeats, 'exact repeat')} of user, track and moment dropped.")
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.passed_over.items():
            by_reason.setdefault(reason, []).append(name)
        found += [f"Passed over {_number(len(names), 'file')}, {reason}: {', '.join(names[:3])}{', ...' * (len(names) > 3)}."
                  for reason, names in by_reason.items()]
        return tuple(found)

    def record(self) -> dict[str, Any]:
        """The account for the manifest; of many files the first 100 by name, and totals of all."""
        return {"sentences": list(self.sentences()),
                "files": [vars(file) for file in self.files[:_FILES_IN_RECORD]], "n_files": len(self.files),
                "bytes": sum(file.bytes for file in self.files), "lines": sum(file.lines for file in self.files), "rows": self.rows,
                "left_out": {reason: {"rows": one.rows, "example": one.example} for reason, one in self.left_out.items()},
                "repeats": self.repeats, "passed_over": dict(list(self.passed_over.items())[:_FILES_IN_RECORD])}

    def _bad_first(self) -> list[tuple[str, LeftOut]]:
        return sorted(self.left_out.items(), key=lambda one: (not one[1].is_bad, -one[1].rows))


def _number(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def place(path: Path, folder: Path) -> str:
    """The name of a file as messages give it: relative to the folder of the logs."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) and path != folder else path.name
