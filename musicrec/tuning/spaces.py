"""Search spaces: the tuned keys of each section of config.ini and their ranges."""

from dataclasses import dataclass
from typing import Any

from optuna.trial import Trial


@dataclass(frozen=True)
class Range:
    """The range of one key: integers when both ends are integers; log: on a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    def drawn(self, trial: Trial, key: str) -> float | int:
        """A value suggested by the study of `trial`."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            whole: int = trial.suggest_int(key, self.low, self.high, log=self.log)
            return whole
        value: float = trial.suggest_float(key, self.low, self.high, log=self.log)
        return value


Space = dict[str, Range]
SPACES: dict[str, Space] = {
    "candidates.popular_decayed": {"half_life_days": Range(7.0, 720.0, log=True)},
    "candidates.als": {"factors": Range(16, 128, log=True), "regularization": Range(0.1, 100.0, log=True),
                       "alpha": Range(0.5, 40.0, log=True), "genre_weight": Range(1.0, 40.0, log=True),
                       "artist_weight": Range(1.0, 40.0, log=True)},
    "candidates.item_knn": {"neighbors": Range(10, 400, log=True), "k1": Range(0.05, 5.0, log=True), "b": Range(0.0, 1.0),
                            "half_life_days": Range(30.0, 3000.0, log=True)},
    "candidates.user_knn": {"neighbors": Range(10, 400, log=True), "shrinkage": Range(0.1, 100.0, log=True),
                              "idf_power": Range(0.0, 2.0), "half_life_days": Range(30.0, 3000.0, log=True)},
    "candidates.content": {"artists": Range(0.0, 3.0), "albums": Range(0.0, 3.0),
                           "popularity_half_life_days": Range(7.0, 365.0, log=True)},
    "candidates.artist_affinity": {"album_weight": Range(0.0, 3.0), "half_life_days": Range(30.0, 3000.0, log=True)},
    "ranking": {"depth": Range(3, 8), "learning_rate": Range(0.01, 0.2, log=True), "l2_leaf_reg": Range(1.0, 100.0, log=True)},
}


def drawn(trial: Trial, space: Space) -> dict[str, Any]:
    """A value for each key of the space, suggested by the study of `trial`."""
    return {key: values.drawn(trial, key) for key, values in space.items()}


def within(space: Space, values: dict[str, Any]) -> bool:
    """Whether `values` are in the ranges of the space.

    >>> within({"depth": Range(3, 8)}, {"depth": 4}), within({"depth": Range(3, 8)}, {"depth": 12})
    (True, False)
    """
    return all(allowed.low <= values[key] <= allowed.high for key, allowed in space.items())
