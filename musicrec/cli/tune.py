"""`musicrec tune`: better settings for models and ranker, found on the folds before the cutoff."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from musicrec.cli.options import Config, Data, environment
from musicrec.cli.stopping import stoppable
from musicrec.errors import SettingsError

if TYPE_CHECKING:
    from musicrec.pipeline.workspace import Workspace
    from musicrec.tuning import Tuned
    from musicrec.tuning.objectives import Evaluated


def tune(data: Data = None,
         minutes: Annotated[float, typer.Option(help="Time for all sections together.")] = 30.0,
         trials: Annotated[int | None, typer.Option(min=1, help="Number of further trials per section, instead of a time.")] = None,
         only: Annotated[list[str] | None, typer.Option(help="Such as candidates.als or ranking; give it several times.")] = None,
         config: Config = None) -> None:
    """Search better settings and print them as lines for config.ini.

    The latest fold before the cutoff is searched; a paired test on the folds before it says whether the gain holds there. The test set
    is never read. Trials are kept in tuning.sqlite in the work folder, and the next call goes on with them.

    \b
    musicrec tune --data data/sample --minutes 30
    musicrec tune --only candidates.als --only ranking --trials 20
    """
    from musicrec import settings
    from musicrec.pipeline.workspace import workspace

    with stoppable("the trials are kept; the same command goes on with them."):
        _search(workspace(settings.load(config, environment(data=data))), minutes, trials, only)


def _search(work: "Workspace", minutes: float, trials: int | None, only: list[str] | None) -> None:
    from musicrec.pipeline.plan import plan
    from musicrec.pipeline.workspace import preprocessed_tables, raw_tables
    from musicrec.tuning import SPACES, confirmation, draw, model_evaluated, ranker_evaluated, slices, tuned

    sections = _sections(work, only)
    raw = raw_tables(work)
    chosen = plan(work, raw.interactions)
    folds, file = slices(preprocessed_tables(work, raw), chosen), work.folder / "tuning.sqlite"
    for section in sections:
        name = section.removeprefix("candidates.")
        present, evaluated = ranker_evaluated(work, folds) if section == "ranking" else model_evaluated(work, name, folds)
        found = tuned(section, SPACES[section], present, partial(_on_the_latest, evaluated, len(folds)), file,
                      minutes * 60 / len(sections), trials, work.settings.ranking.seed)
        confirmed = confirmation(evaluated, found.best, {key: present[key] for key in SPACES[section]}, len(folds))
        values = found.lines(refuted=confirmed is not None and confirmed.refuted)
        print("\n".join([values, *([confirmed.line()] if confirmed else []), _importances(found)]), flush=True)
    draw(sections, file, work.folder / "tuning.png")
    print(f"# Plot of the trials: {work.folder / 'tuning.png'}; trials: {file}.")


def _on_the_latest(evaluated: "Evaluated", folds: int, values: dict[str, Any]) -> float:
    return float(evaluated(values, folds - 1).mean())


def _sections(work: "Workspace", only: list[str] | None) -> list[str]:
    from musicrec.tuning import SPACES

    unknown = [section for section in only or [] if section not in SPACES]
    if unknown:
        raise SettingsError(f"--only names {unknown[0]!r}, which has nothing to tune; there are {', '.join(SPACES)}.")
    running = {f"candidates.{name}" for name in work.settings.candidates.models} | {"ranking"}
    return only or [section for section in SPACES if section in running]


def _importances(found: "Tuned") -> str:
    shares = ", ".join(f"{key} {share:.0%}" for key, share in found.importances.items())
    return f"# What mattered: {shares}.\n" if shares else "# Nothing tells what mattered: few trials, or all alike.\n"
