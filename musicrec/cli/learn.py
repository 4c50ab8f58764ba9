"""`musicrec learn`: train on the logs and on what was played online since, and publish where the result is fit to be published."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.cli.events import export
from musicrec.cli.options import Config, Data, environment, loaded
from musicrec.cli.presets import Preset
from musicrec.cli.train import published_run
from musicrec.errors import ArtifactError, RefusedError

if TYPE_CHECKING:
    import pandas as pd

    from musicrec.pipeline import Workspace

PLAYS, LOCK = "online_plays.parquet", "learn.lock"


def learn(data: Data = None,
          source: Annotated[str | None, typer.Option(help="Reader of the logs. [default: [data] source]")] = None,
          preset: Annotated[Preset, typer.Option(help="How much time to spend.")] = "standard", config: Config = None) -> None:
    """Export the plays of the event store, train on them and the logs, and publish.

    Nothing is published where validation finds an error in the logs, where a baseline beats the new list on the test set, or where the new
    list is clearly worse than that of the current run. One such command runs at a time. For cron or a systemd timer.

    \b
    musicrec learn
    musicrec learn --data data/my_logs --source lastfm
    """
    chosen = loaded(config, environment(data=data, source=source, preset=preset))
    with _alone(chosen.data.work_folder):
        plays = chosen.data.work_folder / PLAYS
        export(plays, "interactions", config=config)
        told = environment(data=data, source=source, preset=preset) | {"MUSICREC_DATA_FURTHER_PLAYS": str(plays)}
        published_run(loaded(config, told), _check)


def _check(work: "Workspace", findings: "pd.DataFrame", measured: Mapping[str, object]) -> None:
    from musicrec import pipeline

    try:
        before = pipeline.current_manifest(work).info.metrics
    except ArtifactError:
        before = None
    pipeline.check_acceptable(findings, measured, work.settings.candidates.baselines, before)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    from musicrec.files import make_folder, writable

    with writable(folder):
        make_folder(folder)
        lock = (folder / LOCK).open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(f"musicrec learn is running already: {folder / LOCK} is locked; wait until it has ended.") from None
        yield
