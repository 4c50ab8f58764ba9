"""Which rule of choice finds the best of the values that tuning tries: a matrix of values x folds, and every rule on it."""

import dataclasses
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.real_splits import LOGS, METRIC, Case, Results, Rows, dataset, days_of, moment_of, table
from musicrec import settings
from musicrec.dataset import Float32, folds_before
from musicrec.errors import ModelError
from musicrec.evaluation import Evaluator
from musicrec.evaluation.significance import sign_flip_p
from musicrec.lists import Lists
from musicrec.models import MODELS
from musicrec.tuning import SPACES, slices

WIDE = "ndcg@100"
# ALS takes too long for a matrix.
TUNED = ("item_knn", "user_knn")


def tuning(logs: list[str], data: Path, work: Path, trials: int) -> None:
    """Rules of choice on a matrix of values x folds, and what each chosen value is worth on the test set after the folds."""
    results: Results = defaultdict(dict)
    for log in logs:
        whole = dataset(log, data, work)
        for cutoff in LOGS[log].cutoffs:
            at = moment_of(whole, cutoff)
            folds = folds_before(days_of(whole), at, 0.1, 4)
            on = [Case(log, cutoff, one.train, one.test) for one in slices(whole, folds)] + [Case(log, cutoff, *whole.split(at))]
            for name in TUNED:
                tried = list(values_of(f"candidates.{name}", trials))
                made = settings.load(environ={}).component(f"candidates.{name}", MODELS[name])
                matrix = [[scores(case, dataclasses.replace(made, **values)) for case in on] for values in tried]
                for rule, chosen in chosen_by_rules(tried, [[pd.concat(row[:-1]), *row] for row in matrix]).items():
                    test = [matrix[place][-1][METRIC] for place in chosen]
                    results[rule][f"{log}: {name}", cutoff] = pd.concat(test).groupby(level=0).mean()
                print(log, cutoff, name, {rule: f"{of_case[f'{log}: {name}', cutoff].mean():.4f}" for rule, of_case in results.items()},
                      flush=True)
    print(table(results))


def values_of(section: str, trials: int) -> Iterator[dict[str, Any]]:
    """The shipped values first, then some drawn at random from the search space."""
    rng = np.random.default_rng(0)
    yield {}
    for _ in range(trials):
        drawn = {key: float(np.exp(rng.uniform(np.log(one.low), np.log(one.high)))) if one.log else float(rng.uniform(one.low, one.high))
                 for key, one in SPACES[section].items()}
        yield {key: round(value) if isinstance(SPACES[section][key].low, int) else value for key, value in drawn.items()}


def scores(case: Case, model: Any) -> Rows:
    """NDCG at 10 and 100 of the warm users."""
    evaluator = Evaluator(case.train, case.test, (10, 100))
    try:
        evaluator.add("it", Lists(evaluator.user_ids, *model.fit(case.train).recommend(evaluator.train_rows, 100)))
    except ModelError:
        return pd.DataFrame(0.0, evaluator.user_ids, [METRIC, WIDE])
    warm = evaluator.members("warm")
    relevance = evaluator.relevance("it")
    return pd.DataFrame({name: relevance[name][warm] for name in (METRIC, WIDE)}, evaluator.user_ids[warm])


def chosen_by_rules(tried: list[dict[str, Any]], matrix: list[list[Rows]], of: int = 24, times: int = 12) -> dict[str, list[int]]:
    """The values that each rule chooses, from several draws of so many values; matrix: all folds, each fold, test set, of each value."""
    rng, chosen = np.random.default_rng(1), defaultdict[str, list[int]](list)
    by_user = {metric: np.array([row[0][metric].groupby(level=0).mean().to_numpy() for row in matrix]) for metric in (METRIC, WIDE)}
    by_fold = np.array([[one[METRIC].mean() for one in row[1:-1]] for row in matrix])
    means = {metric: values.mean(axis=1) for metric, values in by_user.items()}

    def adopted(place: int, metric: str) -> int:
        return place if sign_flip_p(by_user[metric][place] - by_user[metric][0], 2000) < 0.1 else 0

    for _ in range(times):
        among = [0, *(1 + rng.choice(len(tried) - 1, min(of, len(tried)) - 1, replace=False))]
        halved = halving(by_fold[among][:, ::-1])
        survivor = among[max(halved, key=lambda at: means[METRIC][among[at]])]
        best = {metric: max(among, key=lambda at: values[at]) for metric, values in means.items()}
        both = max(among, key=lambda at: sum(values[at] / values[0] for values in means.values()))
        smooth = among[int(np.argmax(smoothed([tried[at] for at in among[1:]], means[METRIC][among[1:]]))) + 1] if len(among) > 8 else 0
        for rule, place in {"as shipped": 0, "halving, p < 0.1 (today)": adopted(survivor, METRIC), "halving, best": survivor,
                            "all folds, p < 0.1": adopted(best[METRIC], METRIC), "all folds, best": best[METRIC],
                            "all folds, NDCG@100, p < 0.1": adopted(best[WIDE], WIDE), "all folds, NDCG@100, best": best[WIDE],
                            "all folds, both, best": both, "smoothed": smooth if means[METRIC][smooth] > means[METRIC][0] else 0,
                            "best on the test set": max(among, key=lambda at: matrix[at][-1][METRIC].mean())}.items():
            chosen[rule].append(place)
    return chosen


def halving(by_fold: Float32) -> list[int]:
    """The values that reach the last fold when each goes on from a fold only while among the best third there, in their order."""
    reached: list[list[float]] = [[] for _ in range(by_fold.shape[1])]
    whole = []
    for place, row in enumerate(by_fold):
        for step in range(len(row)):
            value = row[:step + 1].mean()
            reached[step].append(value)
            if step == len(row) - 1:
                whole.append(place)
            elif step in (0, 2) and sorted(reached[step], reverse=True)[max(len(reached[step]) // 3, 1) - 1] > value:
                break
    return whole or [0]


def smoothed(tried: list[dict[str, Any]], means: Float32) -> Float32:
    """The means as a Gaussian process over the logarithms of the values sees them."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    x = np.log(np.maximum(np.array([list(one.values()) for one in tried], float), 1e-3))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = (means - means.mean()) / max(means.std(), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianProcessRegressor(RBF(np.full(x.shape[1], 2.0), (0.5, 50)) + WhiteKernel(0.1, (1e-3, 10)), random_state=0)
        fitted: Float32 = model.fit(x, y).predict(x)
    return fitted
