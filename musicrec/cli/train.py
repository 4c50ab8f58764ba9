"""`musicrec train`: every stage from logs to a published run, and one screen that says what came out of it."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.cli.options import Config, Data, Out, environment, loaded, published_at
from musicrec.cli.presets import Preset
from musicrec.cli.stopping import stoppable

if TYPE_CHECKING:
    import pandas as pd

    from musicrec.pipeline import Check
    from musicrec.settings import Settings


def train(data: Data = None,
          source: Annotated[str | None, typer.Option(
              help="Reader of the logs, such as columns, lastfm or spotify. [default: [data] source]")] = None,
          test_start: Annotated[str | None, typer.Option(help="Cutoff: a date, a time, or a number of days before the end.")] = None,
          preset: Annotated[Preset, typer.Option(help="How much time to spend.")] = "standard",
          out: Out = None, config: Config = None,
          verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All rows of the comparison and all stages.")] = False,
          estimate: Annotated[bool, typer.Option("--estimate", help="Read the logs, say what training takes, train nothing.")] = False,
          ) -> None:
    """Train, evaluate and publish: all stages of the notebook without its plots.

    \b
    musicrec train
    musicrec train --data data/my_logs --source lastfm --test-start 2010-06-01
    musicrec train --data data/my_logs --preset quick --out artifacts/try
    musicrec train --data data/my_logs --estimate
    """
    chosen = loaded(config, environment(data=data, source=source, test_start=test_start, out=out, preset=preset))
    if estimate:
        _tell_estimate(chosen)
    else:
        published_run(chosen, verbose=verbose)


def published_run(chosen: "Settings", check: "Check | None" = None, verbose: bool = False) -> None:
    """Run the pipeline and print what was published and why, the best rows, time and memory, and where things are."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    from musicrec import pipeline, registry
    from musicrec.cli.runs import summary

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger(pipeline.__name__).setLevel(logging.DEBUG if verbose else logging.INFO)
    with stoppable("nothing was published and the earlier run is untouched."), logging_redirect_tqdm():
        result = pipeline.run(chosen, check)
    place = published_at(chosen)
    print(f"\n{summary(registry.manifest(place, result.run_id), rows=None if verbose else 5)}\n")
    if verbose:
        print(result.stages.to_string(index=False, float_format="{:,.2f}".format), end="\n\n")
    print(_costs(result.stages))
    print(f"Run {result.run_id} is at {chosen.artifacts.location}. Look at it: musicrec runs show {result.run_id}.",
          "Answer from it: musicrec serve." if registry.current_id(place) == result.run_id else
          f"It is not the current run; make it current: musicrec runs rollback {result.run_id}.")


def _tell_estimate(chosen: "Settings") -> None:
    from musicrec import pipeline
    from musicrec.pipeline.estimate import Costs

    with stoppable("nothing was published and the earlier run is untouched."):
        plays = int(pipeline.raw_tables(pipeline.workspace(chosen)).interactions.count().to_pyarrow().as_py())
    costs = Costs.shipped()
    stages = costs.of(plays, chosen.engine.threads)
    print(stages.to_string(index=False, float_format="{:,.2f}".format), end="\n\n")
    print(f"{plays:,} plays: about {_clock(stages['seconds'].sum())} on {chosen.engine.threads} cores, "
          f"{_clock(stages['core_seconds'].sum())} of a core, and {stages['peak_gb'].max():.1f} GB of memory, as measured with the "
          f"settings as shipped on logs of {' and '.join(f'{known:,}' for known in costs.plays)} plays.")


def _costs(stages: "pd.DataFrame") -> str:
    whole = stages[~stages["stage"].str.contains(":")]
    slowest = whole.loc[whole["seconds"].idxmax()]
    return (f"Took {_clock(whole['seconds'].sum())}, {_clock(whole['core_seconds'].sum())} of a core; the longest stage, "
            f"{slowest['stage']}, {_clock(slowest['seconds'])}; highest memory {whole['peak_gb'].max():.2f} GB.")


def _clock(seconds: float) -> str:
    """Seconds for people: 42 s, 3 min 20 s, 1 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
