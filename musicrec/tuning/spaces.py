"""What is tuned: for each section of config.ini its keys and their ranges."""

from dataclasses import dataclass
from typing import Any

from optuna.trial import Trial


@dataclass(frozen=True)
class Between:
    """A range of one key: whole numbers when both ends are whole, drawn evenly on a logarithmic scale when `log`."""

    low: float
    high: float
    log: bool = False

    def drawn(self, trial: Trial, key: str) -> float | int:
        """The value that the study suggests."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            whole: int = trial.suggest_int(key, self.low, self.high, log=self.log)
            return whole
        value: float = trial.suggest_float(key, self.low, self.high, log=self.log)
        return value


Space = dict[str, Between]
SPACES: dict[str, Space] = {
    "candidates.popular_decayed": {"half_life_days": Between(7.0, 720.0, log=True)},
    "candidates.als": {"factors": Between(16, 128, log=True), "regularization": Between(0.1, 100.0, log=True),
                       "alpha": Between(0.5, 40.0, log=True), "genre_weight": Between(1.0, 40.0, log=True),
                       "artist_weight": Between(1.0, 40.0, log=True)},
    "candidates.item_knn": {"neighbors": Between(10, 400, log=True), "k1": Between(0.05, 5.0, log=True), "b": Between(0.0, 1.0),
                            "half_life_days": Between(30.0, 3000.0, log=True)},
    "candidates.user_knn": {"neighbors": Between(10, 400, log=True), "shrinkage": Between(0.1, 100.0, log=True),
                              "idf_power": Between(0.0, 2.0), "half_life_days": Between(30.0, 3000.0, log=True)},
    "candidates.content": {"artists": Between(0.0, 3.0), "albums": Between(0.0, 3.0),
                           "popularity_half_life_days": Between(7.0, 365.0, log=True)},
    "candidates.artist_affinity": {"album_weight": Between(0.0, 3.0), "half_life_days": Between(30.0, 3000.0, log=True)},
    "ranking": {"depth": Between(3, 8), "learning_rate": Between(0.01, 0.2, log=True), "l2_leaf_reg": Between(1.0, 100.0, log=True)},
}


def drawn(trial: Trial, space: Space) -> dict[str, Any]:
    """One value a key of the space."""
    return {key: between.drawn(trial, key) for key, between in space.items()}


def within(space: Space, values: dict[str, Any]) -> bool:
    """Whether the present values lie in the ranges, so that a study can begin with them.

    >>> within({"depth": Between(3, 8)}, {"depth": 4}), within({"depth": Between(3, 8)}, {"depth": 12})
    (True, False)
    """
    return all(between.low <= values[key] <= between.high for key, between in space.items())
