"""What each model is worth and what it costs, side by side."""

import time

import numpy as np
import pandas as pd

from musicrec.dataset import Int32
from musicrec.evaluation import Evaluator, comparison, marginal_hits
from musicrec.models import FittedModel
from musicrec.pipeline.workspace import Workspace
from musicrec.recommender import TwoStageRecommender

QUALITY = ["model", "recall@10", "recall@100", "ndcg@10", "coverage@10", "novelty@10", "self_information@10", "served"]


def model_report(work: Workspace, made: TwoStageRecommender, evaluator: Evaluator, most_users: int = 4096) -> pd.DataFrame:
    """One row a model and baseline, best ndcg@10 first: its quality over warm users, its worth in the union, its costs.

    Columns: model; recall, ndcg, coverage, novelty, self_information at the lengths in their names; served; only_here: items of the test
    set that none of the others recommends; fit_seconds and peak_gb of its last fit in this workspace (NaN where it was not fitted here);
    users_per_second: lists of [ranking] k for at most `most_users` users, evenly spread, made now. No rows where nobody was evaluated.
    """
    every, train = made.fitted.models, made.fitted.train
    quality = comparison(evaluator, users="warm", samples=0).set_index("model", drop=False)[QUALITY]
    if quality.empty:
        return quality.reset_index(drop=True).reindex(columns=[*QUALITY, "only_here", "users_per_second", "fit_seconds", "peak_gb"])
    quality = quality.loc[list(every)]
    alone = marginal_hits(evaluator, tuple(every)).set_index("model")["only_here"]
    rows = np.linspace(0, len(train.user_ids) - 1, min(most_users, len(train.user_ids))).astype(np.int32)
    speed = [users_per_second(one, rows, work.settings.ranking.k) for one in every.values()]
    costs = work.stages.last_fits().reindex(list(every))
    report = quality.assign(only_here=alone[list(every)], users_per_second=speed, **{name: costs[name] for name in costs})
    return report.sort_values("ndcg@10", ascending=False, kind="stable", ignore_index=True)


def users_per_second(model: FittedModel, rows: Int32, k: int) -> float:
    """How many of these users get their k best items in a second on the clock; what is compiled on the first call does not count."""
    model.recommend(rows[:2], k)
    start = time.perf_counter()
    model.recommend(rows, k)
    return len(rows) / max(time.perf_counter() - start, 1e-9)
