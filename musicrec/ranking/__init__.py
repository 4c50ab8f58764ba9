"""Ranking: candidates and labels become a training table, CatBoost learns from it, and what it learned orders the candidates.

`pairs` unites the generators' lists, `feature_matrix` describes the pairs, `training_table` adds what was played in a label window,
`fit_weighted` and `fit_ranker` learn from several windows, `Ranked` answers for batches of users, `Fusion` is the plain alternative.
"""

from musicrec.ranking.fusion import Fusion, reciprocal_rank_fusion
from musicrec.ranking.matrices import Features, feature_matrix, feature_names
from musicrec.ranking.model import Ranker, RankerSettings, fit_ranker, loaded, tree_count
from musicrec.ranking.pairs import Pairs, answers, pairs, top
from musicrec.ranking.ranked import Ranked, Scored
from musicrec.ranking.rules import Ruled, Rules, tail
from musicrec.ranking.training import TrainingTable, sampled_users, targets, training_table
from musicrec.ranking.weighted import Weighted, fit_weighted

__all__ = [
    "Features", "Fusion", "Pairs", "Ranked", "Ranker", "RankerSettings", "Ruled", "Rules", "Scored", "TrainingTable", "Weighted",
    "answers", "feature_matrix", "feature_names", "fit_ranker", "fit_weighted", "loaded", "pairs", "reciprocal_rank_fusion",
    "sampled_users", "tail", "targets", "top", "training_table", "tree_count",
]
