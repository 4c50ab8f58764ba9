"""Distributions given by a few published quantiles, and samples from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """A distribution of whole numbers: exact shares of the smallest values, quantiles above them.

    steps: (value, cumulative share) for each of the smallest values. knots: (share, quantile), ascending, interpolated linearly
    between log value and -log(1 - share), where a power law is a straight line.
    """

    steps: tuple[tuple[int, float], ...]
    knots: tuple[tuple[float, float], ...]

    def sample(self, n: int, mean: float | None = None, most: float = np.inf) -> Ints:
        """n ascending values, the quantiles (i + 1/2) / n, without randomness, at most `most`.

        With `mean`, values between the knots are raised or lowered, by at most half, to come as close to the mean as possible.
        """
        low, high = -0.5, 0.5
        if mean is None:
            return self._bent(n, 0.0, most)
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self._bent(n, middle, most).mean() < mean else (low, middle)
        return self._bent(n, (low + high) / 2, most)

    def _bent(self, n: int, bend: float, most: float) -> Ints:
        place = (np.arange(n) + 0.5) / n
        values, shares = (np.array(column) for column in zip(*self.steps))
        knots = np.array([(shares[-1], values[-1]), *self.knots])
        x = -np.log1p(-knots[:, 0])
        where = np.clip(np.searchsorted(x, -np.log1p(-place), side="right") - 1, 0, len(x) - 2)
        within = np.clip((-np.log1p(-place) - x[where]) / (x[where + 1] - x[where]), 0, 1)
        grown = np.exp(np.interp(-np.log1p(-place), x, np.log(knots[:, 1]))) * (1 + bend * np.sin(np.pi * within))
        small = values[np.minimum(np.searchsorted(shares, place), len(values) - 1)]
        sample = np.where(place < shares[-1], small, np.maximum(np.rint(grown), values[-1] + 1))
        return np.minimum(sample, np.floor(most)).astype(np.int64)
