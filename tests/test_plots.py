"""Pictures have titles and named axes, show what the table says, and fit on their figure."""

from collections.abc import Iterator
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from musicrec import plots

matplotlib.use("Agg")

MONTHS = pd.date_range("2022-01-01", periods=6, freq="MS")
METRICS = pd.DataFrame({"model": ["random", "als", "popular"], "ndcg@10": [0.01, 0.3, 0.2], "ndcg@10_low": [0.0, 0.28, 0.19],
                        "ndcg@10_high": [0.02, 0.33, 0.22], "recall@5": [0.0, 0.1, 0.05], "recall@10": [0.01, 0.2, 0.1]})
TABLES: dict[str, tuple[Any, ...]] = {
    "monthly_plays": (pd.DataFrame({"month": MONTHS, "plays": [1, 5, 2, 8, 9, 4]}),),
    "monthly_users": (pd.DataFrame({"month": MONTHS, "users": [1, 5, 2, 8, 9, 4], "new_users": [1, 4, 1, 2, 1, 0]}),),
    "new_tracks": (pd.DataFrame({"month": MONTHS, "tracks": [1, 5, 2, 8, 9, 4]}),),
    "daily_plays": (pd.DataFrame({"day": pd.date_range("2022-01-01", periods=40), "plays": range(40)}),),
    "history_lengths": (pd.DataFrame({"plays": [1, 2, 9, 100], "users": [50, 20, 5, 1]}),),
    "cohorts": (pd.DataFrame({"arrival": MONTHS[[0, 0, 1]], "month": MONTHS[[0, 1, 1]], "share": [1.0, 0.4, 1.0]}),),
    "plays_of_tracks": (pd.DataFrame({"plays": [0, 1, 2, 90], "tracks": [7, 50, 20, 1]}),),
    "popularity": (pd.DataFrame({"rank": [1, 2, 3], "plays": [90, 8, 1]}),),
    "lorenz": (pd.DataFrame({"share_of_tracks": [0, 0.5, 1], "share_of_plays": [0, 0.1, 1]}),),
    "top_tracks": (pd.DataFrame({"name": ["a " * 60, "b"], "artists": ["x", ""], "plays": [9, 3]}),),
    "genres": (pd.DataFrame({"genre": ["pop", "rock"], "share_of_tracks": [0.4, 0.6], "share_of_plays": [0.7, 0.3]}),),
    "list_lengths": (pd.DataFrame({"list": ["albums", "albums", "genres"], "length": [0, 3, 1], "tracks": [5, 2, 7]}),),
    "experiment": (pd.DataFrame({"variant": ["new"] * 2, "metric": ["plays", "skips"], "control": [2.0, 0.0],
                                 "cuped_difference": [0.2, 0.0], "cuped_low": [0.1, 0.0], "cuped_high": [0.3, 0.0],
                                 "sequence_low": [-0.1, 0.0], "sequence_high": [0.5, 0.0]}),),
    "models": (METRICS, "ndcg@10", ("popular",)),
    "parameter": (METRICS.set_index("model"), "als: factors"),
    "learning_curve": (pd.DataFrame({"trees": [1, 2, 3], "train": [0.5, 0.4, 0.3], "validation": [0.5, 0.45, 0.47],
                                    "best": [False, True, False]}),),
    "metric_by_k": (METRICS, "recall", (5, 10)),
    "feature_importance": ({"rank": 60.0, "plays": 40.0},),
    "shap": (pd.DataFrame({"rank": [0.4, -0.2, 0.1], "plays": [0.0, 0.3, 0.1]}), [[1, 5], [9, 2], [np.nan, 7]], ["rank", "plays"]),
    "quality_and_speed": (pd.DataFrame({"model": ["als", "neighbors", "random"], "users_per_second": [1e4, 1.1e4, 2e5],
                                        "ndcg@10": [0.09, 0.09, 0.002]}),),
    "segments": (pd.DataFrame({"model": ["als", "als", "popular", "popular"], "of": ["users"] * 4, "segment": ["cold", "warm"] * 2,
                               "count": [3, 9] * 2, "recall@10": [0, 0.4, 0.1, 0.2]}),),
}
WITHOUT_Y = {"top_tracks", "genres", "models", "feature_importance", "shap", "experiment"}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_every_picture_is_tried() -> None:
    """A new picture needs a table here."""
    assert set(TABLES) == set(plots.__all__)


@pytest.mark.parametrize("name", TABLES)
def test_pictures_say_what_they_show(name: str) -> None:
    """Title and axis names are there, the table is unchanged, and all text lies on the figure."""
    before = TABLES[name][0].copy()
    ax = getattr(plots, name)(*TABLES[name])
    assert ax.get_title(loc="left")
    assert ax.get_xlabel()
    assert bool(ax.get_ylabel()) != (name in WITHOUT_Y)
    assert ax.patches or ax.lines or ax.collections or ax.images
    figure = ax.figure
    figure.canvas.draw()
    box, texts = figure.bbox, [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_yticklabels(), *ax.texts]
    for text in (text for text in texts if text.get_text() and text.get_visible()):
        place = text.get_window_extent()
        assert place.x0 >= box.x0 - 1, text.get_text()
        assert place.x1 <= box.x1 + 1, text.get_text()
    assert before.equals(TABLES[name][0]) if isinstance(before, pd.DataFrame) else before == TABLES[name][0]


@pytest.mark.parametrize("name", TABLES)
def test_pictures_are_drawn_where_they_are_asked_to(name: str) -> None:
    """With `ax` no new figure is made."""
    _, ax = plt.subplots()
    assert getattr(plots, name)(*TABLES[name], ax=ax) is ax
    assert len(plt.get_fignums()) == 1


def test_bars_have_the_heights_of_the_table() -> None:
    """Plays a month are the heights of the bars, in order of time."""
    ax = plots.monthly_plays(*TABLES["monthly_plays"])
    assert [bar.get_height() for bar in ax.patches] == [1, 5, 2, 8, 9, 4]
    assert all(20 < bar.get_width() < 32 for bar in ax.patches)


def test_the_learning_curve_marks_the_best_number_of_trees() -> None:
    """A line stands at it."""
    table, = TABLES["learning_curve"]
    assert plots.learning_curve(table).lines[-1].get_xdata()[0] == 2


def test_names_are_drawn_as_they_are() -> None:
    """Dollar signs in a title or a genre are no formula."""
    table = pd.DataFrame({"genre": ["$\\frac{", "cash $ & $ carry"], "share_of_tracks": [0.4, 0.6], "share_of_plays": [0.7, 0.3]})
    ax = plots.genres(table)
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_yticklabels()] == table["genre"].tolist()


def test_models_come_best_first_with_their_intervals() -> None:
    """The longest bar is on top, and error bars end at the interval's ends."""
    ax = plots.models(METRICS, "ndcg@10")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["als", "popular", "random"]
    assert ax.yaxis_inverted()
    ends = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, [[0.28, 0.33], [0.19, 0.22], [0.0, 0.02]], atol=1e-12)
