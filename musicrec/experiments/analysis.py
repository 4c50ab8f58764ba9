"""What an experiment shows: differences to the control with intervals, a test that may be looked at any day, and checks. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from musicrec.errors import DataError
from musicrec.evaluation.metrics import Float64
from musicrec.evaluation.significance import bootstrap_means, holm, interval
from musicrec.experiments.attribution import METRICS, Outcomes

# User-days at which the confidence sequence is tightest relative to an interval for one look. Fixed, as it must not depend on the data.
TIGHTEST_AT = 5000
# Below it the split of users is not what was asked for: a fault of assignment or logging (Fabijan et al., KDD 2019).
MISMATCH_P = 0.001


def always_valid(difference: Float64, error: Float64, clock: float, level: float = 0.95) -> tuple[Float64, Float64, Float64]:
    """Confidence sequence (low, high) and p values of differences that are about normal with standard errors `error`.

    However often one looks, the sequence covers the true difference at all looks with probability `level`, for many users. It is the normal
    mixture (Howard et al., Annals of Statistics 2021, equation 14; with estimated variances: Waudby-Smith et al., Annals of Statistics
    2024); p is 1 / the mixture likelihood ratio, as in the mSPRT (Johari et al., KDD 2017). clock: user-days so far. Days of a user that
    are alike make looks more alike than the mixture assumes, so that it errs less often.

    >>> low, high, p = always_valid(np.array([1.0]), np.array([0.2]), 5000)
    >>> low.round(2), high.round(2), p.round(5)
    (array([0.39]), array([1.61]), array([3.e-05]))
    """
    alpha = 1 - level
    mixture = TIGHTEST_AT / (-2 * np.log(alpha) + np.log(-2 * np.log(alpha)) + 1)
    growth = 1 + clock / mixture
    radius = error * np.sqrt(growth / (growth - 1) * (np.log(growth) - 2 * np.log(alpha)))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, difference / error, np.where(difference == 0, 0.0, np.inf))
    p = np.minimum(np.sqrt(growth) * np.exp(-np.square(z) * (growth - 1) / growth / 2), 1)
    return difference - radius, difference + radius, p


def cuped(values: Float64, before: Float64) -> Float64:
    """Values, (n_users, n_metrics), less what those of the weeks before explain; means over all users stay (Deng et al., WSDM 2013)."""
    centred = before - before.mean(axis=0)
    variance = np.square(centred).sum(axis=0)
    theta = (centred * (values - values.mean(axis=0))).sum(axis=0) / np.where(variance > 0, variance, 1)
    return np.asarray(values - theta * centred)


def sample_ratio_p(users: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """p of the chi-square test that users were split as the weights say.

    >>> round(sample_ratio_p({"control": 5000, "new": 5300}, {"control": 1, "new": 1}), 4)
    0.0031
    """
    counts, expected = np.array([users.get(name, 0) for name in weights], float), np.array(list(weights.values()), float)
    expected *= counts.sum() / expected.sum()
    return float(chdtrc(len(counts) - 1, (np.square(counts - expected) / expected).sum()))


def differences(values: Float64, before: Float64, variants: Any, control: str, others: Sequence[str], clock: float,
                samples: int = 1000) -> pd.DataFrame:
    """One row for each of `others` and each metric, compared with the control.

    values, before: (n_users, 5), by METRICS; variants: of each user. difference, low, high: of means, with a 95 % bootstrap interval by
    user, for one look; cuped_...: the same with less noise; sequence_low, sequence_high, p: of the latter for any number of looks, see
    always_valid; p_holm: corrected for all rows; variance_left: by CUPED. NaN where a variant has fewer than two users.
    """
    both, m, rows = np.hstack([values, cuped(values, before)]), len(METRICS), []
    drawn = {name: bootstrap_means(both[variants == name], samples, seed) for seed, name in enumerate((control, *others))}
    for name in others:
        ours, theirs = both[variants == name], both[variants == control]
        base, difference = theirs.mean(axis=0)[:m], ours.mean(axis=0) - theirs.mean(axis=0)
        low, high = interval(drawn[name] - drawn[control])
        error = _error(ours) + _error(theirs)
        sequence_low, sequence_high, p = always_valid(difference[m:], np.sqrt(error[m:]), clock)
        rows.append(pd.DataFrame({
            "variant": name, "metric": METRICS, "control": base, "difference": difference[:m], "low": low[:m], "high": high[:m],
            "cuped_difference": difference[m:], "cuped_low": low[m:], "cuped_high": high[m:],
            "variance_left": error[m:] / np.where(error[:m] > 0, error[:m], np.nan),
            "sequence_low": sequence_low, "sequence_high": sequence_high, "p": p}))
    table = pd.concat(rows, ignore_index=True)
    return table.assign(p_holm=holm(table["p"].to_numpy()))


def _error(values: Float64) -> Float64:
    return np.asarray(values.var(axis=0, ddof=1) / len(values)) if len(values) > 1 else np.full(values.shape[1], np.nan)


def snips(rewards: Float64, propensities: Float64, chosen: Any, users: Any, samples: int = 1000) -> dict[str, float]:
    """Mean reward of an impression if `chosen` ones alone had been shown, with a bootstrap interval by user; NaN where there are none.

    Self-normalized inverse propensity scoring (Swaminathan and Joachims, NeurIPS 2015): rewards and logged propensities of impressions,
    whether the list to be judged has each, and its user.
    """
    weights = np.where(chosen, 1 / propensities, 0.0)
    codes = np.unique(users, return_inverse=True)[1]
    sums = np.stack([np.bincount(codes, one) for one in (weights * rewards, weights)], axis=1).astype(np.float64)
    drawn = bootstrap_means(sums, samples)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = interval(drawn[:, :1] / drawn[:, 1:])
        estimate = sums[:, 0].sum() / sums[:, 1].sum()
    return {"estimate": float(estimate), "low": float(low[0]), "high": float(high[0]), "impressions": int(np.count_nonzero(weights))}


def report(found: Outcomes, weights: Mapping[str, float], samples: int = 1000) -> dict[str, Any]:
    """All that is known of an experiment: tables `variants`, `differences`, `by_day`, `by_source`, `by_position`, and checks.

    weights: of the variants, the control first. Raises DataError unless the control and another one have users.
    """
    users, control = found.users, next(iter(weights))
    counts = {name: int((users["variant"] == name).sum()) for name in weights}
    others = [name for name, count in counts.items() if count and name != control]
    if not counts[control] or not others:
        raise DataError(f"a comparison needs users of the control, {control}, and of another variant; there are {counts}.")
    table = users.groupby("variant")[["lists", "impressions", "sessions", *METRICS]].sum().loc[[control, *others]].reset_index()
    table.insert(1, "users", table["variant"].map(counts))
    table["listening_per_session"] = table["listening"] / table["sessions"].replace(0, np.nan)
    p, days = sample_ratio_p(counts, weights), int(users["days"].sum())
    compared = differences(found.values(), found.values("before_"), users["variant"].to_numpy(), control, others, days, samples)
    return {"sample_ratio": {"users": counts, "weights": dict(weights), "p": p, "mismatch": p < MISMATCH_P}, "user_days": days,
            "users_in_several_variants": int(users["several"].sum()), "variants": table, "differences": compared,
            **{f"by_{key}": one for key, one in found.by.items()}}
