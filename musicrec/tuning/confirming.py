"""Whether what a study found holds where it did not search: the other folds, with a paired test over users."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from musicrec.evaluation.significance import sign_flip_p
from musicrec.progress import progress
from musicrec.tuning.objectives import Evaluated

SURE = 0.05


@dataclass(frozen=True)
class Confirmation:
    """Mean NDCG@10 with the best values and with those before, over users of the folds that were not searched; p of their difference."""

    best: float
    before: float
    p: float
    folds: int

    @property
    def refuted(self) -> bool:
        """Whether the best values are surely worse there than those before."""
        return self.p < SURE and self.best < self.before

    def line(self) -> str:
        """One comment line that says whether the gain holds.

        >>> Confirmation(0.0712, 0.0701, 0.2, 3).line()
        '# On the 3 folds before, not searched: 0.0712, 0.0701 with the values before, p = 0.2: no difference to be sure of.'
        """
        verdict = "keep the values before" if self.refuted else "the gain holds"
        if self.p >= SURE:
            verdict = "no difference to be sure of"
        where = "fold" if self.folds == 1 else f"{self.folds} folds"
        return (f"# On the {where} before, not searched: {self.best:.4f}, {self.before:.4f} with the values before, "
                f"p = {self.p:.3g}: {verdict}.")


def confirmation(evaluated: Evaluated, best: dict[str, Any], before: dict[str, Any], folds: int) -> Confirmation | None:
    """Best values against those before, evaluated on all of so many folds but the latest, which was searched. A user is one unit.

    None where there is nothing to compare: a single fold, the same values, or nobody to evaluate. Costs two fits a fold.
    """
    if folds < 2 or best == before:
        return None
    found = [pd.concat([evaluated(values, place) for place in range(folds - 1)]).groupby(level=0).mean()
             for values in progress([best, before], "confirm")]
    if not len(found[0]):
        return None
    return Confirmation(float(found[0].mean()), float(found[1].mean()), sign_flip_p((found[0] - found[1]).to_numpy()), folds - 1)
