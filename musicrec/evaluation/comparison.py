"""The table of models: the same users in every row, means over users, intervals, and a paired test against the best baseline."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from musicrec.dataset import Interactions, TrainSet, of_users
from musicrec.evaluation.accumulator import MEASURES
from musicrec.evaluation.evaluator import KS, Evaluator
from musicrec.evaluation.metrics import RELEVANCE, Float64
from musicrec.evaluation.reference import score_errors
from musicrec.evaluation.significance import bootstrap_means, holm, interval, sign_flip_p
from musicrec.lists import FittedModel, batches
from musicrec.progress import progress
from musicrec.ranking import sampled_users

HEADLINE = ("model", "users", "served", "precision@10", "recall@10", "ndcg@10", "ndcg@10_low", "ndcg@10_high", "p_holm", "recall@100",
            "coverage@10", "self_information@10", "artist_diversity@10", "popularity_lift@10")

USERS_AT_A_TIME = 4096


def evaluate(models: Mapping[str, FittedModel], train: TrainSet, test: Interactions, most_users: int = 8000, *, samples: int = 1000,
             seed: int = 0) -> pd.DataFrame:
    """The rows of `comparison` for models fitted to `train`, in their order, indexed by model; no rows where nobody can be evaluated.

    Over at most `most_users` users of the test set who are in the train set.

        als = ALS(factors=64).fit(train)
        evaluate({"als": als}, train, test)
    """
    warm = of_users(test, train.user_ids)
    evaluator = Evaluator(train, of_users(warm, sampled_users(warm, most_users, seed)))
    for name in progress(models, "evaluate", unit="model"):
        for lists in batches(models[name], evaluator.user_ids, evaluator.train_rows, max(evaluator.ks), USERS_AT_A_TIME):
            evaluator.add(name, lists)
    table = comparison(evaluator, samples=samples, seed=seed).set_index("model")
    return table.loc[list(models)] if len(table) else table


def comparison(evaluator: Evaluator, baselines: Sequence[str] = (), *, users: str = "all", metric: str = "ndcg@10", samples: int = 1000,
               seed: int = 0) -> pd.DataFrame:
    """One row per model, best `metric` first, over the same `users` ("all", "warm", "cold"); all columns but no rows for an empty group.

    Columns: model; users (evaluated); served (share with at least one item in the list); the metrics of metrics.RELEVANCE at each k,
    means over all users of the group; the measures of Evaluator.measures, means over users who have them; coverage@k (share of the
    items of the train set that are in the first k of any list) and played_coverage@k (the same among played items); popularity_lift@k
    (mean listeners of recommended items, divided by those of the items that the same users have seen, minus 1; Abdollahpouri et al. 2020);
    rmse and mae (see reference.score_errors).
    Then for `metric`: {metric}_low and _high, the 95 % bootstrap interval; baseline, the model of `baselines` with the best mean, or of
    all models without any; difference from it with difference_low and _high; p of the paired sign-flip test; p_holm, corrected over
    the rows. Raises ValueError for an unknown metric or baseline.
    """
    known = [f"{name}@{k}" for k in evaluator.ks for name in RELEVANCE]
    if metric not in known or not set(baselines) <= set(evaluator.names):
        raise ValueError(f"{metric!r} must be one of {', '.join(known)} and the baselines {baselines} among {', '.join(evaluator.names)}.")
    group = evaluator.members(users)
    if not group.any() or not evaluator.names:
        return pd.DataFrame(columns=_columns(evaluator, metric))
    rows, columns = [], []
    for name in evaluator.names:
        relevant = {column: values[group] for column, values in evaluator.relevance(name).items()}
        rows.append(_means(evaluator, name, relevant, users, group))
        columns.append(relevant[metric])
    tests = _tested(np.column_stack(columns), evaluator.names, tuple(baselines) or evaluator.names, metric, samples, seed)
    table = pd.DataFrame(rows).assign(**tests)
    return table.sort_values(metric, ascending=False, kind="stable", ignore_index=True)


def by_user(evaluators: Sequence[Evaluator], users: str = "all") -> dict[str, pd.DataFrame]:
    """For each model one row per user over several folds, ascending user_id: the means of that user's rows of Evaluator.table.

    The user is the unit: a user of three folds is one row, not three. All folds have lists of the same models.
    """
    tables = {}
    for name in evaluators[0].names if evaluators else ():
        rows = pd.concat([one.table(name)[one.members(users)] for one in evaluators], ignore_index=True)
        tables[name] = rows.groupby("user_id", as_index=False).mean()
    return tables


def pooled_comparison(evaluators: Sequence[Evaluator], baselines: Sequence[str] = (), *, users: str = "all", metric: str = "ndcg@10",
                      samples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One row per model over all folds together, best `metric` first: model, users, the metrics of metrics.RELEVANCE at each k,
    and the interval and tests of `metric` as in comparison. Means, intervals and tests are over users, see by_user.
    """
    tables = by_user(evaluators, users)
    known = [f"{name}@{k}" for k in KS for name in RELEVANCE]
    if not tables or not len(next(iter(tables.values()))):
        return pd.DataFrame(columns=["model", "users", *known, *_test_columns(metric)])
    names = tuple(tables)
    rows = [{"model": name, "users": len(table)} | {column: float(table[column].mean()) for column in known if column in table}
            for name, table in tables.items()]
    values = np.column_stack([table[metric].to_numpy() for table in tables.values()])
    tests = _tested(values, names, tuple(name for name in baselines if name in names) or names, metric, samples, seed)
    return pd.DataFrame(rows).assign(**tests).sort_values(metric, ascending=False, kind="stable", ignore_index=True)


