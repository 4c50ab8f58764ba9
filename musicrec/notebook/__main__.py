"""`python -m musicrec.notebook`: execute the notebook on a folder of logs and keep the executed copy beside the artifacts."""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from musicrec import registry, settings
from musicrec.errors import MusicRecError, NotebookError, SourceError
from musicrec.files import replaced
from musicrec.notebook.chapters import with_parameters, write_pictures
from musicrec.notebook.execution import execute
from musicrec.notebook.provenance import provenance
from musicrec.settings import Settings
from musicrec.storage import storage

NOTEBOOK = Path("recommendations.ipynb")
PACKAGE = Path(__file__).resolve().parents[1]
MADE_FROM = "made_from.json"


def asked(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m musicrec.notebook", description="Execute the notebook from first to last cell.",
                                     epilog="Any setting can be changed by a variable, such as MUSICREC_SPLIT_TEST_START=2010-06-01.")
    parser.add_argument("--data", type=Path, help="folder with the logs (default: [data] folder of config.ini)")
    parser.add_argument("--out", type=Path, help="where artifacts, pictures and the executed copy go (default: [artifacts] location)")
    parser.add_argument("--notebook", type=Path, default=NOTEBOOK, help="which notebook (default: %(default)s)")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="another value in the parameters cell")
    parser.add_argument("--reuse", action="store_true", help="do nothing when the current run has the same logs, settings and code")
    found = parser.parse_args(arguments)
    if any("=" not in pair for pair in found.set):
        parser.error("--set takes NAME=VALUE")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one sentence on stderr; 130 after Ctrl-C. The earlier executed copy and the earlier run stay in both cases."""
    try:
        return _run(asked(arguments))
    except MusicRecError as cause:
        print(cause, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped by Ctrl-C; the earlier run and its notebook are untouched.", file=sys.stderr)
        return 130


def _run(request: argparse.Namespace) -> int:
    environ = _environ(request)
    configured = settings.load(environ=environ)
    out = request.out or _folder_beside(configured)
    notebook = with_parameters(_read(request.notebook), dict(pair.split("=", 1) for pair in request.set))
    if not configured.data.folder.is_dir():
        raise SourceError(f"{configured.data.folder} is not a folder; name the folder with the logs, or run `make sample`.")
    made_from = provenance(configured, notebook, PACKAGE)
    if request.reuse and _is_current(configured, out, made_from):
        print(f"Nothing to do: the current run was made from the same logs, settings and code; see {out / request.notebook.name}.")
        return 0
    began = time.monotonic()
    print(f"Executing {request.notebook} on {configured.data.folder}; one line a chapter.")
    out.mkdir(parents=True, exist_ok=True)
    failed = out / f"{request.notebook.stem}.failed.ipynb"
    try:
        execute(notebook, request.notebook.name, Path.cwd(), environ)
    except NotebookError as cause:
        _write(notebook, failed)
        raise NotebookError(f"{cause} The cells up to there are in {failed}.") from None
    failed.unlink(missing_ok=True)
    _write(notebook, out / request.notebook.name)
    pictures = write_pictures(notebook, out / "pictures")
    _remember(configured, out, made_from)
    print(f"Done in {time.monotonic() - began:.0f} s: {out / request.notebook.name}, {len(pictures)} pictures in {out / 'pictures'}.")
    return 0


def _environ(request: argparse.Namespace) -> dict[str, str]:
    chosen = {"MUSICREC_DATA_FOLDER": request.data, "MUSICREC_ARTIFACTS_LOCATION": request.out}
    return {**os.environ, **{name: str(value) for name, value in chosen.items() if value is not None}}


def _folder_beside(configured: Settings) -> Path:
    location = configured.artifacts.location
    return configured.data.work_folder if "://" in location else Path(location)


def _read(path: Path) -> Any:
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist; run from the project folder.") from None
    except nbformat.reader.NotJSONError:
        raise SourceError(f"{path} is not a notebook.") from None


def _write(notebook: Any, path: Path) -> None:
    with replaced(path) as half:
        nbformat.write(notebook, half)


def _current_run(configured: Settings) -> str | None:
    with contextlib.suppress(MusicRecError):
        return registry.current(storage(configured.artifacts.location, settings.s3_environment(configured.path))).run_id
    return None


def _is_current(configured: Settings, out: Path, made_from: str) -> bool:
    try:
        known: Mapping[str, str] = json.loads((out / MADE_FROM).read_text())
    except (OSError, ValueError):
        return False
    return known.get("made_from") == made_from and known.get("run_id") is not None and known["run_id"] == _current_run(configured)


def _remember(configured: Settings, out: Path, made_from: str) -> None:
    (out / MADE_FROM).write_text(json.dumps({"run_id": _current_run(configured), "made_from": made_from}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
