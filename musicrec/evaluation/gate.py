"""What to publish: the ranked lists only if they beat the best single generator and the plain fusion on the validation slice."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from musicrec.evaluation.significance import holm, sign_flip_p


@dataclass(frozen=True)
class Decision:
    """Which lists are published, and why, in one sentence for the notebook and the manifest."""

    publish: str
    reason: str


def gate(tables: Mapping[str, pd.DataFrame], ranked: str, metric: str = "ndcg@10", alpha: float = 0.05, seed: int = 0) -> Decision:
    """The Decision between `ranked` and its rivals, all other keys of `tables`: per-user tables (Judge.table) over the same users.

    `ranked` is published when its mean of `metric` is above that of every rival and every paired sign-flip test, corrected by Holm, stays
    below `alpha`; otherwise the rival with the highest mean, the first of equals. Raises ValueError when the tables hold different users.
    """
    rivals = [name for name in tables if name != ranked]
    own = tables[ranked]
    if any(not np.array_equal(own["user_id"], tables[name]["user_id"]) for name in rivals):
        raise ValueError("the tables hold different users; judge all lists with one Judge.")
    if not rivals:
        return Decision(ranked, f"{ranked} is published because there is nothing beside it.")
    differences = [(own[metric] - tables[name][metric]).to_numpy() for name in rivals]
    p = holm([sign_flip_p(difference, seed=seed) for difference in differences])
    best = max(rivals, key=lambda name: float(tables[name][metric].mean()))
    against = ", ".join(f"{name} {tables[name][metric].mean():.4f} (p = {value:.3g})" for name, value in zip(rivals, p))
    said = f"{metric} {own[metric].mean():.4f} of {ranked} against {against} on {len(own):,} users, p corrected by Holm"
    if all(float(difference.mean()) > 0 and value < alpha for difference, value in zip(differences, p)):
        return Decision(ranked, f"{ranked} is published because it beats all its rivals: {said}.")
    return Decision(best, f"{best} is published because {ranked} does not beat all its rivals at the {alpha:g} level: {said}.")