def _test_columns(metric: str) -> list[str]:
    return [f"{metric}_low", f"{metric}_high", "baseline", "difference", "difference_low", "difference_high", "p", "p_holm"]


def _columns(evaluator: Evaluator, metric: str) -> list[str]:
    by_k = [f"{name}@{k}" for names in (RELEVANCE, MEASURES) for k in evaluator.ks for name in names]
    by_name = [f"{name}@{k}" for name in ("coverage", "played_coverage", "popularity_lift") for k in evaluator.ks]
    return ["model", "users", "served", *by_k, *by_name, "rmse", "mae", *_test_columns(metric)]


def _means(evaluator: Evaluator, name: str, relevant: dict[str, Float64], users: str, group: NDArray[np.bool_]) -> dict[str, object]:
    measures = {column: values[group] for column, values in evaluator.measures(name).items()}
    served = float((evaluator.accumulators[name].lengths[group] > 0).mean())
    row: dict[str, object] = {"model": name, "users": int(group.sum()), "served": served}
    row |= {column: float(values.mean()) for column, values in relevant.items()}
    row |= {column: _mean(values) for column, values in measures.items()}
    row |= _coverage(evaluator, name, users)
    row |= {f"popularity_lift@{k}": _lift(measures[f"listeners@{k}"], evaluator.profile_listeners[group]) for k in evaluator.ks}
    return row | score_errors(evaluator, name, group)


def _mean(values: Float64) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _coverage(evaluator: Evaluator, name: str, users: str) -> dict[str, float]:
    sides = {"all": [0, 1], "warm": [1], "cold": [0]}[users]
    listed = [evaluator.accumulators[name].exposure(j)[sides].any(axis=0) for j in range(len(evaluator.ks))]
    played = evaluator.train.n_listeners > 0
    n_played = max(int(played.sum()), 1)
    coverage = {f"coverage@{k}": float(listed[j].mean()) for j, k in enumerate(evaluator.ks)}
    return coverage | {f"played_coverage@{k}": float((listed[j] & played).sum() / n_played) for j, k in enumerate(evaluator.ks)}


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
    """Comparison tables of several protocols in one: a row per model, in the order of the first table, a column per (metric, protocol).

    A model that a protocol lacks has NaN there.
    """
    parts = {protocol: table.set_index("model")[list(metrics)] for protocol, table in tables.items()}
    return pd.concat(parts, axis=1).swaplevel(axis=1)[[(metric, protocol) for metric in metrics for protocol in parts]]
