"""What to publish: an elaborate list only where it beats every plainer one on the validation slice."""

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

    Published is the first whose mean of `metric` is above that of every plainer one with all paired sign-flip tests below `alpha`; the
    last when none is. p is corrected by Holm over all pairs. With ranked, fusion, best single generator: the ranked list must
    beat both, the fusion must beat the generator, and what does not clearly gain is not published.
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

    publish = next(name for place, name in enumerate(names) if all(beaten(name, plainer) for plainer in names[place + 1:]))
    means = ", ".join(f"{name} {table[metric].mean():.4f}" for name, table in tables.items())
    tests = "".join(f"; {one} against {other} p = {p[one, other]:.3g}" for one, other in pairs)
    return Decision(publish, f"{publish} is published because {_why(publish, names, alpha)}: mean {metric} on {len(first):,} users is "
                             f"{means}{tests} (paired tests, corrected by Holm).")


def _why(publish: str, names: list[str], alpha: float) -> str:
    place = names.index(publish)
    if len(names) == 1:
        return "there is nothing beside it"
    plainer, missed = " and ".join(names[place + 1:]), " and ".join(names[:place])
    won = f"it beats {plainer}" if plainer else ""
    lost = f"{missed} did not beat all plainer lists at the {alpha:g} level" if missed else ""
    return ", and ".join(part for part in (won, lost) if part)
