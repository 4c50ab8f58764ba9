"""The table of generators: the same users in every row, means over users, intervals, and a paired test against the best baseline."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.evaluation.judge import Judge
from musicrec.evaluation.metrics import RELEVANCE, Float64
from musicrec.evaluation.seeds import score_errors
from musicrec.evaluation.significance import bootstrap_means, holm, interval, sign_flip_p

HEADLINE = ("generator", "users", "served", "precision@10", "recall@10", "ndcg@10", "ndcg@10_low", "ndcg@10_high", "p_holm", "recall@100",
            "coverage@10", "self_information@10", "artist_diversity@10", "popularity_lift@10")


def comparison(judge: Judge, baselines: Sequence[str] = (), *, users: str = "all", metric: str = "ndcg@10", samples: int = 1000,
               seed: int = 0) -> pd.DataFrame:
    """One row a generator, best `metric` first, over the same `users` ("all", "warm", "cold"); no rows when the group is empty.

    Columns: generator; users (judged); served (share with a list of at least one track); the metrics of metrics.RELEVANCE at each k,
    means over all users of the group; the measures of Judge.measures, means over users who have them; coverage@k (share of the
    catalogue shown in any first k) and heard_coverage@k (same, of and among tracks with listeners); popularity_lift@k (mean listeners of
    recommended tracks, divided by those of the same users' histories, minus 1; Abdollahpouri et al. 2020); rmse and mae (see seeds).
    Then for `metric`: {metric}_low and _high, the 95 % bootstrap interval; baseline, the generator of `baselines` with the best mean, or
    of all when none is named; difference from it with difference_low and _high; p of the paired sign-flip test; p_holm, corrected over
    the rows. Raises ValueError for a metric or baseline that the judge does not know.
    """
    known = [f"{name}@{k}" for k in judge.ks for name in RELEVANCE]
    if metric not in known or not set(baselines) <= set(judge.names):
        raise ValueError(f"{metric!r} must be one of {', '.join(known)} and the baselines {baselines} among {', '.join(judge.names)}.")
    group = judge.members(users)
    if not group.any() or not judge.names:
        return pd.DataFrame(columns=["generator", "users"])
    rows, columns = [], []
    for name in judge.names:
        relevant = {column: values[group] for column, values in judge.relevance(name).items()}
        rows.append(_means(judge, name, relevant, users, group))
        columns.append(relevant[metric])
    tests = _tested(np.column_stack(columns), judge.names, tuple(baselines) or judge.names, metric, samples, seed)
    table = pd.DataFrame(rows).assign(**tests)
    return table.sort_values(metric, ascending=False, kind="stable", ignore_index=True)


def pooled(judges: Sequence[Judge], users: str = "all") -> dict[str, pd.DataFrame]:
    """Judge.table of each generator for the same `users` of several windows, one under the other. A user of two windows is two rows."""
    return {name: pd.concat([judge.table(name)[judge.members(users)] for judge in judges], ignore_index=True) for name in judges[0].names}


def pooled_comparison(judges: Sequence[Judge], baselines: Sequence[str] = (), *, users: str = "all", metric: str = "ndcg@10",
                      samples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One row a generator over all windows together, best `metric` first: generator, users, the metrics of metrics.RELEVANCE at each k,
    and the interval and tests of `metric` as in comparison.
    """
    tables = pooled(judges, users)
    names, known = tuple(tables), [f"{name}@{k}" for k in judges[0].ks for name in RELEVANCE]
    rows = [{"generator": name, "users": len(table)} | {column: float(table[column].mean()) for column in known}
            for name, table in tables.items()]
    values = np.column_stack([table[metric].to_numpy() for table in tables.values()])
    tests = _tested(values, names, tuple(baselines) or names, metric, samples, seed)
    return pd.DataFrame(rows).assign(**tests).sort_values(metric, ascending=False, kind="stable", ignore_index=True)


def _means(judge: Judge, name: str, relevant: dict[str, Float64], users: str, group: NDArray[np.bool_]) -> dict[str, object]:
    measures = {column: values[group] for column, values in judge.measures(name).items()}
    served = float((judge.tallies[name].lengths[group] > 0).mean())
    row: dict[str, object] = {"generator": name, "users": int(group.sum()), "served": served}
    row |= {column: float(values.mean()) for column, values in relevant.items()}
    row |= {column: _mean(values) for column, values in measures.items()}
    row |= _coverage(judge, name, users)
    row |= {f"popularity_lift@{k}": _lift(measures[f"listeners@{k}"], judge.profile_listeners[group]) for k in judge.ks}
    return row | score_errors(judge, name, group)


def _mean(values: Float64) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _coverage(judge: Judge, name: str, users: str) -> dict[str, float]:
    sides = {"all": [0, 1], "warm": [1], "cold": [0]}[users]
    shown = [judge.tallies[name].exposure(j)[sides].any(axis=0) for j in range(len(judge.ks))]
    heard = judge.history.n_listeners > 0
    known = max(int(heard.sum()), 1)
    covered = {f"coverage@{k}": float(shown[j].mean()) for j, k in enumerate(judge.ks)}
    return covered | {f"heard_coverage@{k}": float((shown[j] & heard).sum() / known) for j, k in enumerate(judge.ks)}


def _lift(listed: Float64, profile: Float64) -> float:
    both = ~np.isnan(listed) & ~np.isnan(profile)
    return float(listed[both].mean() / profile[both].mean() - 1) if both.any() else float("nan")


def _tested(values: Float64, names: tuple[str, ...], baselines: tuple[str, ...], metric: str, samples: int, seed: int) -> dict[str, object]:
    means = bootstrap_means(values, samples, seed)
    low, high = interval(means)
    at = names.index(max((name for name in names if name in baselines), key=lambda name: values[:, names.index(name)].mean()))
    difference_low, difference_high = interval(means - means[:, [at]])
    p = [np.nan if j == at else sign_flip_p(values[:, j] - values[:, at], seed=seed) for j in range(len(names))]
    return {f"{metric}_low": low, f"{metric}_high": high, "baseline": names[at], "difference": values.mean(axis=0) - values[:, at].mean(),
            "difference_low": difference_low, "difference_high": difference_high, "p": p, "p_holm": holm(p)}


def side_by_side(tables: dict[str, pd.DataFrame], metrics: Sequence[str] = ("precision@10", "recall@10", "ndcg@10")) -> pd.DataFrame:
    """One row a generator, one column a (metric, protocol): comparison tables of several protocols beside each other.

    Order of the first table; a generator that a protocol lacks has NaN there.
    """
    parts = {protocol: table.set_index("generator")[list(metrics)] for protocol, table in tables.items()}
    return pd.concat(parts, axis=1).swaplevel(axis=1)[[(metric, protocol) for metric in metrics for protocol in parts]]
