"""`python -m musicrec.tuning [--config config.ini] [--minutes 30] [--only candidates.als ranking]`: print the best values found.

The latest fold before the cutoff is searched; whether the best values also beat the present ones on the folds before it is said
beside them. The time is shared evenly between the sections. Run again to go on: trials are kept in tuning.sqlite in the work folder.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from musicrec import settings
from musicrec.errors import MusicRecError, SettingsError
from musicrec.pipeline.plan import plan
from musicrec.pipeline.workspace import Workspace, preprocessed_tables, raw_tables, workspace
from musicrec.tuning import SPACES, Tuned, confirmation, draw, model_evaluated, ranker_evaluated, slices, tuned
from musicrec.tuning.objectives import Evaluated


def main(arguments: list[str]) -> int:
    """0, or 1 after one sentence on stderr; 130 after Ctrl-C, with the trials kept."""
    parser = argparse.ArgumentParser(prog="python -m musicrec.tuning", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=settings.CONFIG)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--trials", type=int, help="so many more trials a section instead of a time")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help=f"of {', '.join(SPACES)}")
    asked = parser.parse_args(arguments)
    try:
        _run(workspace(settings.load(asked.config)), asked)
    except MusicRecError as cause:
        print(f"{type(cause).__name__}: {cause}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C; run again to go on with the trials made so far.", file=sys.stderr)
        return 130
    return 0


def _run(work: Workspace, asked: argparse.Namespace) -> None:
    sections = _sections(work, asked.only)
    raw = raw_tables(work)
    chosen = plan(work, raw.interactions)
    folds, file = slices(preprocessed_tables(work, raw), chosen), work.folder / "tuning.sqlite"
    for section in sections:
        name = section.removeprefix("candidates.")
        present, evaluated = ranker_evaluated(work, folds) if section == "ranking" else model_evaluated(work, name, folds)
        found = tuned(section, SPACES[section], present, partial(_on_the_latest, evaluated, len(folds)), file,
                      asked.minutes * 60 / len(sections), asked.trials, work.settings.ranking.seed)
        confirmed = confirmation(evaluated, found.best, {key: present[key] for key in SPACES[section]}, len(folds))
        values = found.lines(refuted=confirmed is not None and confirmed.refuted)
        print("\n".join([values, *([confirmed.line()] if confirmed else []), _importances(found)]), flush=True)
    draw(sections, file, work.folder / "tuning.png")
    print(f"# Picture of the trials: {work.folder / 'tuning.png'}; trials: {file}.")


def _on_the_latest(evaluated: Evaluated, folds: int, values: dict[str, Any]) -> float:
    return float(evaluated(values, folds - 1).mean())


def _sections(work: Workspace, only: list[str] | None) -> list[str]:
    unknown = [section for section in only or [] if section not in SPACES]
    if unknown:
        raise SettingsError(f"--only names {unknown[0]!r}, which has nothing to tune; there are {', '.join(SPACES)}.")
    running = {f"candidates.{name}" for name in work.settings.candidates.models} | {"ranking"}
    return only or [section for section in SPACES if section in running]


def _importances(found: Tuned) -> str:
    shares = ", ".join(f"{key} {share:.0%}" for key, share in found.importances.items())
    return f"# What mattered: {shares}.\n" if shares else "# Nothing tells what mattered: few trials, or all alike.\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
