"""`musicrec tune`: better settings for models and ranker, found on the folds before the cutoff."""

from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.cli.options import Config, Data, environment, loaded
from musicrec.cli.stopping import stoppable
from musicrec.errors import SettingsError

if TYPE_CHECKING:
    from musicrec.pipeline.workspace import Workspace


def tune(data: Data = None,
         minutes: Annotated[float, typer.Option(help="Time for all sections together.")] = 30.0,
         trials: Annotated[int | None, typer.Option(min=1, help="Number of further trials per section, instead of a time.")] = None,
         only: Annotated[list[str] | None, typer.Option(help="Such as candidates.als or ranking; give it several times.")] = None,
         config: Config = None) -> None:
    """Search better settings and print them as lines for config.ini.

    All folds before the cutoff are searched, and a paired test over their users says whether a gain may be chance. The test set is never
    read. Trials are kept in tuning.sqlite in the work folder, and the next call goes on with them.

    \b
    musicrec tune --data data/sample --minutes 30
    musicrec tune --only candidates.als --only ranking --trials 20
    """
    from musicrec.pipeline.workspace import workspace

    with stoppable("the trials are kept; the same command goes on with them."):
        _search(workspace(loaded(config, environment(data=data))), minutes, trials, only)


def _search(work: "Workspace", minutes: float, trials: int | None, only: list[str] | None) -> None:
    from musicrec.pipeline.plan import plan
    from musicrec.pipeline.training import backtest
    from musicrec.pipeline.workspace import model, preprocessed_tables, raw_tables, recommender
    from musicrec.tuning import SPACES, model_evaluated, ranker_evaluated, searched, slices

    sections, limits, file = _sections(work, only), work.settings.tuning, work.folder / "tuning.sqlite"
    raw = raw_tables(work)
    chosen = plan(work, raw.interactions)
    folds = slices(preprocessed_tables(work, raw).dataset, chosen.folds)
    for section in sections:
        present, evaluated = ranker_evaluated(recommender(work.settings), backtest(work, chosen), folds) if section == "ranking" else \
            model_evaluated(model(work.settings, section.removeprefix("candidates.")), folds, limits.max_users, limits.seed)
        found = searched(section, SPACES[section], present, evaluated, len(folds), trials or 1, limits.seed, file=file,
                         seconds=None if trials else minutes * 60 / len(sections))
        print(found.lines(), flush=True)


def _sections(work: "Workspace", only: list[str] | None) -> list[str]:
    from musicrec.tuning import SPACES

    unknown = [section for section in only or [] if section not in SPACES]
    if unknown:
        raise SettingsError(f"--only names {unknown[0]!r}, which has nothing to tune; there are {', '.join(SPACES)}.")
    running = {f"candidates.{name}" for name in work.settings.candidates.models} | {"ranking"}
    return only or [section for section in SPACES if section in running]
