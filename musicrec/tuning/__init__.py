"""Tuning of generators and ranker on the label windows before test_start; the judged future is never read."""

from musicrec.tuning.objectives import generator_objective, ranker_objective, slices
from musicrec.tuning.picture import draw
from musicrec.tuning.spaces import SPACES
from musicrec.tuning.study import Tuned, tuned

__all__ = ["SPACES", "Tuned", "draw", "generator_objective", "ranker_objective", "slices", "tuned"]
