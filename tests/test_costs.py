"""What generators are worth and what they cost, on a world whose answer is known, and its picture."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from musicrec import evaluation, pipeline, plots, settings
from musicrec.evaluation import Judge
from musicrec.lists import Lists
from tests import taste_logs

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Workspace, Judge, pd.DataFrame]:
    """The report on a tiny world of two camps, all generators judged."""
    project = tmp_path_factory.mktemp("costs")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    tables = pipeline.prepared_tables(work, pipeline.raw_tables(work))
    cutoff = work.settings.split.test_start
    made = pipeline.fitted(work, pipeline.history(work, tables, cutoff))
    judge = Judge(made.history, pipeline.labels(work, tables, cutoff, None))
    for name, (items, scores) in pipeline.contenders(work, made, None, judge.history_rows).items():
        judge.add(name, Lists(judge.user_ids, items, scores))
    return work, judge, pipeline.generator_report(work, made, judge)


def test_every_generator_and_baseline_has_one_row(reported: tuple[pipeline.Workspace, Judge, pd.DataFrame]) -> None:
    """Rows are the generators and baselines of the settings, best ndcg@10 first, and no fused list is among them."""
    work, _, report = reported
    assert sorted(report["generator"]) == sorted({*work.settings.candidates.baselines, *work.settings.candidates.generators})
    assert report["ndcg@10"].is_monotonic_decreasing


def test_quality_is_that_of_the_comparison(reported: tuple[pipeline.Workspace, Judge, pd.DataFrame]) -> None:
    """Figures are those of warm users in evaluation.comparison, and only_here those of marginal_hits among the same generators."""
    _, judge, report = reported
    whole = evaluation.comparison(judge, users="warm", samples=0).set_index("generator").loc[report["generator"]]
    for column in ("recall@10", "recall@100", "ndcg@10", "coverage@10", "served"):
        assert report[column].tolist() == whole[column].tolist()
    alone = evaluation.marginal_hits(judge, tuple(report["generator"])).set_index("generator")["only_here"]
    assert report["only_here"].tolist() == alone[report["generator"]].tolist()


def test_costs_are_those_of_the_last_fit(reported: tuple[pipeline.Workspace, Judge, pd.DataFrame]) -> None:
    """fit_seconds and peak_gb stand in the workspace's stages under the generator's name; lists are made at some speed above 0."""
    work, _, report = reported
    stages = work.stages.table().set_index("stage")
    als = report.set_index("generator").loc["als"]
    assert (als["fit_seconds"], als["peak_gb"]) == (stages.loc["fit als", "seconds"], stages.loc["fit als", "peak_gb"])
    assert (report["users_per_second"] > 0).all()


def test_the_picture_names_every_generator(reported: tuple[pipeline.Workspace, Judge, pd.DataFrame]) -> None:
    """Each row is a point with its name, on a log axis that says users a second."""
    ax = plots.quality_and_speed(reported[2], marked=("random",))
    assert {text.get_text() for text in ax.texts} == set(reported[2]["generator"])
    assert ax.get_xscale() == "log"
    assert "users a second" in ax.get_xlabel()
    plt.close("all")
