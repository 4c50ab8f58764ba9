"""What feature groups bring, measured on a world whose answer is known, and the picture of SHAP values."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from musicrec import pipeline, plots, settings
from musicrec.dataset import Interactions
from musicrec.errors import RankingError
from musicrec.ranking import RankerSettings, TrainingTable
from musicrec.recommender import TwoStageRecommender
from tests import taste_logs

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"
World = tuple[list[TrainingTable], RankerSettings, TwoStageRecommender, Interactions]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A tiny world of two camps after its backtest: what rankers learn from, how, and the latest fold."""
    project = tmp_path_factory.mktemp("ablation")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    raw = pipeline.raw_tables(work)
    plan, tables = pipeline.plan(work, raw.interactions), pipeline.preprocessed_tables(work, raw)
    train, test = pipeline.validation_split(tables.dataset, plan)
    training = pipeline.backtested(work, tables, plan).training
    return training[:-1], pipeline.ranker_settings(work.settings), pipeline.recommender(work.settings).fit(train), test


def test_every_group_is_left_out_once(world: World) -> None:
    """One row a group, one for all groups and one for no trees; each difference is against all groups, and columns are counted."""
    table = pipeline.ablation(*world).set_index("without")
    assert list(table.index) == ["all groups", "no trees (blender)", *world[2].features]
    np.testing.assert_allclose(table["difference"], table["ndcg@10"] - table.loc["all groups", "ndcg@10"], atol=1e-12)
    assert table.loc["item_age", "features"] == 3
    assert table["p_holm"].isna().sum() == 1


def test_without_a_hit_nothing_is_compared(world: World) -> None:
    """Where the folds have taught nothing the error says so."""
    with pytest.raises(RankingError, match="no feature can be told from another"):
        pipeline.ablation([], *world[1:])


def test_the_shap_picture_shows_the_strongest_features_on_top() -> None:
    """As many lines as asked, the feature with the largest mean |SHAP| first, and values that do not apply are drawn too."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 4)) * np.array([0.1, 3, 1, 0.01])
    features = np.where(rng.random((50, 4)) < 0.2, np.nan, rng.random((50, 4)))
    ax = plots.shap(values, features, ["a", "b", "c", "d"], n=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c", "a"]
    assert sum(len(points.get_offsets()) for points in ax.collections) == 150
    plt.close(ax.figure)
