"""The last stage: what the workspace holds becomes a run, and what is published says how it was made and how good it is."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from musicrec import __version__, registry
from musicrec.dataset import moment
from musicrec.evaluation import BacktestResult, Evaluator, comparison, segments
from musicrec.keys import RunKeys
from musicrec.pipeline.all_plays import all_plays_table
from musicrec.pipeline.plan import Plan
from musicrec.pipeline.self_tuning import tuning_table
from musicrec.pipeline.workspace import ACCOUNT, Workspace, current_keys
from musicrec.recommender import BLENDED, RANKED, RRF, TwoStageRecommender
from musicrec.registry import Manifest, RunInfo
from musicrec.storage import artifacts_storage
from musicrec.tuning import Found


def singles(evaluator: Evaluator) -> tuple[str, ...]:
    """The evaluated lists that come from one model: what the two-stage lists have to beat."""
    return tuple(name for name in evaluator.names if name not in (RANKED, BLENDED, RRF))


def metrics(work: Workspace, chosen: Plan, result: BacktestResult, evaluator: Evaluator, published: str,
            with_new_items: Evaluator | None = None, found: Sequence[Found] = (), all_plays: Evaluator | None = None) -> dict[str, object]:
    """What the manifest tells about quality: the comparison over all, warm and cold users of the test set, what is published and why,
    what the other lists would have gained or lost, and what was evaluated on what; with_new_items: warm users again, with lists that may
    hold items nobody had played before the cutoff. found: what tuning found. all_plays: the same protocol with re-listens.
    """
    settings, decision = work.settings.evaluation, result.decision()
    groups = {"comparison": "all", "warm": "warm", "cold": "cold"}
    tables = {key: comparison(evaluator, singles(evaluator), users=users, samples=settings.bootstrap_samples, seed=settings.seed)
              for key, users in groups.items()}
    if with_new_items is not None:
        tables["with_new_items"] = comparison(with_new_items, singles(with_new_items), users="warm", samples=settings.bootstrap_samples,
                                              seed=settings.seed)
    if all_plays is not None:
        tables["all_plays"] = all_plays_table(work, all_plays)
    folds = [{"start": str(moment(one.fold.start)), "end": str(moment(one.fold.end))} for one in result.folds]
    return {**{key: table.to_dict("records") for key, table in tables.items()}, "published": published, "reason": decision.reason,
            "promotion": decision.others.to_dict("records"), "tuned": tuning_table(found).to_dict("records"),
            "top_popular": work.settings.candidates.top_popular, "segments": segments(evaluator).to_dict("records"),
            "evaluated_on": {"from": str(chosen.test_start), "users": len(evaluator.user_ids), "backtest": folds}}


def published(work: Workspace, made: TwoStageRecommender, measured: dict[str, Any], findings: pd.DataFrame) -> str:
    """Publish what the workspace holds and return the run id; the earlier run stays whole, also when this fails.

    made: the recommender that the lists come from. Raises StorageError when the storage refuses and ArtifactError when a stage before
    this one has not run.
    """
    place = artifacts_storage(work.settings)
    place.preflight()
    last = int(made.fitted.train.last_played.max())
    told = {**measured, "trained_until": str(moment(last)), "stages": work.stages.table().to_dict("records")}
    RunKeys.read(work.folder).check_extends(current_keys(work))
    account = json.loads((work.folder / ACCOUNT).read_text()) if (work.folder / ACCOUNT).is_file() else {}
    info = RunInfo(work.settings.model_dump(mode="json"), told, findings.to_dict("records"), __version__, account)
    return registry.publish(place, work.folder, info)


def current_manifest(work: Workspace) -> Manifest:
    """The manifest of the run that services load. Raises ArtifactError when nothing is published."""
    return registry.current(artifacts_storage(work.settings))
