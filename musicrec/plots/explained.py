"""The effect of features on scores: SHAP values as points, one line per feature."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from musicrec.plots.style import GREY, INK, frame, shortened


def shap(values: ArrayLike, features: ArrayLike, names: Sequence[str], n: int = 15, ax: Axes | None = None) -> Axes:
    """One line per feature, the n with the largest mean |SHAP|: a point per row of the table at what the feature adds to its score.

    values, features: (m, f), columns as `names`. The color is the rank of the feature's value among all rows, dark for high; gray for none.
    """
    values, features = np.asarray(values), np.asarray(features)
    order = np.argsort(-np.abs(values).mean(axis=0), kind="stable")[:n]
    ax = frame("What each feature adds to a score", "SHAP value, log-odds of being played", "", ax,
               height=0.34 * len(order) + 1.3, grid="x")
    spread = np.random.default_rng(0).uniform(-0.32, 0.32, len(values))
    for line, place in enumerate(order):
        known = ~np.isnan(features[:, place])
        ax.scatter(values[~known, place], line + spread[~known], s=4, color=GREY, linewidths=0)
        rank = np.argsort(np.argsort(features[known, place], kind="stable"), kind="stable") / max(int(known.sum()) - 1, 1)
        ax.scatter(values[known, place], line + spread[known], s=4, c=rank, cmap="viridis_r", vmin=0, vmax=1, linewidths=0)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(np.arange(len(order)), [shortened(str(names[place])) for place in order])
    ax.invert_yaxis()
    return ax
