"""`musicrec config`: the settings in force, whether they are right, and a file to start from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.cli.options import Config, loaded, published_at
from musicrec.project import add_missing

if TYPE_CHECKING:
    from musicrec.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Settings: show, check, and the files of a new project folder.", rich_markup_mode=None)


@app.command()
def show(section: Annotated[str | None, typer.Argument(help="Such as split or candidates.als. Default: all sections.")] = None,
         config: Config = None) -> None:
    """The settings in force, as config.ini, .env and the environment make them; secrets are masked."""
    sections = _sections(loaded(config))
    if section is not None and section not in sections:
        raise typer.BadParameter(f"there is no section {section!r}; there are {', '.join(sections)}")
    for name in [section] if section is not None else sections:
        print(f"[{name}]")
        for key, value in sections[name].items():
            print(f"{key} = {value}")
        print()


@app.command()
def check(config: Config = None) -> None:
    """Do all keys and values make sense, are the logs there, and can runs be published?"""
    from musicrec import settings
    from musicrec.pipeline.workspace import workspace
    from musicrec.storage import storage
    from musicrec.storage.copying import location_of

    chosen = loaded(config)
    workspace(chosen)
    place = published_at(chosen)
    place.preflight()
    where = location_of(chosen.data.folder)
    is_there = storage(where, settings.s3_environment(chosen.path)).list() if "://" in where else chosen.data.folder.is_dir()
    logs = "there" if is_there else "not there; name the folder with the logs in [data] folder"
    print(f"{chosen.path}: every key is known and every value in its range; {place.location} can be written.")
    print(f"[data] folder {where} is {logs}.")


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Folder of the project.")] = Path()) -> None:
    """Write config.ini, the notebook, the services and the client into a folder; what is there stays."""
    added = add_missing(folder)
    print(f"Added to {folder.resolve().name}: {', '.join(added)}." if added else "Every file is there already; nothing was changed.")


@app.command()
def pin(run_id: Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="Default: the current run.")] = None,
        config: Config = None) -> None:
    """Write what a run has tuned into config.ini, where it then stays; with [tuning] trials = 0 nothing else is tried."""
    from musicrec import registry
    from musicrec.files import replaced
    from musicrec.settings.pinning import with_values

    chosen = loaded(config)
    place = published_at(chosen)
    run = registry.current(place) if run_id is None else registry.manifest(place, run_id)
    adopted = {one["section"]: one["values"] for one in run.info.metrics.get("tuned", []) if one["adopted"]}
    if adopted:
        file = chosen.path
        text = with_values(file.read_text(encoding="utf-8") if file.is_file() else "", adopted)
        with replaced(file) as partial:
            partial.write_text(text, encoding="utf-8")
    for section, values in adopted.items():
        print(f"{chosen.path} [{section}] {', '.join(f'{key} = {value:.4g}' for key, value in values.items())}")
    print(f"Pinned what run {run.run_id} has tuned." if adopted else f"Run {run.run_id} has tuned nothing; {chosen.path} stays as it is.")


def _sections(chosen: "Settings") -> dict[str, dict[str, str]]:
    from musicrec.settings import SPARK, Settings

    core = {name: {key: _text(value) for key, value in getattr(chosen, name)} for name in Settings.model_fields
            if name not in ("spark", "components", "path")}
    core |= {SPARK: {key: _text(value) for key, value in chosen.spark.items()}} if chosen.spark else {}
    return core | {name: dict(values) for name, values in chosen.components.items()}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
