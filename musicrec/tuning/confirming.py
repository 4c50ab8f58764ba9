"""Confirmation of the best values of a study on the folds that it did not use, with a paired test over users."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from musicrec.evaluation.significance import sign_flip_p
from musicrec.progress import progress
from musicrec.tuning.objectives import Evaluated

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Confirmation:
    """Mean NDCG@10 with the best values and with those before, over the users of the other folds, and p of the difference."""

    best: float
    before: float
    p: float
    folds: int

    @property
    def refuted(self) -> bool:
        """Whether the best values are significantly worse than those before."""
        return self.p < SIGNIFICANCE and self.best < self.before

    def line(self) -> str:
        """One comment line with the result of the comparison.

        >>> Confirmation(0.0712, 0.0701, 0.2, 3).line()
        '# ndcg@10 on the 3 earlier folds: 0.0712, 0.0701 with the values before, p = 0.2: no significant difference.'
        """
        verdict = "significantly worse, keep the values before" if self.refuted else "the gain is confirmed"
        if self.p >= SIGNIFICANCE:
            verdict = "no significant difference"
        where = "earlier fold" if self.folds == 1 else f"{self.folds} earlier folds"
        return (f"# ndcg@10 on the {where}: {self.best:.4f}, {self.before:.4f} with the values before, p = {self.p:.3g}: {verdict}.")


def confirmation(evaluated: Evaluated, best: dict[str, Any], before: dict[str, Any], folds: int) -> Confirmation | None:
    """The best values compared with those before on all of `folds` folds except the latest, on which the study ran.

    The unit is the user. None where there is nothing to compare: a single fold, the same values, or no users. Costs two fits per fold.
    """
    if folds < 2 or best == before:
        return None
    found = [pd.concat([evaluated(values, place) for place in range(folds - 1)]).groupby(level=0).mean()
             for values in progress([best, before], "confirm")]
    if not len(found[0]):
        return None
    return Confirmation(float(found[0].mean()), float(found[1].mean()), sign_flip_p((found[0] - found[1]).to_numpy()), folds - 1)
