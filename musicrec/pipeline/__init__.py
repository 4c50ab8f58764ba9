"""The stages in order, and the only module that knows the order.

    raw_tables -> audit -> prepared_tables -> learned (label windows) -> fitted -> scored -> tables for services -> published

The notebook walks through the same functions, one a chapter. `python -m musicrec.pipeline` runs them without pictures.
"""

from dataclasses import dataclass

import pandas as pd

from musicrec import audit
from musicrec.evaluation import Judge, comparison
from musicrec.pipeline.ablation import ablation, with_and_without
from musicrec.pipeline.contending import FUSION, RANKED, WEIGHTED, Fitted, contenders, singles
from musicrec.pipeline.costs import generator_report
from musicrec.pipeline.learning import Learned, fitted, learned
from musicrec.pipeline.protocols import held_out
from musicrec.pipeline.publishing import current_manifest, published, write_models, write_similar_items, write_top_popular
from musicrec.pipeline.reading import (
    a_listener,
    first_rows,
    last_plays,
    names,
    offered,
    published_for,
    similar_to,
    sizes,
    tracks_by_listeners,
)
from musicrec.pipeline.scoring import scored
from musicrec.pipeline.seeds_protocol import as_the_seeds
from musicrec.pipeline.workspace import Tables, Workspace, history, labels, prepared_tables, raw_tables, workspace
from musicrec.settings import Settings

__all__ = [
    "FUSION",
    "RANKED",
    "WEIGHTED",
    "Fitted",
    "Learned",
    "Result",
    "Tables",
    "Workspace",
    "a_listener",
    "ablation",
    "as_the_seeds",
    "contenders",
    "current_manifest",
    "first_rows",
    "fitted",
    "generator_report",
    "held_out",
    "history",
    "labels",
    "last_plays",
    "learned",
    "metrics",
    "names",
    "offered",
    "prepared_tables",
    "published",
    "published_for",
    "raw_tables",
    "run",
    "scored",
    "similar_to",
    "singles",
    "sizes",
    "tracks_by_listeners",
    "with_and_without",
    "workspace",
    "write_models",
    "write_similar_items",
    "write_top_popular",
]


@dataclass(frozen=True)
class Result:
    """What a whole run leaves behind: its id, the comparison table, why these lists were published, and what the stages took."""

    run_id: str
    comparison: pd.DataFrame
    reason: str
    stages: pd.DataFrame


def run(settings: Settings) -> Result:
    """All stages in order; raises a MusicRecError with one clear sentence when one of them fails, and publishes nothing then."""
    work = workspace(settings)
    stage = work.stages.measured
    with stage("audit"):
        raw = raw_tables(work)
        findings = audit.findings(raw.tracks, raw.catalog_names, raw.interactions, settings.split.test_start)
    with stage("prepare"):
        tables = prepared_tables(work, raw)
    with stage("learn"):
        found = learned(work, tables)
    with stage("fit"):
        past, future = history(work, tables, settings.split.test_start), labels(work, tables, settings.split.test_start, None)
        made = fitted(work, past, found.onward)
    with stage("recommend and judge"):
        judge = scored(work, made, future, found.ranker, found.decision.publish)
    made = made.only(work.settings.candidates.top_popular, "als")
    with stage("similar items"):
        write_top_popular(work, tables, made)
        write_similar_items(work, made)
        write_models(work, made, found.ranker)
    with stage("publish"):
        measured = metrics(work, judge, found)
        run_id = published(work, measured, findings)
    return Result(run_id, pd.DataFrame(measured["comparison"]), found.decision.reason, work.stages.table())


def metrics(work: Workspace, judge: Judge, found: Learned) -> dict[str, object]:
    """What the manifest tells about quality: the comparison over all, warm and cold users, and what is published and why."""
    settings = work.settings.evaluation
    groups = {"comparison": "all", "warm": "warm", "cold": "cold"}
    tables = {key: comparison(judge, singles(judge), users=users, samples=settings.bootstrap_samples, seed=settings.seed)
              for key, users in groups.items()}
    records = {key: table.to_dict("records") for key, table in tables.items()}
    return {**records, "published": found.decision.publish, "reason": found.decision.reason,
            "top_popular": work.settings.candidates.top_popular}
