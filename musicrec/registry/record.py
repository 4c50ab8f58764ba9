"""The manifest of a run and the pointer to the current run: their contents, reading and writing."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from musicrec.errors import ArtifactError
from musicrec.storage import SMALL_BYTES, Storage

FORMAT = 1
MANIFEST = "manifest.json"
CURRENT = "current.json"
T = TypeVar("T")


def _run_id(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value) or not value.strip("."):
        raise ValueError("a run id has 1 to 64 letters, digits, dots, dashes and underscores")
    return value


def _moment(value: str) -> str:
    if datetime.fromisoformat(value).tzinfo is None:
        raise ValueError("a date has a time zone")
    return value


RunId = Annotated[str, AfterValidator(_run_id)]
Moment = Annotated[str, AfterValidator(_moment)]
FileName = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]{0,99}/)?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class File:
    """One published file: size, checksum, and rows where it is a table or JSON lines."""

    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    rows: Count | None


@dataclass(frozen=True)
class RunInfo:
    """Information about a run, given by the code that publishes it: text, numbers, lists and dictionaries; NaN is stored as null."""

    settings: Mapping[str, Any]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[Mapping[str, Any]] = ()
    code_version: str = ""
    account: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """One run: its id, the time of publishing (ISO 8601, UTC), information about it, and its files."""

    run_id: RunId
    created_at: Moment
    info: RunInfo
    files: Mapping[FileName, File]


@dataclass(frozen=True)
class Pointer:
    """The pointer to the current run."""

    run_id: RunId


_MANIFEST, _POINTER = TypeAdapter(Manifest), TypeAdapter(Pointer)


def current(storage: Storage) -> Manifest:
    """The manifest of the run that services load. Raises ArtifactError when nothing is published, or the pointer is damaged."""
    if not storage.exists(CURRENT):
        raise ArtifactError(f"nothing is published at {storage.location}; run `make demo` or `make notebook DATA=<folder>` first.")
    return manifest(storage, _read(storage, CURRENT, _POINTER).run_id)


def current_id(storage: Storage) -> str | None:
    """The run id in the pointer; None when nothing is published or the pointer is damaged."""
    try:
        return _read(storage, CURRENT, _POINTER).run_id if storage.exists(CURRENT) else None
    except ArtifactError:
        return None


def manifest(storage: Storage, run_id: str) -> Manifest:
    """The manifest of one run. Raises ArtifactError when the run is unknown, or its manifest damaged or of another format."""
    place = key(run_id, MANIFEST)
    if run_id not in _ids([place]) or not storage.exists(place):
        raise ArtifactError(f"run {run_id[:64]} is not at {storage.location}; there are {', '.join(runs(storage)) or 'no runs'}.")
    run = stored_manifest(storage, place)
    if run.run_id != run_id:
        raise _damaged(storage, place, f"it is the manifest of run {run.run_id}")
    return run


def stored_manifest(storage: Storage, place: str) -> Manifest:
    """The manifest under the key `place`. Raises ArtifactError when it is damaged or of another format."""
    return _read(storage, place, _MANIFEST)


def runs(storage: Storage) -> list[str]:
    """Ids of all runs with a manifest, the latest last."""
    return _ids(storage.list("runs/"))


def complete_runs(storage: Storage, read: dict[str, Manifest] | None = None) -> list[Manifest]:
    """All runs whose manifest can be read and whose files all exist, the latest last. read: manifests that were read before, by run id;
    they never change."""
    keys, read = set(storage.list("runs/")), {} if read is None else read
    found = []
    for run_id in _ids(keys):
        with suppress(ArtifactError):
            run = read[run_id] = read.get(run_id) or manifest(storage, run_id)
            if all(key(run_id, name) in keys for name in run.files):
                found.append(run)
    return found


def key(run_id: str, name: str) -> str:
    """The key under which a run keeps file `name`."""
    return f"runs/{run_id}/{name}"


def manifest_text(run: Manifest) -> bytes:
    """The content of the manifest file of `run`. Raises ArtifactError when it is larger than readers accept."""
    text = _text({"format": FORMAT, **asdict(run)})
    if len(text) > SMALL_BYTES:
        raise ArtifactError(f"the manifest of run {run.run_id} would have {len(text):,} bytes of settings, metrics and findings, "
                            f"more than the limit of {SMALL_BYTES:,}; publish fewer of them.")
    return text


def write_pointer(storage: Storage, run_id: str) -> None:
    """Make `run_id` the current run."""
    storage.write(CURRENT, _text({"format": FORMAT, "run_id": run_id}))


def _ids(keys: Iterable[str]) -> list[str]:
    """Run ids of the manifests among `keys`, ascending."""
    found = []
    for parts in (place.split("/") for place in keys):
        if len(parts) == 3 and parts[2] == MANIFEST:
            with suppress(ValueError):
                found.append(_run_id(parts[1]))
    return sorted(found)


def _read(storage: Storage, place: str, kind: TypeAdapter[T]) -> T:
    try:
        raw = from_json(storage.read(place))
    except ValueError:
        raise _damaged(storage, place, "it is not JSON") from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = str(raw.get("format") if isinstance(raw, dict) else None)[:20]
        raise ArtifactError(f"{storage.location}/{place} is of format {found}, this version reads format {FORMAT}; "
                            "publish again, or use the version that wrote it.")
    try:
        return kind.validate_python(raw)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise _damaged(storage, place, f"it has no valid {where} ({first['msg']})") from None


def _damaged(storage: Storage, place: str, why: str) -> ArtifactError:
    return ArtifactError(f"{storage.location}/{place} is damaged: {why}; publish again or roll back.")


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
