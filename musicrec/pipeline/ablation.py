"""What feature groups bring: the latest fold ranked without each of them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from musicrec.dataset import Interactions, of_users, train_set_of_users
from musicrec.errors import RankingError
from musicrec.evaluation import Evaluator
from musicrec.evaluation.metrics import Float64
from musicrec.evaluation.significance import holm, sign_flip_p
from musicrec.lists import Lists
from musicrec.progress import progress
from musicrec.ranking import RankerSettings, TrainingTable, best_candidates, fit_ranker, learnable, sampled_users, tree_count
from musicrec.recommender import CandidateTable, TwoStageRecommender

WHOLE, NO_TREES = "all groups", "no trees (blender)"
MOST_TREES, MOST_ROWS = 60, 30_000


def ablation(training: Sequence[TrainingTable], settings: RankerSettings, fitted: TwoStageRecommender, test: Interactions,
             metric: str = "ndcg@10", most_users: int = 2000) -> pd.DataFrame:
    """One row per feature group: `metric` of rankers that learned without that group, on at most `most_users` users of a test set.

    training: the tables of the folds before the test set. fitted: a recommender fitted before the test set, whose candidates are ranked.
    Columns: without, features (how many columns are missing), `metric`, difference (what its absence changes), p of the paired
    test against all groups and p_holm. Rankers of one seed, all with the same number of trees, MOST_TREES at most, on at most MOST_ROWS
    rows: a dozen rankers that are compared with each other need not be the best. Raises RankingError where no fold has a hit.
    """
    tables = learnable(training)
    if not tables:
        raise RankingError("no candidate was played in any fold, so no feature can be told from another.")
    tables, settings = _shortened(tables), dataclasses.replace(settings, n_seeds=1)
    trees = min(tree_count(tables, settings), MOST_TREES)
    warm = of_users(test, fitted.fitted.train.user_ids)
    theirs = of_users(warm, sampled_users(warm, most_users, settings.seed))
    found = fitted.candidates(theirs.user_ids)
    evaluator = Evaluator(train_set_of_users(fitted.fitted.train, theirs.user_ids), theirs)
    values = {name: _evaluated(evaluator, found, tables, settings, trees, name, metric)
              for name in progress((WHOLE, NO_TREES, *fitted.features), "ablation", unit="ranker")}
    differences = {name: own - values[WHOLE] for name, own in values.items()}
    p = [np.nan if name == WHOLE else sign_flip_p(difference) for name, difference in differences.items()]
    return pd.DataFrame({"without": list(values), "features": [len(found.columns.groups.get(name, ())) for name in values],
                         metric: [_mean(own) for own in values.values()], "difference": [_mean(own) for own in differences.values()],
                         "p": p, "p_holm": holm(p)})


def _evaluated(evaluator: Evaluator, found: CandidateTable, tables: Sequence[TrainingTable], settings: RankerSettings, trees: int,
               missing: str, metric: str) -> Float64:
    if missing in found.columns.groups:
        _, places = found.columns.without(missing)
        scores = fit_ranker([table.without(missing) for table in tables], settings, trees).scores_of_rows(found.features[:, places])
    else:
        ranker = fit_ranker(tables, settings, trees)
        scores = ranker.blender.scores(found.candidates) if missing == NO_TREES else ranker.scores_of_rows(found.features)
    evaluator.add(missing, Lists(found.user_ids, *best_candidates(found.candidates, scores, evaluator.ks[-1])))
    return evaluator.relevance(missing)[metric]


def _mean(values: Float64) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _shortened(tables: Sequence[TrainingTable]) -> list[TrainingTable]:
    # Users are kept whole: those in front, ids being no better than drawn.
    each = MOST_ROWS // len(tables)
    cuts = [len(table) if len(table) <= each else int(np.searchsorted(table.group, table.group[each])) for table in tables]
    return [table.where(np.arange(max(cut, 1))) for table, cut in zip(tables, cuts)]
