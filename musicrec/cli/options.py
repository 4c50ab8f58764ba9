"""Options that several commands share, and the environment variables that they stand for."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.cli.presets import PRESETS, Preset

if TYPE_CHECKING:
    from musicrec.settings import Settings
    from musicrec.storage import Storage

Config = Annotated[Path | None, typer.Option("--config", help="Settings file. [default: config.ini]")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder with the logs, or s3://bucket/prefix. [default: [data] folder]")]
Out = Annotated[str | None, typer.Option("--out", help="Folder or s3://bucket/prefix for the run. [default: [artifacts] location]")]


def loaded(config: Path | None = None, environ: Mapping[str, str] | None = None) -> "Settings":
    """The settings in force, as settings.load gives them. Imported here, as all that help does not need is imported where it is used."""
    from musicrec import settings

    return settings.load(config, environ)


def published_at(chosen: "Settings") -> "Storage":
    """The place that [artifacts] location names."""
    from musicrec.storage import artifacts_storage

    return artifacts_storage(chosen)


def environment(*, data: Path | None = None, source: str | None = None, test_start: str | None = None, out: str | None = None,
                preset: Preset | None = None) -> dict[str, str]:
    """os.environ with the variables of the options that were given. A preset yields to variables that are set, options do not."""
    options = {"MUSICREC_DATA_FOLDER": data, "MUSICREC_DATA_SOURCE": source, "MUSICREC_SPLIT_TEST_START": test_start,
               "MUSICREC_ARTIFACTS_LOCATION": out}
    return {**PRESETS[preset or "standard"], **os.environ, **{name: str(value) for name, value in options.items() if value is not None}}
