"""Download of the three Yandex Music files, which resumes where an earlier attempt stopped."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests

from musicrec.errors import SourceError
from musicrec.progress import progress

ADDRESS = "https://storage.yandexcloud.net/mle-data/ym"
SIZES = {"tracks.parquet": 18_938_128, "catalog_names.parquet": 36_146_495, "interactions.parquet": 1_208_078_471}
_ATTEMPTS, _CHUNK, _TIMEOUT_S = 5, 1 << 16, 30


def fetch(folder: Path, address: str = ADDRESS, sizes: dict[str, int] | None = None) -> list[Path]:
    """Paths of the files of `sizes` (name -> bytes; default: the three Yandex Music files) in `folder`, downloaded where missing.

    A file appears under its name once it has the expected size and opens as parquet. Until then its bytes are in NAME.part, from which
    a later call resumes. A broken connection is retried up to 5 times in a row without progress.
    Raises SourceError when the server does not answer, refuses, sends another size, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_whole(folder / name, f"{address}/{name}", size) for name, size in (sizes or SIZES).items()]
    except OSError as cause:
        raise SourceError(f"{folder} cannot be written: {cause.strerror or cause}; free space or choose another folder.") from cause


def _whole(path: Path, url: str, size: int) -> Path:
    if path.is_file() and path.stat().st_size == size:
        return path
    partial, left = path.with_name(path.name + ".part"), _ATTEMPTS
    with progress(title=path.name, total=size, unit="B") as bar:
        while (have := partial.stat().st_size if partial.is_file() else 0) < size:
            bar.update(have - bar.n)
            problem = _download_rest(partial, have, url, bar)
            left = _ATTEMPTS if partial.is_file() and partial.stat().st_size > have else left - 1
            if problem and not left:
                raise SourceError(f"{url} cannot be downloaded ({problem}); check the network and run the command again: it resumes here.")
    _accept(partial, path, url, size)
    return path


def _download_rest(partial: Path, have: int, url: str, bar: Any) -> str | None:
    """Append the bytes from `have` on; returns what went wrong, or None."""
    try:
        with requests.get(url, headers={"Range": f"bytes={have}-"}, stream=True, timeout=_TIMEOUT_S) as answer:
            if answer.status_code not in (200, 206):
                raise SourceError(f"{url} answers {answer.status_code} {answer.reason}; the file may have moved.")
            with partial.open("ab" if answer.status_code == 206 else "wb") as file:
                for chunk in answer.iter_content(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
    except requests.RequestException as cause:
        return type(cause).__name__
    return "the response ended early"


def _accept(partial: Path, path: Path, url: str, size: int) -> None:
    found = partial.stat().st_size
    try:
        if found != size:
            raise SourceError(f"{url} sent {found} bytes, expected {size}; the file there has changed, please report it.")
        pq.read_metadata(partial)
    except pa.ArrowException as cause:
        partial.unlink()
        raise SourceError(f"{url} did not arrive as a complete parquet file; run the command again.") from cause
    except SourceError:
        partial.unlink()
        raise
    partial.replace(path)
