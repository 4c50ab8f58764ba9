"""Hyperparameter tuning of models and ranker on the folds before the cutoff; the test set is never read."""

from musicrec.tuning.confirming import Confirmation, confirmation
from musicrec.tuning.objectives import model_evaluated, ranker_evaluated, slices
from musicrec.tuning.picture import draw
from musicrec.tuning.spaces import SPACES
from musicrec.tuning.study import Tuned, tuned

__all__ = ["SPACES", "Confirmation", "Tuned", "confirmation", "draw", "model_evaluated", "ranker_evaluated", "slices", "tuned"]
