"""A plot of the studies: the value of each trial and the best so far."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from musicrec.tuning.study import study_of


def draw(sections: list[str], file: Path, picture: Path) -> None:
    """Write a plot to `picture` (png) with one panel per section: trials as dots, the best so far as a line. file: see study_of."""
    figure = Figure(figsize=(4 * len(sections), 3.2), layout="constrained")
    for place, section in enumerate(sections):
        with study_of(section, file, 0) as study:
            values = np.array([trial.value for trial in study.trials if trial.value is not None])
        axes = figure.add_subplot(1, len(sections), place + 1)
        axes.plot(np.arange(1, len(values) + 1), values, "o", color="#9aa5b1", markersize=4, label="trial")
        axes.plot(np.arange(1, len(values) + 1), np.maximum.accumulate(values), color="#c2410c", label="best so far")
        axes.set(title=section, xlabel="trial", ylabel="NDCG@10, latest fold")
        axes.legend(frameon=False)
    figure.savefig(picture, dpi=120)
