"""Whether what a study found holds where it did not search: the other label windows, with a paired test."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from musicrec.evaluation.significance import sign_flip_p
from musicrec.pipeline.progress import steps
from musicrec.tuning.objectives import Judged

SURE = 0.05


@dataclass(frozen=True)
class Confirmation:
    """Mean NDCG@10 with the best values and with those before, over users of windows that were not searched; p of their difference."""

    best: float
    before: float
    p: float
    windows: int

    @property
    def refuted(self) -> bool:
        """Whether the best values are surely worse there than those before."""
        return self.p < SURE and self.best < self.before

    def line(self) -> str:
        """One comment line that says whether the gain holds.

        >>> Confirmation(0.0712, 0.0701, 0.2, 3).line()
        '# On the 3 windows before, not searched: 0.0712, 0.0701 with the values before, p = 0.2: no difference to be sure of.'
        """
        verdict = "keep the values before" if self.refuted else "the gain holds"
        if self.p >= SURE:
            verdict = "no difference to be sure of"
        where = "window" if self.windows == 1 else f"{self.windows} windows"
        return (f"# On the {where} before, not searched: {self.best:.4f}, {self.before:.4f} with the values before, "
                f"p = {self.p:.3g}: {verdict}.")


def confirmation(judged: Judged, best: dict[str, Any], before: dict[str, Any], windows: int) -> Confirmation | None:
    """Best values against those before, judged on all of so many windows but the latest, which was searched.

    None where there is nothing to compare: a single window, or the same values. Costs two fits a window.
    """
    if windows < 2 or best == before:
        return None
    told = [np.concatenate([judged(values, place) for place in range(windows - 1)])
            for _, values in steps({"best": best, "before": before}, "confirm")]
    return Confirmation(float(told[0].mean()), float(told[1].mean()), sign_flip_p(told[0] - told[1]), windows - 1)
