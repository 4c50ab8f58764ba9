"""Tuning of generators and ranker on the label windows before test_start; the judged future is never read."""

from musicrec.tuning.confirming import Confirmation, confirmation
from musicrec.tuning.objectives import generator_judged, ranker_judged, slices
from musicrec.tuning.picture import draw
from musicrec.tuning.spaces import SPACES
from musicrec.tuning.study import Tuned, tuned

__all__ = ["SPACES", "Confirmation", "Tuned", "confirmation", "draw", "generator_judged", "ranker_judged", "slices", "tuned"]
