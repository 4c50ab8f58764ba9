"""What to publish: a list that has to prove itself only where it beats every plainer one on the validation slice, else the best mean."""

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


def gate(tables: Mapping[str, pd.DataFrame], metric: str = "ndcg@10", alpha: float = 0.05, seed: int = 0, prove: int = 1) -> Decision:
    """The Decision among `tables`, per-user tables (Judge.table) of the same users, the most elaborate list first, the plainest last.

    The first `prove` lists are published only when they beat every list after them: a higher mean of `metric`, and all paired sign-flip
    tests below `alpha`, p corrected by Holm over all pairs. Among the others the best mean is published, the plainest of equal ones.
    A model of thousands of leaves, and a fusion that trusts all generators alike, have to prove their gain; a fusion that has learned
    whom to trust falls back on the best generator by itself, so between these two the mean decides.
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

    proven = [name for place, name in enumerate(names[:-1][:prove]) if all(beaten(name, plainer) for plainer in names[place + 1:])]
    rest = names[min(prove, len(names) - 1):]
    publish = proven[0] if proven else max(reversed(rest), key=lambda name: float(tables[name][metric].mean()))
    means = ", ".join(f"{name} {table[metric].mean():.4f}" for name, table in tables.items())
    tests = "".join(f"; {one} against {other} p = {p[one, other]:.3g}" for one, other in pairs)
    why = _why(publish, names, rest, alpha)
    return Decision(publish, f"{publish} is published because {why}: mean {metric} on {len(first):,} users is {means}{tests} "
                             "(paired tests, corrected by Holm).")


def _why(publish: str, names: list[str], rest: list[str], alpha: float) -> str:
    place = names.index(publish)
    if len(names) == 1:
        return "there is nothing beside it"
    tried = " and ".join(names[:place] if publish not in rest else [name for name in names if name not in rest])
    lost = f"{tried} did not beat all plainer lists at the {alpha:g} level" if tried else ""
    won = f"it beats {' and '.join(names[place + 1:])}" if publish not in rest else ""
    best = f"it has the best mean of {' and '.join(rest)}" if publish in rest and len(rest) > 1 else ""
    return ", and ".join(part for part in (won, lost, best) if part)
