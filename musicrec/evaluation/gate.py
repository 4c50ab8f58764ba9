"""What to publish: the most elaborate list only where it beats every plainer one on the validation slice, else the best of those."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from musicrec.evaluation.significance import holm, sign_flip_p


@dataclass(frozen=True)
class Decision:
    """Which lists are published, and why, in one sentence for the notebook and the manifest."""

    publish: str
    reason: str


def gate(tables: Mapping[str, pd.DataFrame], metric: str = "ndcg@10", alpha: float = 0.05, seed: int = 0) -> Decision:
    """The Decision among `tables`, per-user tables (Judge.table) of the same users, the most elaborate list first, the plainest last.

    The first is published when its mean of `metric` is above that of every other with all paired sign-flip tests below `alpha`; p is
    corrected by Holm over all pairs. Otherwise the best mean of the others is published, the plainest of equal ones. With ranked,
    weighted, fusion and best single generator: a model of thousands of leaves has to prove its gain, between plain lists the mean decides.
    Tables of several windows may be stacked, in the same order each. Raises ValueError when the tables hold different users.
    """
    names, first = list(tables), next(iter(tables.values()))
    if any(not np.array_equal(first["user_id"], table["user_id"]) for table in tables.values()):
        raise ValueError("the tables hold different users; judge all lists with one Judge.")
    pairs = list(combinations(names, 2))
    differences = {pair: (tables[pair[0]][metric] - tables[pair[1]][metric]).to_numpy() for pair in pairs}
    p = dict(zip(pairs, holm([sign_flip_p(differences[pair], seed=seed) for pair in pairs])))

    def beaten(elaborate: str, plainer: str) -> bool:
        pair = (elaborate, plainer)
        return float(differences[pair].mean()) > 0 and float(p[pair]) < alpha

    proven = all(beaten(names[0], plainer) for plainer in names[1:])
    publish = names[0] if proven else max(reversed(names[1:]), key=lambda name: float(tables[name][metric].mean()))
    means = ", ".join(f"{name} {table[metric].mean():.4f}" for name, table in tables.items())
    tests = "".join(f"; {one} against {other} p = {p[one, other]:.3g}" for one, other in pairs)
    return Decision(publish, f"{publish} is published because {_why(publish, names, alpha)}: mean {metric} on {len(first):,} users is "
                             f"{means}{tests} (paired tests, corrected by Holm).")


def _why(publish: str, names: list[str], alpha: float) -> str:
    if len(names) == 1:
        return "there is nothing beside it"
    if publish == names[0]:
        return f"it beats {' and '.join(names[1:])}"
    best = ", and of those it has the best mean" if len(names) > 2 else ""
    return f"{names[0]} did not beat all plainer lists at the {alpha:g} level{best}"
