"""What feature groups bring, measured on a world whose answer is known, and the picture of SHAP values."""

import dataclasses
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from musicrec import pipeline, plots, settings
from musicrec.pipeline.learning import ranker_settings
from musicrec.pipeline.trial import trial, tried
from musicrec.pipeline.workspace import label_windows
from musicrec.ranking import TrainingTable
from tests import taste_logs

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[pipeline.Workspace, pipeline.Tables, pipeline.Learned]:
    """A tiny world of two camps, learned."""
    project = tmp_path_factory.mktemp("ablation")
    logs = taste_logs.write(project / "logs")
    work = pipeline.workspace(settings.load(CONFIG, taste_logs.environment(logs, project)))
    tables = pipeline.prepared_tables(work, pipeline.raw_tables(work))
    return work, tables, pipeline.learned(work, tables)


def test_every_group_is_left_out_once(learned: tuple[pipeline.Workspace, pipeline.Tables, pipeline.Learned]) -> None:
    """One row a group, one for all groups and one for no trees; each difference is against all groups, and columns are counted."""
    work, _, found = learned
    table = pipeline.ablation(work, found).set_index("without")
    assert list(table.index) == ["all groups", "no trees (weighted)", *work.settings.ranking.features]
    np.testing.assert_allclose(table["difference"], table["ndcg@10"] - table.loc["all groups", "ndcg@10"], atol=1e-12)
    assert table.loc["item_age", "features"] == 3
    assert table["p_holm"].isna().sum() == 1


def test_the_trial_knows_every_window_and_no_ranker_its_own(
        learned: tuple[pipeline.Workspace, pipeline.Tables, pipeline.Learned]) -> None:
    """Each window is judged for all contenders, by a ranker of the other: shuffling its own training labels changes nothing there."""
    work, tables, found = learned
    assert len(found.trial) == len(found.windows) == 2
    assert {pipeline.RANKED, pipeline.WEIGHTED, pipeline.FUSION, "als"} <= set(found.trial[0].names)
    latest = found.training[-1]
    shuffled = dataclasses.replace(latest, target=np.random.default_rng(0).permutation(latest.target))
    before, after = (_ranked_in_latest(work, tables, [found.training[0], last]) for last in (latest, shuffled))
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(before, found.trial[-1].tallies[pipeline.RANKED].ranks)


def _ranked_in_latest(work: pipeline.Workspace, tables: pipeline.Tables, training: list[TrainingTable]) -> np.ndarray:
    windows = []
    for window in label_windows(work, tables):
        made = pipeline.fitted(work, pipeline.history(work, tables, window.start))
        windows.append(tried(work, made, pipeline.labels(work, tables, window.start, window.end)))
    return trial(work, windows, training, ranker_settings(work))[-1].tallies[pipeline.RANKED].ranks


def test_one_more_group_is_compared_on_the_same_users(
        learned: tuple[pipeline.Workspace, pipeline.Tables, pipeline.Learned]) -> None:
    """Two rows, without and with, of equally many users, the sample no larger than asked."""
    work, tables, _ = learned
    table = pipeline.with_and_without(work, tables, "order_in_catalogue", most_users=10)
    assert table["order_in_catalogue"].tolist() == ["without", "with"]
    assert table["users"].nunique() == 1
    assert table["users"].iloc[0] <= 10


def test_the_shap_picture_shows_the_strongest_features_on_top() -> None:
    """As many lines as asked, the feature with the largest mean |SHAP| first, and values that do not apply are drawn too."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 4)) * np.array([0.1, 3, 1, 0.01])
    features = np.where(rng.random((50, 4)) < 0.2, np.nan, rng.random((50, 4)))
    ax = plots.shap(values, features, ["a", "b", "c", "d"], n=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c", "a"]
    assert sum(len(points.get_offsets()) for points in ax.collections) == 150
    plt.close(ax.figure)


def test_halves_that_teach_nothing_are_judged_with_the_fusion(
        learned: tuple[pipeline.Workspace, pipeline.Tables, pipeline.Learned]) -> None:
    """A single window without a played candidate is tried all the same: the ranked list is the plain fusion there, and nothing fails."""
    work, tables, found = learned
    window = label_windows(work, tables)[-1]
    made = pipeline.fitted(work, pipeline.history(work, tables, window.start))
    alone = tried(work, made, pipeline.labels(work, tables, window.start, window.end))
    nothing = dataclasses.replace(found.latest, target=np.zeros_like(found.latest.target))
    judge, = trial(work, [alone], [nothing], ranker_settings(work))
    np.testing.assert_array_equal(judge.tallies[pipeline.RANKED].ranks, judge.tallies[pipeline.FUSION].ranks)
