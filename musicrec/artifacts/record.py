"""The manifest of a run and the pointer to the current one: what they hold, and how they are read and written."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from musicrec.errors import ArtifactError
from musicrec.storage import Storage

FORMAT = 1
MANIFEST = "manifest.json"
CURRENT = "current.json"


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
    place = key(run_id, MANIFEST)
    if not storage.exists(place):
        known = runs(storage)
        raise ArtifactError(f"run {run_id} is not at {storage.location}; there are {', '.join(known) or 'no runs'}.")
    raw = _parsed(storage, place)
    if raw.get("run_id") != run_id:
        raise ArtifactError(f"{storage.location}/{place} is damaged: it is not the manifest of run {run_id}; publish again or roll back.")
    try:
        files = {name: File(**entry) for name, entry in raw["files"].items()}
        return Manifest(raw["run_id"], raw["created_at"], RunInfo(**raw["info"]), files)
    except (KeyError, TypeError, AttributeError):
        raise ArtifactError(f"{storage.location}/{place} is damaged: it lacks what a manifest holds; publish again or roll back.") from None


def runs(storage: Storage) -> list[str]:
    """Ids of all runs with a manifest, the latest last."""
    return _ids(storage.list("runs/"))


def whole_runs(storage: Storage) -> list[Manifest]:
    """All runs whose manifest can be read and whose files are all there, the latest last."""
    keys = set(storage.list("runs/"))
    found = []
    for run_id in _ids(keys):
        with suppress(ArtifactError):
            run = manifest(storage, run_id)
            if all(key(run_id, name) in keys for name in run.files):
                found.append(run)
    return found


def _ids(keys: Iterable[str]) -> list[str]:
    """Run ids of the manifests among `keys`, ascending."""
    parts = (place.split("/") for place in keys)
    return sorted(found[1] for found in parts if len(found) == 3 and found[2] == MANIFEST)


def key(run_id: str, name: str) -> str:
    """The key under which a run keeps file `name`."""
    return f"runs/{run_id}/{name}"


def write_manifest(storage: Storage, run: Manifest) -> None:
    """Write the manifest, after which the run counts as whole."""
    storage.write(key(run.run_id, MANIFEST), _text({"format": FORMAT, **asdict(run)}))


def write_pointer(storage: Storage, run_id: str) -> None:
    """Make `run_id` the current run."""
    storage.write(CURRENT, _text({"format": FORMAT, "run_id": run_id}))


def _parsed(storage: Storage, place: str) -> dict[str, Any]:
    try:
        raw = json.loads(storage.read(place))
    except ValueError:
        raise ArtifactError(f"{storage.location}/{place} is damaged: it is not JSON; publish again or roll back.") from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        found = raw.get("format") if isinstance(raw, dict) else None
        raise ArtifactError(f"{storage.location}/{place} is of format {found}, this version reads format {FORMAT}; "
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
