"""Options that several commands share, and the environment variables that they stand for."""

import os
from pathlib import Path
from typing import Annotated

import typer

from musicrec.settings.presets import PRESETS, Preset

Config = Annotated[Path | None, typer.Option("--config", help="Settings file. [default: config.ini]")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder with the logs, or s3://bucket/prefix. [default: [data] folder]")]
Out = Annotated[str | None, typer.Option("--out", help="Folder or s3://bucket/prefix for the run. [default: [artifacts] location]")]


def environment(*, data: Path | None = None, source: str | None = None, test_start: str | None = None, out: str | None = None,
                preset: Preset | None = None) -> dict[str, str]:
    """os.environ with the variables of the options that were given. A preset yields to variables that are set, options do not."""
    options = {"MUSICREC_DATA_FOLDER": data, "MUSICREC_DATA_SOURCE": source, "MUSICREC_SPLIT_TEST_START": test_start,
               "MUSICREC_ARTIFACTS_LOCATION": out}
    return {**PRESETS[preset or "standard"], **os.environ, **{name: str(value) for name, value in options.items() if value is not None}}
