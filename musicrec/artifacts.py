"""Published runs: what a run holds, how it appears all at once, and how a reader knows that it is whole.

    runs/<run_id>/<file> ...      never changed once written
    runs/<run_id>/manifest.json   written after the files: a run without it does not count
    current.json                  written last: names the run that services load

A reader therefore sees the earlier run or the later one, never half of either, also when publishing is killed.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from musicrec import schema
from musicrec.errors import ArtifactError, StorageError
from musicrec.schema import TableSchema
from musicrec.storage import Storage

FORMAT = 1
MANIFEST = "manifest.json"
CURRENT = "current.json"
REQUIRED: dict[str, TableSchema] = {
    "items.parquet": schema.ITEMS,
    "events.parquet": schema.EVENTS,
    "genres.parquet": schema.GENRES,
    "top_popular.parquet": schema.TOP_POPULAR,
    "similar.parquet": schema.SIMILAR,
    "recommendations.parquet": schema.RECOMMENDATIONS,
}
OPTIONAL: dict[str, TableSchema | None] = {
    "personal_als.parquet": schema.PERSONAL,
    "content_recommendations.parquet": schema.PERSONAL,
    "recommendations_ub.json": None,
    "als_model.npz": None,
    "cb_model.cbm": None,
}


@dataclass(frozen=True)
class File:
    """One published file: size, checksum, and rows where it is a table or JSON lines."""

    bytes: int
    sha256: str
    rows: int | None


@dataclass(frozen=True)
class RunInfo:
    """What the maker of a run tells about it. Values are plain: text, numbers, lists, dictionaries; NaN is stored as null."""

    settings: Mapping[str, Any]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Mapping[str, Any]] = ()
    code_version: str = ""


@dataclass(frozen=True)
class Manifest:
    """One whole run: its id, when it was published (ISO 8601, UTC), what its maker told, and its files."""

    run_id: str
    created_at: str
    info: RunInfo
    files: Mapping[str, File]


def publish(storage: Storage, folder: Path, info: RunInfo, now: datetime | None = None) -> str:
    """Publish the files of `folder` that REQUIRED and OPTIONAL name as a new run, make it the current one, return its id.

    Run ids sort by time of publishing (`now`, UTC). Other files of the folder are left out.
    Raises ArtifactError when a required file is missing or a table lacks a column, before anything is written, and
    StorageError when the storage refuses; then, as with Ctrl-C, the files sent so far are removed and the earlier run stays.
    """
    files = _described(folder)
    moment = now or datetime.now(UTC)
    run_id = f"{moment:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"
    run = Manifest(run_id, moment.isoformat(timespec="seconds"), info, files)
    content = _text({"format": FORMAT, **asdict(run)})
    keys = {name: _key(run_id, name) for name in files}
    try:
        with _bar(f"publish {run_id}", sum(file.bytes for file in files.values())) as bar:
            for name, key in keys.items():
                storage.upload(folder / name, key, bar.update)
        storage.write(_key(run_id, MANIFEST), content)
    except BaseException:
        with suppress(StorageError):
            for key in keys.values():
                storage.delete(key)
        raise
    _point(storage, run_id)
    return run_id


def current(storage: Storage) -> Manifest:
    """The manifest of the run that services load. Raises ArtifactError when nothing is published, or the pointer is damaged."""
    if not storage.exists(CURRENT):
        raise ArtifactError(f"nothing is published at {storage.location}; run `make demo` or `make notebook DATA=<folder>` first.")
    pointer = _parsed(storage, CURRENT)
    if not isinstance(pointer.get("run_id"), str):
        raise ArtifactError(f"{storage.location}/{CURRENT} is damaged: it names no run; publish again or roll back.")
    return manifest(storage, pointer["run_id"])


def manifest(storage: Storage, run_id: str) -> Manifest:
    """The manifest of one run. Raises ArtifactError when the run is unknown, or its manifest damaged or of another format."""
    key = _key(run_id, MANIFEST)
    if not storage.exists(key):
        known = runs(storage)
        raise ArtifactError(f"run {run_id} is not at {storage.location}; there are {', '.join(known) or 'no runs'}.")
    raw = _parsed(storage, key)
    try:
        files = {name: File(**entry) for name, entry in raw["files"].items()}
        return Manifest(raw["run_id"], raw["created_at"], RunInfo(**raw["info"]), files)
    except (KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{storage.location}/{key} is damaged: it lacks what a manifest holds; publish again or roll back.") from None


def runs(storage: Storage) -> list[str]:
    """Ids of all whole runs, the latest last."""
    return sorted(key.split("/")[1] for key in storage.list("runs/") if key.endswith(f"/{MANIFEST}"))


def rollback(storage: Storage, run_id: str) -> None:
    """Make an earlier (or later) run the current one. Raises ArtifactError when it is unknown or lacks a file."""
    run = manifest(storage, run_id)
    there = set(storage.list(_key(run_id, "")))
    gone = [name for name in run.files if _key(run_id, name) not in there]
    if gone:
        raise ArtifactError(f"run {run_id} at {storage.location} lacks {', '.join(gone)}; choose another of {', '.join(runs(storage))}.")
    _point(storage, run_id)


def fetch(storage: Storage, run_id: str | None, names: Iterable[str], into: Path) -> Path:
    """The folder that holds the files `names` of a run (None: the current one), each checked against the manifest.

    A storage that is a folder of this machine is read in place, others are copied to `into`/<run_id>. A file checked once is
    not read again while its size and time of change stay: a second call costs milliseconds.
    Raises ArtifactError for a file that the run lacks or whose bytes differ; StorageError when the storage refuses.
    """
    run = current(storage) if run_id is None else manifest(storage, run_id)
    names = list(names)
    for name in names:
        if name not in run.files:
            raise ArtifactError(f"run {run.run_id} at {storage.location} holds no {name}; it holds {', '.join(run.files)}.")
    cache = into / run.run_id
    for name in names:
        _fetch_one(storage, run, name, cache)
    own = storage.file(_key(run.run_id, MANIFEST))
    return own.parent if own else cache


def _fetch_one(storage: Storage, run: Manifest, name: str, cache: Path) -> None:
    key, wanted, seal = _key(run.run_id, name), run.files[name], cache / f"{name}.verified"
    local = storage.file(key) or cache / name
    if not local.exists():
        if not storage.exists(key):
            raise ArtifactError(f"{storage.location}/{key} is missing; publish again or roll back to another run.")
        with _bar(f"fetch {name}", wanted.bytes) as bar:
            storage.download(key, local, bar.update)
    if seal.exists() and seal.read_text() == _seal(local, wanted):
        return
    if local.stat().st_size != wanted.bytes or _sha256(local) != wanted.sha256:
        if storage.file(key) is None:
            local.unlink()  # so that the next start fetches it again
        raise ArtifactError(f"{storage.location}/{key} is damaged: its bytes are not those published; publish again or roll back.")
    with suppress(OSError):  # a seal only saves the next start some time
        cache.mkdir(parents=True, exist_ok=True)
        half = seal.with_name(f"{seal.name}.{uuid.uuid4().hex[:8]}.part")
        half.write_text(_seal(local, wanted))
        half.replace(seal)


def _seal(path: Path, wanted: File) -> str:
    facts = path.stat()
    return f"{facts.st_size} {facts.st_mtime_ns} {wanted.sha256}"


def _described(folder: Path) -> dict[str, File]:
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(f"{folder} lacks {', '.join(missing)}; a run is published whole or not at all.")
    schemas: dict[str, TableSchema | None] = {**REQUIRED, **OPTIONAL}
    return {name: _file(folder / name, columns) for name, columns in schemas.items() if (folder / name).is_file()}


def _file(path: Path, columns: TableSchema | None) -> File:
    rows = None
    if columns is not None:
        try:
            table = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as cause:
            raise ArtifactError(f"{path} is not a whole parquet file: {' '.join(str(cause).split())}.") from None
        with table:
            schema.check(table.schema_arrow, columns, str(path))
            rows = table.metadata.num_rows
    elif path.suffix == ".json":
        with path.open("rb") as lines:
            rows = sum(1 for _ in lines)
    return File(path.stat().st_size, _sha256(path), rows)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _bar(what: str, total: int) -> tqdm:
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None)


def _key(run_id: str, name: str) -> str:
    return f"runs/{run_id}/{name}"


def _point(storage: Storage, run_id: str) -> None:
    storage.write(CURRENT, _text({"format": FORMAT, "run_id": run_id}))


def _parsed(storage: Storage, key: str) -> dict[str, Any]:
    try:
        raw = json.loads(storage.read(key))
    except ValueError:
        raise ArtifactError(f"{storage.location}/{key} is damaged: it is not JSON; publish again or roll back.") from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else None
        raise ArtifactError(f"{storage.location}/{key} is of format {found}, this version reads format {FORMAT}; "
                            "publish again, or use the version that wrote it.")
    return raw


def _text(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
