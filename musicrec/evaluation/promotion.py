"""The promotion policy: which list is published, by its metric on the folds of the backtest.

A significance test answers another question: keeping back the better list for lack of proof loses as much as publishing the worse one.
What counts is regret, and the list with the best mean has the least expected regret, but for one thing: the ranker of a fold has learned
from the folds before it alone, the published one from all of them, so that a backtest undervalues it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from musicrec.evaluation.metrics import Float64
from musicrec.evaluation.significance import bootstrap_means, interval

# Standard errors of the difference by which the best list has to be ahead of one that the backtest undervalues. Chosen by
# `python -m benchmarks.promotion`.
LEAN = 1.0


@dataclass(frozen=True)
class Decision:
    """The list that is published, the reason in one sentence, and what the other lists would have gained or lost.

    others: one row per list, best first: list, users, the metric, gain (relative to the published list), and gain_low and gain_high, its
    95 % bootstrap interval over users.
    """

    publish: str
    reason: str
    others: pd.DataFrame


def decision(tables: Mapping[str, pd.DataFrame], default: str, metric: str = "ndcg@10", samples: int = 1000, seed: int = 0,
             undervalued: str = "") -> Decision:
    """The list with the best mean of `metric` over users, the plainest of equal ones; but `undervalued`, where that list is given and its
    mean is at most LEAN standard errors of the difference below the best.

    tables: by list, per-user tables of the same users (see by_user), the most elaborate list first, the plainest last. default: the list
    that is published when there are no users. Raises ValueError for tables of different users.
    """
    names = list(tables)
    if not names or not len(tables[names[0]]):
        reason = f"{default} is published because no fold has a user on whom the lists could be compared."
        return Decision(default, reason, pd.DataFrame(columns=["list", "users", metric, "gain", "gain_low", "gain_high"]))
    users = tables[names[0]]["user_id"].to_numpy()
    if not all(np.array_equal(table["user_id"].to_numpy(), users) for table in tables.values()):
        raise ValueError("the lists were evaluated on different users and cannot be compared.")
    values = np.column_stack([table[metric].to_numpy(float) for table in tables.values()])
    means = values.mean(axis=0)
    best = len(names) - 1 - int(np.argmax(means[::-1]))
    chosen = names.index(undervalued) if undervalued in names and is_close(values[:, names.index(undervalued)], values[:, best]) else best
    others = _gains(names, values, chosen, metric, samples, seed)
    second = next((row for row in others.to_dict("records") if row["list"] != names[chosen]), None)
    versus = "" if second is None else ", {list} {mean:.4f} ({gain:+.1%} [{gain_low:+.1%}, {gain_high:+.1%}])".format(
        **second, mean=second[metric])
    why = "it has the best" if chosen == best else "it learns from more folds now, and has within the noise the best"
    return Decision(names[chosen], f"{names[chosen]} is published because {why} mean {metric} over {len(users):,} users of the "
                                   f"backtest: {means[chosen]:.4f}{versus}.", others)


def is_close(values: Float64, best: Float64, errors: float = LEAN) -> bool:
    """Whether the mean of `values` is below that of `best`, by at most so many standard errors of the difference; one value a user."""
    behind = best - values
    return bool(0 < behind.mean() <= errors * behind.std(ddof=1) / np.sqrt(len(behind))) if len(behind) > 1 else False


def _gains(names: list[str], values: Float64, best: int, metric: str, samples: int, seed: int) -> pd.DataFrame:
    means, resampled = values.mean(axis=0), bootstrap_means(values, samples, seed)
    base = max(means[best], np.finfo(float).tiny)
    low, high = interval((resampled - resampled[:, [best]]) / base)
    table = pd.DataFrame({"list": names, "users": len(values), metric: means, "gain": (means - means[best]) / base, "gain_low": low,
                          "gain_high": high})
    return table.sort_values(metric, ascending=False, kind="stable", ignore_index=True)
