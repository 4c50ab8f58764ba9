"""Search spaces: those that model classes declare, and that of the ranker."""

from musicrec.models import MODELS, Range, SearchSpace

SPACES: dict[str, SearchSpace] = {
    **{f"candidates.{name}": kind.search_space for name, kind in MODELS.items() if hasattr(kind, "search_space")},
    "ranking": {"depth": Range(3, 8), "learning_rate": Range(0.01, 0.2, log=True), "l2_leaf_reg": Range(1.0, 100.0, log=True)},
}
