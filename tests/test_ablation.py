"""What feature groups bring, measured on a world whose answer is known, and the picture of SHAP values."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from musicrec import pipeline, plots, settings
from musicrec.errors import RankingError
from musicrec.evaluation import BacktestResult
from tests import taste_logs

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"
World = tuple[pipeline.Workspace, pipeline.Tables, pipeline.Plan, BacktestResult]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A tiny world of two camps, after its backtest."""
    project = tmp_path_factory.mktemp("ablation")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    raw = pipeline.raw_tables(work)
    plan, tables = pipeline.plan(work, raw.interactions), pipeline.preprocessed_tables(work, raw)
    return work, tables, plan, pipeline.backtested(work, tables, plan)


def test_every_group_is_left_out_once(world: World) -> None:
    """One row a group, one for all groups and one for no trees; each difference is against all groups, and columns are counted."""
    work, tables, plan, result = world
    table = pipeline.ablation(work, result, pipeline.latest(work, tables, plan)).set_index("without")
    assert list(table.index) == ["all groups", "no trees (blender)", *work.settings.ranking.features]
    np.testing.assert_allclose(table["difference"], table["ndcg@10"] - table.loc["all groups", "ndcg@10"], atol=1e-12)
    assert table.loc["item_age", "features"] == 3
    assert table["p_holm"].isna().sum() == 1


def test_the_latest_fold_is_ranked_by_what_came_before_it(world: World) -> None:
    """The rows that the ablation learns from are those of earlier folds: without any the error says so."""
    work, tables, plan, _ = world
    on = pipeline.latest(work, tables, plan)
    assert on.made.fitted.train.cutoff == plan.folds[-1].start
    with pytest.raises(RankingError, match="no feature can be told from another"):
        pipeline.ablation(work, BacktestResult([], {}), on)


def test_one_more_group_is_compared_on_the_same_users(world: World) -> None:
    """Two rows, without and with, of equally many users: the half that taught nothing."""
    work, tables, plan, _ = world
    on = pipeline.latest(work, tables, plan)
    table = pipeline.with_and_without(work, on, "order_in_catalog")
    assert table["order_in_catalog"].tolist() == ["without", "with"]
    assert table["users"].nunique() == 1
    assert 0 < table["users"].iloc[0] < len(on.test.user_ids)


def test_the_shap_picture_shows_the_strongest_features_on_top() -> None:
    """As many lines as asked, the feature with the largest mean |SHAP| first, and values that do not apply are drawn too."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 4)) * np.array([0.1, 3, 1, 0.01])
    features = np.where(rng.random((50, 4)) < 0.2, np.nan, rng.random((50, 4)))
    ax = plots.shap(values, features, ["a", "b", "c", "d"], n=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c", "a"]
    assert sum(len(points.get_offsets()) for points in ax.collections) == 150
    plt.close(ax.figure)
