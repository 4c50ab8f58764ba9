"""Ranking: the lists of the models become candidates, and a blender and CatBoost learn to order them.

`candidates` unites the lists, `feature_matrix` describes the candidates, `training_table` adds what was played in a fold, and
`fit_blender` and `fit_ranker` learn from the tables of several folds. `constrained` limits the lists.
"""

from musicrec.ranking.blender import Blender, fit_blender
from musicrec.ranking.candidates import Candidates, ModelLists, best_candidates, candidates, first_k, lists_of_models
from musicrec.ranking.constraints import Constraints, constrained, tail
from musicrec.ranking.feature_matrix import FeatureColumns, Features, FittedFeatures, columns, feature_matrix
from musicrec.ranking.ranker import Ranker, RankerSettings, fit_ranker, learnable, learning_curve, load_ranker, tree_count
from musicrec.ranking.training import TrainingTable, sampled_users, training_table, training_users

__all__ = [
    "Blender",
    "Candidates",
    "Constraints",
    "FeatureColumns",
    "Features",
    "FittedFeatures",
    "ModelLists",
    "Ranker",
    "RankerSettings",
    "TrainingTable",
    "best_candidates",
    "candidates",
    "columns",
    "constrained",
    "feature_matrix",
    "first_k",
    "fit_blender",
    "fit_ranker",
    "learnable",
    "learning_curve",
    "lists_of_models",
    "load_ranker",
    "sampled_users",
    "tail",
    "training_table",
    "training_users",
    "tree_count",
]
