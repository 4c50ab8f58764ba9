"""What each generator is worth and what it costs, side by side."""

import time

import numpy as np
import pandas as pd

from musicrec.evaluation import Judge, comparison, marginal_hits
from musicrec.lists import Recommender
from musicrec.matrix import Int32
from musicrec.pipeline.contending import Fitted
from musicrec.pipeline.workspace import Workspace

QUALITY = ["generator", "recall@10", "recall@100", "ndcg@10", "coverage@10", "unheard@10", "self_information@10", "served"]


def generator_report(work: Workspace, made: Fitted, judge: Judge, most_users: int = 4096) -> pd.DataFrame:
    """One row a generator and baseline, best ndcg@10 first: its quality over warm users, its worth in the union, its costs.

    Columns: generator; recall, ndcg, coverage, novelty (unheard, self_information) at the lengths in their names; served; only_here:
    played tracks of judged users that none of the others offers; fit_seconds and peak_gb of its last fit in this workspace (NaN
    where it was not fitted here); users_per_second: lists of [ranking] k for at most `most_users` users, evenly spread, made now.
    """
    every = {**made.baselines, **made.recommenders}
    quality = comparison(judge, users="warm", samples=0).set_index("generator", drop=False)[QUALITY].loc[list(every)]
    alone = marginal_hits(judge, tuple(every)).set_index("generator")["only_here"]
    fits = work.stages.table().set_index("stage")
    rows = np.linspace(0, len(made.history.user_ids) - 1, min(most_users, len(made.history.user_ids))).astype(np.int32)
    speed = [users_per_second(one, rows, work.settings.ranking.k) for one in every.values()]
    costs = pd.DataFrame([_last_fit(fits, name) for name in every], index=list(every), columns=["fit_seconds", "peak_gb"])
    report = quality.assign(only_here=alone[list(every)], users_per_second=speed, **{name: costs[name] for name in costs})
    return report.sort_values("ndcg@10", ascending=False, kind="stable", ignore_index=True)


def users_per_second(recommender: Recommender, rows: Int32, k: int) -> float:
    """How many of these users get their k best items in a second on the clock; what is compiled on the first call does not count."""
    recommender.recommend(rows[:2], k)
    start = time.perf_counter()
    recommender.recommend(rows, k)
    return len(rows) / max(time.perf_counter() - start, 1e-9)


def _last_fit(stages: pd.DataFrame, name: str) -> tuple[float, float]:
    own = stages[stages.index.str.endswith(f"fit {name}")]
    return (float(own["seconds"].iloc[-1]), float(own["peak_gb"].iloc[-1])) if len(own) else (np.nan, np.nan)
