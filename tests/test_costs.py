"""The report of quality and costs of models, and its picture."""

from datetime import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from musicrec import evaluation, pipeline, plots, settings
from musicrec.dataset import second
from musicrec.evaluation import Evaluator
from tests import taste_logs

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Workspace, Evaluator, pd.DataFrame]:
    """The report on a tiny world of two camps, all models evaluated."""
    project = tmp_path_factory.mktemp("costs")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    tables = pipeline.preprocessed_tables(work, pipeline.raw_tables(work))
    train, test = tables.dataset.split(second(datetime(2022, 12, 16)))
    made = pipeline.fitted(work, pipeline.recommender(work.settings), train)
    evaluator = pipeline.evaluated(work, made, test)
    return work, evaluator, pipeline.model_report(work, made, evaluator)


def test_every_model_and_baseline_has_one_row(reported: tuple[pipeline.Workspace, Evaluator, pd.DataFrame]) -> None:
    """Rows are the models and baselines of the settings, best ndcg@10 first, and no list of several models is among them."""
    work, _, report = reported
    assert sorted(report["model"]) == sorted({*work.settings.candidates.baselines, *work.settings.candidates.models})
    assert report["ndcg@10"].is_monotonic_decreasing


def test_quality_is_that_of_the_comparison(reported: tuple[pipeline.Workspace, Evaluator, pd.DataFrame]) -> None:
    """Figures are those of warm users in evaluation.comparison, and only_here those of marginal_hits among the same models."""
    _, evaluator, report = reported
    whole = evaluation.comparison(evaluator, users="warm", samples=0).set_index("model").loc[report["model"]]
    for column in ("recall@10", "recall@100", "ndcg@10", "coverage@10", "served"):
        assert report[column].tolist() == whole[column].tolist()
    alone = evaluation.marginal_hits(evaluator, tuple(report["model"])).set_index("model")["only_here"]
    assert report["only_here"].tolist() == alone[report["model"]].tolist()


def test_costs_are_those_of_the_last_fit(reported: tuple[pipeline.Workspace, Evaluator, pd.DataFrame]) -> None:
    """fit_seconds and peak_gb are those of the workspace's stage of the model; users_per_second is above 0."""
    work, _, report = reported
    stages = work.stages.table().set_index("stage")
    als = report.set_index("model").loc["als"]
    assert (als["fit_seconds"], als["peak_gb"]) == (stages.loc["fit: als", "seconds"], stages.loc["fit: als", "peak_gb"])
    assert (report["users_per_second"] > 0).all()


def test_the_picture_names_every_model(reported: tuple[pipeline.Workspace, Evaluator, pd.DataFrame]) -> None:
    """Each row is a point with its name, on a log axis of users per second."""
    ax = plots.quality_and_speed(reported[2], marked=("random",))
    assert {text.get_text() for text in ax.texts} == set(reported[2]["model"])
    assert ax.get_xscale() == "log"
    assert "users per second" in ax.get_xlabel()
    plt.close("all")
