"""Models that fit themselves to the log: a short search on the folds before the backtest, where the log is small enough."""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from musicrec.dataset import moment
from musicrec.errors import SplitError
from musicrec.pipeline.all_plays import has_repeats
from musicrec.pipeline.plan import Plan
from musicrec.pipeline.workspace import Tables, Workspace, model
from musicrec.settings import Settings
from musicrec.tuning import SPACES, Found, model_evaluated, searched, slices

# With fewer trials than these a search finds next to nothing, so large logs keep the settings that they have.
FEWEST_TRIALS = 6
# An approximate count may be a tenth off, so it decides only far above the bound; nearer to it the train set is counted.
SURELY = 1.5


def tuned(work: Workspace, tables: Tables, chosen: Plan) -> tuple[Workspace, list[Found]]:
    """The workspace with the settings that a search on the folds of the plan adopts, and what it found for each model.

    Each model of [candidates] models that declares a search space, and in logs with repeats that of [candidates] familiar, gets [tuning]
    trials, fewer where the train set before the latest fold has many pairs, and none where these would be fewer than FEWEST_TRIALS. Models
    that found nothing on the folds are left out, unless all of them did. The test set takes no part. Equal logs and settings give equal
    results.
    """
    limits, found = work.settings.tuning, list[Found]()
    names = [name for name in work.settings.candidates.models if f"candidates.{name}" in SPACES]
    if limits.trials < FEWEST_TRIALS or not names:
        return work, found
    with work.stages.measured("tune"):
        if _surely_too_dear(work, tables, chosen):
            return work, found
        try:
            folds = slices(tables.dataset, chosen.folds)
        except SplitError:
            return work, found
        if has_repeats(folds[-1].train) and f"candidates.{work.settings.candidates.familiar}" in SPACES:
            names.append(work.settings.candidates.familiar)
        trials = min(limits.trials, limits.max_pairs // max(folds[-1].train.matrix.nnz, 1))
        for name in names if trials >= FEWEST_TRIALS else []:
            section = f"candidates.{name}"
            present, evaluated = model_evaluated(model(work.settings, name), folds, limits.max_users, limits.seed)
            found.append(searched(section, SPACES[section], present, evaluated, len(folds), trials, limits.seed))
    return dataclasses.replace(work, settings=with_found(work.settings, found)), found


def _surely_too_dear(work: Workspace, tables: Tables, chosen: Plan) -> bool:
    """Whether even FEWEST_TRIALS are too many, from an approximate count: a large log must not be read into memory to learn that."""
    plays, before = tables.events, moment(chosen.folds[-1].start) if chosen.folds else chosen.test_start
    pair = plays.user_id.cast("int64") * 2**32 + plays.item_id.cast("int64")
    pairs = plays.filter(plays.started_at < before).aggregate(pairs=pair.approx_nunique()).to_pyarrow()["pairs"][0].as_py()
    return bool(FEWEST_TRIALS * pairs > SURELY * work.settings.tuning.max_pairs)


def tuning_table(found: Sequence[Found]) -> pd.DataFrame:
    """One row per model: section, ndcg_before, ndcg, p, users, trials, adopted, left_out, and the values as a dictionary."""
    columns = ["section", "ndcg_before", "ndcg", "p", "users", "trials", "adopted", "left_out", "values"]
    return pd.DataFrame([dataclasses.asdict(one) | {"adopted": one.adopted, "left_out": one.found_nothing} for one in found],
                        columns=columns)


def with_found(settings: Settings, found: Sequence[Found]) -> Settings:
    """The settings with the values that are adopted, and without the models that found nothing."""
    components = {name: dict(values) for name, values in settings.components.items()}
    for one in found:
        if one.adopted:
            components.setdefault(one.section, {}).update({key: repr(value) for key, value in one.values.items()})
    useless = {one.section.removeprefix("candidates.") for one in found if one.found_nothing}
    models = tuple(name for name in settings.candidates.models if name not in useless) or settings.candidates.models
    return settings.model_copy(update={"components": components, "candidates": settings.candidates.model_copy(update={"models": models})})
