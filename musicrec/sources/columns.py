"""Reader of any table of plays, CSV, JSON lines or parquet: the section [sources.columns] says which column is what."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from musicrec.errors import SchemaError, SettingsError
from musicrec.sources.delimited import NAMED, DelimitedRows, Dialect
from musicrec.sources.files import PACKED, found_files
from musicrec.sources.importing import Import
from musicrec.sources.parsing import OF_JSON_LINES, quoted
from musicrec.sources.raw import FIRST_IMPORT, Earlier, Example, RawTables
from musicrec.sources.reading import ParquetRows, TextLines

_JSON = (".json", ".jsonl", ".ndjson")
_FIELDS = {"user": "user", "track": "track", "moment": "started_at", "share": "played_share", "ms": "played_ms", "duration": "duration_ms",
           "feedback": "feedback", "title": "title", "artist": "artist", "album": "album", "genres": "genre"}


@dataclass(frozen=True)
class Columns:
    """Reads all files whose names match `plays` below `folder`: parquet (.parquet), JSON lines (.json, .jsonl, .ndjson), else text with a
    delimiter and a header, any of the texts also compressed.

    Each of user, track, started_at, played_share, played_ms, duration_ms, feedback, title, artist, album and genre names a column (of
    JSON also a path such as track.name) or stays empty; the first three are required. Folders a=b above a file are columns, too. "me" in
    quotes is a constant; {file} is the name of the file without its ending, {folder} that of its folder. Several columns separated by
    commas make a composite key, in which case, surrounding spaces and the form of Unicode do not count; normalize: nor do they in simple
    keys. names: the columns of files without a header. started_at: text, or a number of seconds, milliseconds, microseconds or
    nanoseconds since 1970; date_format: its form, as strptime has it. played_share: 0 to 1; where it is not known, played_ms / duration_ms.
    feedback_values: what the logs say for play, skip, like and dislike, such as 1=like 0=skip. genre: one name, several separated by "|"
    or ";", or a list.
    """

    folder: Path
    plays: str = "*.csv"
    delimiter: str = ","
    quote: str = '"'
    escape: str = "none"
    encoding: str = ""
    names: str = ""
    user: str = "user"
    track: str = "track"
    started_at: str = "timestamp"
    date_format: str = ""
    played_share: str = ""
    played_ms: str = ""
    duration_ms: str = ""
    feedback: str = ""
    feedback_values: str = ""
    title: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""
    normalize: bool = False
    work: Path = Path("work/imported")
    max_bad_share: float = 0.001
    example: ClassVar[Example] = {"plays.csv": """user,track,timestamp
ann,larks-morning,2023-01-24 09:42:00
ann,larks-noon,2023-01-24T09:46:00Z
ben,larks-noon,1674639960
"""}
    # Settings in which quotes have a meaning: they make a constant, or are the character that is meant.
    keeps_quotes: ClassVar[tuple[str, ...]] = (*_FIELDS.values(), "quote", "escape")

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables; every row of the files is a play. Keys that `earlier` has keep their ids.

        Rows that cannot be read are left out and accounted for. Raises SourceError when more than max_bad_share of them are, for a folder
        without logs and for a truncated file, and SchemaError for a missing column.
        """
        with Import(Path(self.folder), Path(self.work), earlier, self.max_bad_share) as logs:
            for path in logs.files(found_files(Path(self.folder), self.plays)):
                self._add(logs, path)
            return logs.tables(connection)

    def _add(self, logs: Import, path: Path) -> None:
        called = {field: getattr(self, setting).strip() for field, setting in _FIELDS.items()}
        moment_of = f"try_strptime(moment, '{quoted(self.date_format)}')::timestamp" if self.date_format else "moment_of(moment)"
        plain = path.with_suffix("") if path.suffix.lower() in PACKED else path
        if plain.suffix.lower() in _JSON:
            lines = TextLines(path, self.encoding)
            fields = self._fields(called, path, None) | OF_JSON_LINES
            logs.add(path, lines, lines.rows(), fields, "(select *, try_cast(line as json) as j from block)", called, moment_of=moment_of)
            return
        is_parquet = plain.suffix.lower() == ".parquet"
        names = [name.strip() for name in self.names.split(",") if name.strip()]
        file = ParquetRows(path) if is_parquet else DelimitedRows(path, self._dialect(), names, self.encoding)
        fields = self._fields(called, path, file.names)
        wanted = [name for name in dict.fromkeys(file.names) if any(f'"{_identifier(name)}"' in text for text in fields.values())]
        if isinstance(file, ParquetRows):
            rows = file.rows(wanted, (called["genres"],))
        else:
            rows = file.rows(wanted)
            if called["genres"]:
                fields["genres"] = f"string_split_regex({fields['genres']}, '[|;]')"
        logs.add(path, file, rows, fields, "block", called, moment_of=moment_of)

    def _dialect(self) -> Dialect:
        for setting in ("delimiter", "quote", "escape"):
            value = getattr(self, setting)
            if len(value) > 1 and value not in (*NAMED, "none"):
                raise SettingsError(f"[sources.columns] {setting} is {value!r}; expected one character (\\t for a tab, none for none).")
        quote, escape = ("" if value == "none" else value for value in (self.quote, self.escape))
        return Dialect(self.delimiter, quote, escape)

    def _fields(self, called: Mapping[str, str], path: Path, names: list[str] | None) -> dict[str, str]:
        """The SQL of each field. names: the columns of the file; None for JSON."""
        constants = dict(part.split("=", 1) for part in path.relative_to(self.folder).parts[:-1] if "=" in part) \
            if path.is_relative_to(self.folder) else {}
        found = {field: self._value(field, name, path, names, constants) for field, name in called.items() if name}
        if self.normalize:
            found |= {field: f"normal({found[field]})" for field in ("user", "track")}
        values = dict(pair.split("=", 1) for pair in self.feedback_values.replace(",", " ").split() if "=" in pair)
        if "feedback" in found and values:
            cases = " ".join(f"when '{quoted(value.lower())}' then '{quoted(meaning)}'" for value, meaning in values.items())
            found["feedback"] = f"case lower(trim({found['feedback']})) {cases} else {found['feedback']} end"
        if names is None and called["genres"]:
            found["genres"] = f"coalesce(try_cast({found['genres']} as varchar[]), string_split_regex({found['genres']}, '[|;]'))"
        return found

    def _value(self, field: str, name: str, path: Path, names: list[str] | None, constants: Mapping[str, str]) -> str:
        if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
            return f"'{quoted(name[1:-1])}'"
        if "{" in name:
            stem = path.name.split(".")[0] if path.suffix.lower() in PACKED else path.stem
            return f"'{quoted(name.replace('{file}', stem).replace('{folder}', path.parent.name))}'"
        if names is not None and name in names:
            return f'"{_identifier(name)}"'
        if name in constants:
            return f"'{quoted(constants[name])}'"
        if "," in name:
            parts = [self._value(field, part.strip(), path, names, constants) for part in name.split(",")]
            return " || chr(9) || ".join(f"normal({part})" for part in parts)
        if names is None:
            return f"json_extract_string(j, '$.{quoted(name)}')"
        raise SchemaError(f"{path} has no column {name!r}, which [sources.columns] names as {_FIELDS[field]}; it has {', '.join(names)}.")


def _identifier(name: str) -> str:
    return name.replace('"', '""')
