"""Hyperparameter search for models and ranker on the folds before the cutoff; the test set is never read."""

from musicrec.tuning.objectives import Slice, model_evaluated, ranker_evaluated, slices
from musicrec.tuning.search import Found, searched
from musicrec.tuning.spaces import SPACES

__all__ = ["SPACES", "Found", "Slice", "model_evaluated", "ranker_evaluated", "searched", "slices"]
