"""How certain a difference is: bootstrap intervals over users, a paired test, and Holm's correction for several tests."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from musicrec.evaluation.metrics import Float64
from musicrec.progress import progress

_NORMAL_FROM = 2000


def bootstrap_means(values: Float64, samples: int, seed: int = 0) -> Float64:
    """Means of `samples` resamples of the users, with replacement: float64 (samples, n_columns) for values (n_users, n_columns).

    All columns share the resamples, so differences of columns are paired. Users whose row is all 0 add nothing to a mean, so the number
    of draws of the others is drawn first, then which; the distribution is the same and sparse metrics cost little.
    """
    rng = np.random.default_rng(seed)
    filled = np.ascontiguousarray(values[(values != 0).any(axis=1)])
    means = np.zeros((samples, values.shape[1]))
    for sample in progress(range(samples), "bootstrap"):
        draws = rng.binomial(len(values), len(filled) / len(values))
        if draws:
            means[sample] = np.bincount(rng.integers(0, len(filled), draws), minlength=len(filled)) @ filled / len(values)
    return means


def interval(means: Float64, level: float = 0.95) -> tuple[Float64, Float64]:
    """Percentile interval (low, high) of each column of bootstrap_means; NaN without samples (Efron and Tibshirani 1993, chapter 13)."""
    if len(means) == 0:
        return np.full(means.shape[1], np.nan), np.full(means.shape[1], np.nan)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def sign_flip_p(differences: Float64, samples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p of the paired randomization test that the mean of `differences` (one per user) is 0.

    Under the null hypothesis each user's difference is as likely with either sign (Fisher; for rankings: Smucker, Allan and
    Carterette 2007). Up to 2,000 users who differ, `samples` random sign patterns are drawn and the observed one counts among
    them; beyond, the sum of flipped differences is normal with variance sum(d^2) to high accuracy, and p follows from that.

    >>> sign_flip_p(np.array([0.0, 0.0]))
    1.0
    """
    nonzero = differences[differences != 0]
    observed, deviation = abs(float(nonzero.sum())), float(np.sqrt(np.square(nonzero).sum()))
    if len(nonzero) == 0:
        return 1.0
    if len(nonzero) > _NORMAL_FROM:
        return float(erfc(observed / deviation / np.sqrt(2)))
    rng, reached, block = np.random.default_rng(seed), 0, 500
    # Sums of the same numbers in another order differ in the last bits; those are ties.
    threshold = observed - 1e-12 * max(float(np.abs(nonzero).sum()), 1.0)
    for start in range(0, samples, block):
        signs = rng.integers(0, 2, (min(block, samples - start), len(nonzero))) * 2 - 1
        reached += int((np.abs(signs @ nonzero) >= threshold).sum())
    return (reached + 1) / (samples + 1)


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> Float64:
    """p values corrected for several tests, in the order given (Holm 1979); NaN stays NaN and is not counted.

    The smallest of m is multiplied by m, the next by m - 1, and so on; a larger p never ends below a smaller one; none above 1.

    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[:int((~np.isnan(p)).sum())]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return corrected
