"""Pictures of experiments."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from musicrec.plots.style import GREY, INK, PALETTE, PERCENTS, frame


def experiment(differences: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Differences of experiments.analysis.report, as shares of the control's mean: point, interval, and a thin line for the sequence."""
    rows = differences[differences["control"] > 0].reset_index(drop=True)
    ax = frame("Difference to the control", "share of the control's mean, with 95 % interval; thin: for any number of looks", "", ax,
               height=0.42 * len(rows) + 1.6, grid="x")
    shares = rows.filter(regex="^cuped|^sequence").div(rows["control"], axis=0)
    places, colors = np.arange(len(rows)), [PALETTE[code % len(PALETTE)] for code in pd.factorize(rows["variant"])[0]]
    ax.axvline(0, color=GREY, linewidth=1.5)
    ax.hlines(places, shares["sequence_low"], shares["sequence_high"], colors=colors, linewidth=1)
    ax.hlines(places, shares["cuped_low"], shares["cuped_high"], colors=colors, linewidth=5)
    ax.scatter(shares["cuped_difference"], places, color=INK, zorder=3)
    ax.set_yticks(places, [f"{row.metric}, {row.variant}" for row in rows.itertuples()])
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(PERCENTS)
    return ax
