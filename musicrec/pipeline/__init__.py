"""The stages in order, and the only module that knows the order.

    raw_tables -> validation findings -> plan -> preprocessed_tables -> tuned -> backtested (folds) -> learned -> evaluated on the test set
    -> refit on everything -> tables for services -> published

The notebook walks through the same functions, one a chapter. `musicrec train` runs them without plots.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from musicrec import engine, validation
from musicrec.evaluation import BacktestResult
from musicrec.models import Model
from musicrec.pipeline.ablation import ablation
from musicrec.pipeline.acceptance import check_acceptable
from musicrec.pipeline.all_plays import all_plays_table, evaluated_all_plays
from musicrec.pipeline.costs import model_report
from musicrec.pipeline.plan import Plan, plan, validation_split
from musicrec.pipeline.publishing import current_manifest, metrics, published, singles
from musicrec.pipeline.reference_protocol import reference_figures
from musicrec.pipeline.self_tuning import tuned, tuning_table
from musicrec.pipeline.serving_tables import needed_last, write_lists, write_models, write_similar_items, write_top_popular
from musicrec.pipeline.training import backtested, evaluated, evaluated_with_new_items, fitted, learned, refitted
from musicrec.pipeline.workspace import Tables, Workspace, model, preprocessed_tables, ranker_settings, raw_tables, recommender, workspace
from musicrec.recommender import TwoStageRecommender
from musicrec.settings import Settings
from musicrec.tuning import Found

__all__ = [
    "Check", "Plan", "Result", "Tables", "Workspace", "ablation", "all_plays_table", "backtested", "check_acceptable", "current_manifest",
    "evaluated", "evaluated_all_plays", "evaluated_with_new_items", "fitted", "learned", "metrics", "model", "model_report", "plan",
    "preprocessed_tables", "published", "ranker_settings", "raw_tables", "recommender", "reference_figures", "refitted", "run", "singles",
    "tuned", "tuning_table", "validation_split", "workspace", "write_lists", "write_models", "write_similar_items", "write_top_popular",
]


@dataclass(frozen=True)
class Result:
    """What a whole run leaves behind: its id, the comparison table, why these lists were published, and what the stages took."""

    run_id: str
    comparison: pd.DataFrame
    reason: str
    stages: pd.DataFrame


Check = Callable[[Workspace, pd.DataFrame, Mapping[str, object]], None]
"""Raises to keep a run from being published; given the workspace, the findings of validation and the metrics."""


def run(settings: Settings, check: Check | None = None) -> Result:
    """All stages in order; raises a MusicRecError with one clear sentence when one of them fails, and publishes nothing then.

    check: called when the recommender is evaluated, before it is refitted.
    """
    work = workspace(settings)
    stage = work.stages.measured
    with stage("read"):
        raw = raw_tables(work)
        chosen = plan(work, raw.interactions)
    with stage("validate"), engine.one_job_a_query(work.connection):
        findings = validation.findings(raw.tracks, raw.catalog_names, raw.interactions, chosen.test_start)
    with stage("preprocess"):
        tables = preprocessed_tables(work, raw)
    work, found = tuned(work, tables, chosen)
    result = backtested(work, tables, chosen)
    made = learned(work, result)
    made, warm_starts, measured = _evaluated(work, tables, chosen, made, result, found)
    if check is not None:
        check(work, findings, measured)
    if settings.split.refit:
        made = made.unfitted
        made = refitted(work, tables, made, warm_starts)
    with stage("recommend"):
        write_lists(work, made)
    with stage("similar items"):
        write_models(work, made)
        made = made.only(needed_last(work, made))
        write_top_popular(work, tables, made)
        write_similar_items(work, tables, made)
    with stage("publish"):
        run_id = published(work, made, measured, findings)
    return Result(run_id, pd.DataFrame(measured["comparison"]), str(measured["reason"]), work.stages.table())


def _evaluated(work: Workspace, tables: Tables, chosen: Plan, made: TwoStageRecommender, result: BacktestResult,
               found: Sequence[Found]) -> tuple[TwoStageRecommender, dict[str, Model], dict[str, object]]:
    # A function of its own, so that train set and evaluator are freed before everything is fitted again.
    with work.stages.measured("split"):
        train, test = tables.dataset.split(chosen.cutoff)
    made = fitted(work, made, train, result.warm_starts)
    evaluator = evaluated(work, made, test)
    with work.stages.measured("compare"):
        others = evaluated_with_new_items(work, tables, chosen, made) if work.settings.candidates.new_items else None
        measured = metrics(work, chosen, result, evaluator, made.order, others, found, evaluated_all_plays(work, made, test))
    return made, made.warm_starts, measured
