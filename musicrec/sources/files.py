"""The files of a folder of logs, and their bytes: decompressed by what they hold, as UTF-8, in blocks of whole lines."""

import bz2
import codecs
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from musicrec.errors import SourceError

BLOCK_BYTES = 64 << 20
_LONGEST_LINE = 256 << 20
PACKED = (".gz", ".bz2", ".xz", ".zst")
_OPENERS: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda packed: pa.CompressedInputStream(pa.PythonFile(packed), "zstd"),
}
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
         codecs.BOM_UTF16_BE: "utf-16"}


@dataclass
class FoundFiles:
    """The files to read, sorted, and the ones passed over with the reason."""

    files: list[Path] = field(default_factory=list)
    passed_over: dict[str, str] = field(default_factory=dict)


def found_files(folder: Path, patterns: str) -> FoundFiles:
    """Files below `folder` whose names match one of the comma-separated `patterns`, also when compressed (.gz, .bz2, .xz, .zst).

    Case does not matter. Links are followed; a file that two paths lead to is read once. Hidden files and those in __MACOSX are passed
    over. `folder` may also be one file. Raises SourceError when nothing matches.
    """
    if folder.is_file():
        return FoundFiles([folder])
    if not folder.is_dir():
        raise SourceError(f"{folder} does not exist; set [data] folder to the folder of the logs.")
    wanted, found, real = [one.strip().lower() for one in patterns.split(",")], FoundFiles(), set()
    for path in _walked(folder):
        name = path.name.lower()
        plain = name.removesuffix(path.suffix.lower()) if path.suffix.lower() in PACKED else name
        # Finder of macOS leaves a hidden ._name beside a file.
        if not any(fnmatch(one, pattern) for one in (name, plain, plain.removeprefix("._")) for pattern in wanted):
            continue
        shown = str(path.relative_to(folder))
        if any(part.startswith(".") or part == "__MACOSX" for part in path.relative_to(folder).parts):
            found.passed_over[shown] = "hidden"
        elif path.resolve() in real:
            found.passed_over[shown] = "links to a file that is read already"
        else:
            real.add(path.resolve())
            found.files.append(path)
    if not found.files:
        raise SourceError(f"{folder} contains no file {patterns}; check [data] folder and the section of this source.")
    return found


def _walked(folder: Path) -> Iterator[Path]:
    inside = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in inside:
            folders.clear()
            continue
        inside.add(real)
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


@dataclass
class Block:
    """Whole lines of a file: their bytes in UTF-8 without carriage returns, and the number of the first."""

    data: bytes
    first: int


class LineReader:
    """The lines of a file in blocks of about 64 MB, decompressed and as UTF-8 whatever the encoding of the file.

    encoding: as Python calls it; empty: by the byte order mark, else UTF-8. When all blocks were read, `lines` is the number of lines and
    `digest` that of the content.
    """

    def __init__(self, path: Path, encoding: str = "") -> None:
        self.path, self.encoding, self.lines, self.position = path, encoding, 0, 0
        self._digest = hashlib.blake2b(digest_size=16)

    @property
    def digest(self) -> str:
        """The digest of the lines that were read."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Block]:
        rest: list[bytes] = []
        for piece in self._pieces():
            end = piece.rfind(b"\n") + 1
            if not end:
                rest.append(piece)
                if sum(map(len, rest)) > _LONGEST_LINE:
                    raise SourceError(f"{self.path} line {self.lines + 1} is longer than {_LONGEST_LINE >> 20} MB; it is no log.")
                continue
            yield self._block(b"".join((*rest, memoryview(piece)[:end])))
            rest = [piece[end:]]
        if last := b"".join(rest):
            yield self._block(last + b"\n")

    def _block(self, data: bytes) -> Block:
        self._digest.update(data)
        block = Block(data, self.lines + 1)
        self.lines += data.count(b"\n")
        return block

    def _pieces(self) -> Iterator[bytes]:
        """The content in UTF-8; line ends of Windows and of old Macs become newlines, other carriage returns spaces."""
        old_mac, held = False, b""
        for number, piece in enumerate(self._decoded()):
            piece, held = held + piece, b""
            if piece.endswith(b"\r"):
                piece, held = piece[:-1], b"\r"
            if b"\r" in piece:
                if number == 0:
                    old_mac = b"\n" not in piece
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n" if old_mac else b" ")
            yield piece

    def _decoded(self) -> Iterator[bytes]:
        with self._raw() as packed, opened(self.path, packed) as file:
            self._packed = packed
            piece = self._read(file)
            mark = next((mark for mark in _BOMS if piece.startswith(mark)), b"")
            encoding = self.encoding or _BOMS.get(mark, "utf-8")
            try:
                codec = codecs.lookup(encoding)
            except LookupError:
                raise SourceError(f"encoding {encoding!r} does not exist; name one that Python knows, such as latin-1 or utf-16.") from None
            if codec.name == "utf-8":
                yield piece.removeprefix(codecs.BOM_UTF8)
                while piece := self._read(file):
                    yield piece
                return
            decoder = codec.incrementaldecoder()
            try:
                while piece:
                    yield decoder.decode(piece).removeprefix("\ufeff").encode()
                    piece = self._read(file)
                yield decoder.decode(b"", final=True).encode()
            except UnicodeError as cause:
                raise SourceError(f"{self.path} line {self.lines + 1} or later is not {encoding} ({cause.args[-1]}); set encoding in the "
                                  "section of this source.") from None

    def _raw(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as cause:
            raise SourceError(f"{self.path} cannot be read ({cause.strerror}); check who may read it.") from None

    def _read(self, file: Any) -> bytes:
        try:
            piece = bytes(file.read(BLOCK_BYTES))
            self.position = self._packed.tell()
            return piece
        except (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException) as cause:
            what = " ".join(str(cause).split())[:120]
            raise SourceError(f"{self.path} is damaged or truncated after line {self.lines:,} ({what}); download it again.") from cause


def text_of(line: bytes) -> str | None:
    """A line as text, None where it is not UTF-8."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def opened(path: Path, packed: BinaryIO) -> Any:
    """The content of the open file `packed`, decompressed where it is gzip, bzip2, xz or zstandard, whatever its name says."""
    start = packed.read(6)
    packed.seek(0)
    if start.startswith(b"PK\x03\x04"):
        raise SourceError(f"{path} is a zip archive; unpack it first.")
    if start.startswith(b"PAR1"):
        raise SourceError(f"{path} is a parquet file, but its name does not end in .parquet; rename it.")
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    return opener(packed) if opener else packed
