"""Download of files, which resumes where an earlier attempt stopped, verifies checksums and unpacks archives."""

import gzip
import hashlib
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from musicrec.datasets.public import RemoteFile
from musicrec.errors import SourceError
from musicrec.progress import progress

_ATTEMPTS, _CHUNK, _TIMEOUT_S = 5, 1 << 16, (10, 30)
_DAMAGED = (pa.ArrowException, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError)


def fetch(folder: Path, files: Iterable[RemoteFile]) -> list[Path]:
    """Paths of `files` in `folder`, downloaded where missing; of an archive those of its members, without the archive.

    A file appears under its name once it has the expected size and checksum and, if parquet, opens. What is not expected in advance is what
    the server says: the size, and the SHA-256 that Hugging Face sends. Until then the bytes are in NAME.part, from which a later call
    resumes. A broken connection is retried up to 5 times in a row without progress.
    Raises SourceError when the server does not answer, refuses, sends something else, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for file in files for path in _whole(folder, file)]
    except OSError as cause:
        raise SourceError(f"{folder} cannot be written: {cause.strerror or cause}; free space or choose another folder.") from cause


def _whole(folder: Path, file: RemoteFile) -> list[Path]:
    path = folder / file.name
    members = [folder / name for name in file.members]
    if members and all(member.is_file() for member in members):
        return members
    if not path.is_file() or file.size not in (None, path.stat().st_size):
        _download(path, file)
    if members:
        _unpack(path, file)
    return members or [path]


def _download(path: Path, file: RemoteFile) -> None:
    partial, left, total, checksum = path.with_name(path.name + ".part"), _ATTEMPTS, file.size, file.checksum
    with progress(title=path.name, total=total, unit="B", unit_scale=True) as bar:
        while (have := _bytes(partial)) < (total or have + 1):
            bar.update(have - bar.n)
            problem, said, published = _download_rest(partial, have, file, bar)
            total, checksum = said or total, checksum or published
            left = _ATTEMPTS if _bytes(partial) > have else left - 1
            if not left:
                raise SourceError(f"{file.url} does not arrive ({problem}); check the network and run the command again: it resumes here.")
    _accept(partial, path, file.url, file.size, checksum)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _download_rest(partial: Path, have: int, file: RemoteFile, bar: Any) -> tuple[str, int | None, str | None]:
    """Append the bytes from `have` on; returns what went wrong if that was not all, and the size and checksum that the server told."""
    total = checksum = None
    try:
        with requests.get(file.url, headers={"Range": f"bytes={have}-", "Accept-Encoding": "identity"}, stream=True,
                          timeout=_TIMEOUT_S) as answer:
            if answer.status_code == 416:
                partial.unlink(missing_ok=True)
                return "it has become shorter", None, None
            if answer.status_code not in (200, 206):
                raise SourceError(f"{file.url} answers {answer.status_code} {answer.reason}; the file may have moved, or try again later.")
            length, resumed = answer.headers.get("Content-Length"), answer.status_code == 206
            if not length and not file.size:
                raise SourceError(f"{file.url} does not say how many bytes it has, so it could arrive incomplete; please report it.")
            total = int(length) + (have if resumed else 0) if length else None
            tags = [reply.headers.get("X-Linked-ETag", "").strip('"') for reply in (*answer.history, answer)]
            checksum = next((f"sha256:{tag}" for tag in tags if re.fullmatch("[0-9a-f]{64}", tag)), None)
            with partial.open("ab" if resumed else "wb") as target:
                for chunk in answer.iter_content(_CHUNK):
                    target.write(chunk)
                    bar.update(len(chunk))
    except requests.RequestException as cause:
        return type(cause).__name__, total, checksum
    return "the response ended early", total, checksum


def _accept(partial: Path, path: Path, what: str, size: int | None, checksum: str | None) -> None:
    """Rename `partial` to `path` if it is what was expected."""
    with _removed_unless_right(partial, what):
        if size not in (None, found := _bytes(partial)):
            raise SourceError(f"{what} has {found} bytes, expected {size}; the file there has changed, please report it.")
        algorithm, _, expected = (checksum or "").partition(":")
        with partial.open("rb") as file:
            if expected and hashlib.file_digest(file, algorithm).hexdigest() != expected:
                raise SourceError(f"{what} does not have the {algorithm.upper()} {expected}; run the command again, or report it.")
        if path.suffix == ".parquet":
            pq.read_metadata(partial)
        partial.replace(path)


def _unpack(path: Path, file: RemoteFile) -> None:
    """Put the needed members beside the archive, whatever folders it names, and remove the archive."""
    missing = set(file.members)
    with _removed_unless_right(path, file.url):
        for name, content in _contents(path):
            if name in missing:
                partial = path.with_name(name + ".part")
                with partial.open("wb") as target:
                    shutil.copyfileobj(content, target, 1 << 20)
                _accept(partial, path.with_name(name), f"{name} in {file.url}", None, file.members[name])
                missing.remove(name)
        if missing:
            raise SourceError(f"{file.url} does not contain {min(missing)}; the file there has changed, please report it.")
    path.unlink()


@contextmanager
def _removed_unless_right(path: Path, what: str) -> Iterator[None]:
    """Remove a file that turns out to be damaged or another one, since nothing can be resumed from it; not one that a full disk cut off."""
    try:
        yield
    except (SourceError, *_DAMAGED) as cause:
        path.unlink()
        if isinstance(cause, SourceError):
            raise
        raise SourceError(f"{what} did not arrive complete; run the command again.") from cause


def _contents(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name without folders, and content, of each regular file of an archive."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as content:
                    yield Path(entry.filename).name, content
    else:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and (extracted := archive.extractfile(member)):
                    yield Path(member.name).name, extracted
