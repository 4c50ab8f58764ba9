"""The `musicrec` command: one module a command, and the only place where they are put together.

Exit codes: 0 done; 1 a failure, told in one sentence on stderr; 2 wrong usage; 130 and 143 stopped by Ctrl-C and by SIGTERM.
A command imports what it needs when it runs, so that help comes at once and `musicrec serve` needs none of the libraries that train.
"""

import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from musicrec.cli import (
    config,
    datasets,
    demo,
    evaluate,
    events,
    experiments,
    learn,
    notebook,
    page,
    predict,
    runs,
    serve,
    simulate,
    train,
    tune,
    users,
)
from musicrec.cli.stopping import terminated
from musicrec.errors import MusicRecError

# What has to be installed for a library that a command misses.
_EXTRAS = {"serve": ("fastapi", "uvicorn", "aiohttp", "prometheus_client"), "page": ("nicegui", "tantivy"), "redis": ("redis",),
           "spark": ("pyspark",), "notebook": ("nbclient", "nbformat", "ipykernel")}

app = typer.Typer(name="musicrec", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})


def _show_version(asked: bool) -> None:
    if asked:
        from musicrec import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def describe(version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show_version,
                                                   is_eager=True)] = False) -> None:
    """A music recommender: from listening logs to answers.

    \b
    musicrec demo                     the whole path on generated logs, a few minutes
    musicrec train --data my_logs     train, evaluate and publish on your own logs
    musicrec serve                    answer over HTTP

    Without options every command does what config.ini and the environment say; MUSICREC_<SECTION>_<KEY> sets any key.
    """


app.command()(demo.demo)
app.command()(train.train)
app.command()(learn.learn)
app.command()(predict.predict)
app.command()(evaluate.evaluate)
app.command()(tune.tune)
app.command()(notebook.notebook)
app.command()(serve.serve)
app.command()(page.page)
app.command()(simulate.simulate)
app.add_typer(runs.app, name="runs")
app.add_typer(events.app, name="events")
app.add_typer(experiments.app, name="experiments")
app.add_typer(users.app, name="users")
app.add_typer(datasets.app, name="datasets")
app.add_typer(config.app, name="config")


def main(arguments: Sequence[str] | None = None) -> None:
    """What `musicrec` and `python -m musicrec` call; ends in SystemExit. `arguments`: those of the command line when None."""
    signal.signal(signal.SIGTERM, terminated)
    try:
        app(args=arguments, prog_name="musicrec")
    except MusicRecError as cause:
        sys.exit(_told(str(cause)))
    except ModuleNotFoundError as cause:
        library = (cause.name or "").split(".")[0]
        if library in ("", "musicrec"):
            raise
        extra = next((name for name, libraries in _EXTRAS.items() if library in libraries), "train")
        sys.exit(_told(f"This command needs the package {library}; install it with: pip install 'musicrec[{extra}]'"))
    except Exception as cause:
        # Who has not loaded the engine, such as a service, cannot have failed in Spark.
        engine = sys.modules.get("musicrec.engine")
        said = engine.failure(cause) if engine else None
        if said is None:
            raise
        sys.exit(_told(f"Spark failed: {said}; nothing was published. Look at its memory and the logs of its executors, and start again."))


def _told(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
