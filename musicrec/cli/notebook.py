"""`musicrec notebook`: execute the notebook on a folder of logs and keep the executed copy beside the artifacts."""

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from musicrec.cli.options import Data, Out, environment, loaded, published_at
from musicrec.cli.stopping import stoppable
from musicrec.errors import MusicRecError, NotebookError, SourceError
from musicrec.project import shipped

if TYPE_CHECKING:
    from musicrec.settings import Settings

NOTEBOOK = Path("recommendations.ipynb")
PACKAGE = Path(__file__).resolve().parents[1]
MADE_FROM = "made_from.json"


def notebook(data: Data = None, out: Out = None,
             path: Annotated[Path | None, typer.Option("--notebook", help="Which notebook. [default: recommendations.ipynb]")] = None,
             parameters: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE",
                                                                  help="Another value in the parameters cell.")] = None,
             reuse: Annotated[bool, typer.Option("--reuse", help="Do nothing when the current run has the same logs, settings and code.",
                                                 )] = False) -> None:
    """Execute the notebook from first to last cell; the executed copy and its plots go beside the artifacts.

    \b
    musicrec notebook --data data/sample
    musicrec notebook --data data/my_logs --out artifacts/mine --set shown=5
    """
    if any("=" not in pair for pair in parameters or []):
        raise typer.BadParameter("--set takes NAME=VALUE")
    values = dict(pair.split("=", 1) for pair in parameters or [])
    with stoppable("the earlier run and its notebook are untouched."):
        execute_on(environment(data=data, out=out), path or default_notebook(), values, reuse=reuse)


def default_notebook() -> Path:
    """recommendations.ipynb of this folder, or the shipped one where there is none."""
    return NOTEBOOK if NOTEBOOK.exists() else shipped(NOTEBOOK.name)


def execute_on(environ: Mapping[str, str], path: Path, parameters: Mapping[str, str], *, reuse: bool) -> None:
    """Execute the notebook at `path` with `environ` as the environment of its kernel, and keep the executed copy and its plots.

    Raises NotebookError when a cell fails: the cells up to there are then kept beside the earlier copy, which stays.
    """
    from musicrec.files import make_folder
    from musicrec.notebook.chapters import with_parameters, write_pictures
    from musicrec.notebook.execution import execute
    from musicrec.notebook.provenance import provenance

    configured = loaded(environ=environ)
    out = _folder_beside(configured)
    if not configured.data.folder.is_dir():
        raise SourceError(f"{configured.data.folder} is not a folder; name the folder with the logs, or run "
                          "`musicrec datasets make sample`.")
    made = with_parameters(_read(path), parameters)
    made_from = provenance(configured, made, PACKAGE)
    if reuse and _is_current(configured, out, made_from):
        print(f"Nothing to do: the current run was made from the same logs, settings and code; see {out / path.name}.")
        return
    began = time.monotonic()
    print(f"Executing {path} on {configured.data.folder}; one line a chapter.")
    make_folder(out)
    failed = out / f"{path.stem}.failed.ipynb"
    try:
        execute(made, path.name, Path.cwd(), environ)
    except NotebookError as cause:
        _write(made, failed)
        raise NotebookError(f"{cause} The cells up to there are in {failed}.") from None
    failed.unlink(missing_ok=True)
    _write(made, out / path.name)
    pictures = write_pictures(made, out / "pictures")
    _remember(configured, out, made_from)
    print(f"Done in {time.monotonic() - began:.0f} s: {out / path.name}, {len(pictures)} plots in {out / 'pictures'}.")


def _folder_beside(configured: "Settings") -> Path:
    location = configured.artifacts.location
    return configured.data.work_folder if "://" in location else Path(location)


def _read(path: Path) -> Any:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist; run from the project folder.") from None
    except nbformat.reader.NotJSONError:
        raise SourceError(f"{path} is not a notebook.") from None


def _write(notebook: Any, path: Path) -> None:
    import nbformat

    from musicrec.files import replaced

    with replaced(path) as half:
        nbformat.write(notebook, half)


def _current_run(configured: "Settings") -> str | None:
    from musicrec import registry

    with contextlib.suppress(MusicRecError):
        return registry.current(published_at(configured)).run_id
    return None


def _is_current(configured: "Settings", out: Path, made_from: str) -> bool:
    try:
        known: Mapping[str, str] = json.loads((out / MADE_FROM).read_text())
    except (OSError, ValueError):
        return False
    return known.get("made_from") == made_from and known.get("run_id") is not None and known["run_id"] == _current_run(configured)


def _remember(configured: "Settings", out: Path, made_from: str) -> None:
    (out / MADE_FROM).write_text(json.dumps({"run_id": _current_run(configured), "made_from": made_from}) + "\n")

