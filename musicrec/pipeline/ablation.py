"""What feature groups bring: the latest fold ranked without each of them, or with one more."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from musicrec.dataset import Interactions, of_users
from musicrec.dataset.split import train_set_of_users
from musicrec.errors import RankingError
from musicrec.evaluation import BacktestResult, Evaluator
from musicrec.evaluation.significance import holm, sign_flip_p
from musicrec.features import FEATURES
from musicrec.lists import Lists
from musicrec.pipeline.plan import Plan
from musicrec.pipeline.workspace import Tables, Workspace, ranker_settings, recommender
from musicrec.ranking import TrainingTable, best_candidates, fit_ranker, learnable, sampled_users, tree_count
from musicrec.recommender import CandidateTable, TwoStageRecommender

WHOLE, NO_TREES = "all groups", "no trees (blender)"
MOST_TREES = 100


@dataclasses.dataclass(frozen=True)
class Latest:
    """The latest fold: a recommender fitted before it, what some of its users went on to play, and their candidates."""

    made: TwoStageRecommender
    test: Interactions
    table: CandidateTable


def latest(work: Workspace, tables: Tables, chosen: Plan, most_users: int = 2000) -> Latest:
    """The latest fold of the plan, fitted anew, for at most `most_users` of its warm users."""
    fold, settings = chosen.folds[-1], work.settings
    train, test = tables.dataset.split(fold.start, fold.end)
    made = dataclasses.replace(recommender(settings), baselines={}).fit(train)
    warm = of_users(test, train.user_ids)
    theirs = of_users(warm, sampled_users(warm, most_users, settings.ranking.seed))
    return Latest(made, theirs, made.candidates(theirs.user_ids))


def ablation(work: Workspace, result: BacktestResult, on: Latest, most_rows: int = 40_000, metric: str = "ndcg@10") -> pd.DataFrame:
    """One row a feature group: `metric` on the latest fold of rankers that learned from the folds before it without that group.

    Columns: without, features (how many columns are missing), `metric`, difference (what its absence changes), p of the paired
    test against all groups and p_holm. Rankers of one seed, all with the same number of trees, MOST_TREES at most, on at most `most_rows`
    rows: a dozen rankers that are compared with each other need not be the best.
    With a single fold, learned from and evaluated on, the differences are those of memory. Raises RankingError where no fold has a hit.
    """
    tables = learnable(result.training[:-1]) or learnable(result.training)
    if not tables:
        raise RankingError("no candidate was played in any fold, so no feature can be told from another.")
    tables, settings = _shortened(tables, most_rows), dataclasses.replace(ranker_settings(work.settings), n_seeds=1)
    trees = min(tree_count(tables, settings), MOST_TREES)
    values = {name: _evaluated(on, tables, settings, trees, name, metric) for name in (WHOLE, NO_TREES, *on.made.features)}
    differences = {name: own - values[WHOLE] for name, own in values.items()}
    p = [np.nan if name == WHOLE else sign_flip_p(difference) for name, difference in differences.items()]
    sizes = [len(on.table.columns.groups.get(name, ())) for name in values]
    return pd.DataFrame({"without": list(values), "features": sizes, metric: [float(own.mean()) for own in values.values()],
                         "difference": [float(own.mean()) for own in differences.values()], "p": p, "p_holm": holm(p)})


def with_and_without(work: Workspace, on: Latest, group: str, metric: str = "ndcg@10") -> pd.DataFrame:
    """`metric` of the ranked list in the latest fold, without the feature group and with it: one row each, and their users.

    Half of the users teach a quick ranker that ranks for the other half.
    """
    made = on.made.with_features({group: work.settings.component(f"features.{group}", FEATURES[group])})
    on = Latest(made, on.test, made.candidates(on.test.user_ids))
    half = on.test.user_ids % 2 == 0
    table = on.made.training_table(on.test.user_ids[half], of_users(on.test, on.test.user_ids[half]), work.settings.ranking.negatives)
    settings, rows = dataclasses.replace(ranker_settings(work.settings), n_seeds=1), []
    for said, missing in (("without", group), ("with", WHOLE)):
        own = _evaluated(on, [table], settings, MOST_TREES, missing, metric)[~half] if table.learnable else np.zeros(0)
        rows.append({group: said, "users": len(own), metric: float(own.mean()) if len(own) else np.nan})
    return pd.DataFrame(rows)


def _evaluated(on: Latest, tables: list[TrainingTable], settings: Any, trees: int, missing: str, metric: str) -> Any:
    found, columns = on.table.candidates, on.table.columns
    if missing in columns.groups:
        _, places = columns.without(missing)
        ranker, matrix = fit_ranker([table.without(missing) for table in tables], settings, trees), on.table.features[:, places]
    else:
        ranker, matrix = fit_ranker(tables, settings, trees), on.table.features
    scores = ranker.blender.scores(found) if missing == NO_TREES else ranker.scores_of_rows(matrix)
    evaluator = Evaluator(train_set_of_users(on.made.fitted.train, on.test.user_ids), on.test)
    evaluator.add(missing, Lists(on.table.user_ids, *best_candidates(found, scores, evaluator.ks[-1])))
    own = np.zeros(len(on.test.user_ids))
    own[np.searchsorted(on.test.user_ids, evaluator.user_ids)] = evaluator.relevance(missing)[metric]
    return own


def _shortened(tables: list[TrainingTable], most_rows: int) -> list[TrainingTable]:
    # Users are kept whole: those in front, ids being no better than drawn.
    each = most_rows // len(tables)
    cuts = [len(table) if len(table) <= each else int(np.searchsorted(table.group, table.group[each])) for table in tables]
    return [table.where(np.arange(max(cut, 1))) for table, cut in zip(tables, cuts)]
