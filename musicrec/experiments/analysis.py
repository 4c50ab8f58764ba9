"""What an experiment shows: differences to the control with intervals, a test that may be looked at any day, and checks. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from musicrec.errors import DataError
from musicrec.evaluation.metrics import Float64
from musicrec.evaluation.significance import bootstrap_means, holm, interval
from musicrec.experiments.attribution import GUARDRAILS, METRICS, Outcomes

TIGHTEST_AT = 5000  # user-days at which the confidence sequence is tightest; fixed, as it must not depend on the data
MISMATCH_P = 0.001  # below it the split of users is a fault of assignment or logging (Fabijan et al., KDD 2019)


def always_valid(difference: Float64, error: Float64, clock: float, level: float = 0.95) -> tuple[Float64, Float64, Float64]:
    """Confidence sequence (low, high) and p values of differences that are about normal with standard errors `error`.

    However often one looks, the sequence covers the true difference at all looks with probability `level`, for many users. It is the normal
    mixture (Howard et al., Annals of Statistics 2021, equation 14; with estimated variances: Waudby-Smith et al., Annals of Statistics
    2024); p is 1 / the mixture likelihood ratio, as in the mSPRT (Johari et al., KDD 2017). clock: user-days so far. Days of a user that
    are alike make looks more alike than the mixture assumes, so that it errs less often.
    """
    log_level = -2 * np.log(1 - level)
    growth = 1 + clock * (log_level + np.log(log_level) + 1) / TIGHTEST_AT
    radius = error * np.sqrt(growth / (growth - 1) * (np.log(growth) + log_level))
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
    """p of the chi-square test that users were split as the weights say."""
    counts, expected = np.array([users.get(name, 0) for name in weights], float), np.array(list(weights.values()), float)
    expected *= counts.sum() / expected.sum()
    return float(chdtrc(len(counts) - 1, (np.square(counts - expected) / expected).sum()))


def differences(values: Float64, before: Float64, variants: Any, control: str, others: Sequence[str], clock: float,
                samples: int = 1000, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
    """One row for each of `others` and each metric, compared with the control.

    values, before: (n_users, n_metrics); variants: of each user, at least two a variant. difference, low, high: of means, with a 95 %
    bootstrap interval by user, for one look; cuped_...: the same with less noise; sequence_..., p: of the latter, see always_valid.
    """
    both, m, rows = np.hstack([values, cuped(values, before)]), len(metrics), []
    drawn = {name: bootstrap_means(both[variants == name], samples, seed) for seed, name in enumerate((control, *others))}
    for name in others:
        ours, theirs = both[variants == name], both[variants == control]
        base, difference = theirs.mean(axis=0)[:m], ours.mean(axis=0) - theirs.mean(axis=0)
        low, high = interval(drawn[name] - drawn[control])
        error = ours.var(axis=0, ddof=1) / len(ours) + theirs.var(axis=0, ddof=1) / len(theirs)
        sequence_low, sequence_high, p = always_valid(difference[m:], np.sqrt(error[m:]), clock)
        rows.append(pd.DataFrame({
            "variant": name, "metric": metrics, "control": base, "difference": difference[:m], "low": low[:m], "high": high[:m],
            "cuped_difference": difference[m:], "cuped_low": low[m:], "cuped_high": high[m:],
            "variance_left": error[m:] / np.where(error[:m] > 0, error[:m], np.nan),
            "sequence_low": sequence_low, "sequence_high": sequence_high, "p": p}))
    return pd.concat(rows, ignore_index=True).assign(p_holm=lambda table: holm(table["p"].to_numpy()))


def snips(drawn: pd.DataFrame, samples: int = 1000) -> dict[str, float]:
    """Kept plays per impression if the `chosen` ones alone had been shown, with a bootstrap interval by user; empty where there are none.

    Self-normalized inverse propensity scoring (Swaminathan and Joachims, NeurIPS 2015). drawn: user, kept, propensity, chosen.
    """
    if not drawn["chosen"].any():
        return {}
    weights = drawn["chosen"] / drawn["propensity"]
    sums = pd.DataFrame({"kept": weights * drawn["kept"], "weight": weights}).groupby(drawn["user"]).sum().to_numpy(np.float64)
    means = bootstrap_means(sums, samples)
    low, high = interval(means[:, :1] / means[:, 1:])
    return {"estimate": float(sums[:, 0].sum() / sums[:, 1].sum()), "low": float(low[0]), "high": float(high[0])}


def report(found: Outcomes, weights: Mapping[str, float], samples: int = 1000) -> dict[str, Any]:
    """All that is known of an experiment: tables `variants`, `differences`, `guardrails`, `by_day`, `by_source`, `by_position`, and checks.

    weights: of all variants, the control first. Raises DataError unless the control and another one have two users each."""
    users, control = found.users, next(iter(weights))
    counts = {name: int((users["variant"] == name).sum()) for name in weights}
    others = [name for name, count in counts.items() if count > 1 and name != control]
    if counts[control] < 2 or not others:
        raise DataError(f"a comparison needs two users or more of the control, {control}, and of another variant; there are {counts}.")
    table = users.groupby("variant")[["lists", "impressions", "sessions", *METRICS]].sum().loc[[control, *others]].reset_index()
    table.insert(1, "users", table["variant"].map(counts))
    table["listening_per_session"] = table["listening"] / table["sessions"].replace(0, np.nan)
    p, days = sample_ratio_p(counts, weights), int(users["days"].sum())
    values, before = (users[[f"{when}{name}" for name in METRICS]].to_numpy(np.float64) for when in ("", "before_"))
    compared = differences(values, before, users["variant"].to_numpy(), control, others, days, samples)
    answers = found.answers[found.answers.groupby("variant")["variant"].transform("size") > 1]
    timed = [name for name in others if name in set(answers["variant"])] if control in set(answers["variant"]) else []
    watched = answers[list(GUARDRAILS)].to_numpy(np.float64)
    guardrails = pd.DataFrame() if not timed else differences(
        watched, np.zeros_like(watched), answers["variant"].to_numpy(), control, timed, days, samples, GUARDRAILS)
    guardrails = guardrails.drop(columns=["cuped_difference", "cuped_low", "cuped_high", "variance_left"], errors="ignore")
    return {"sample_ratio": {"users": counts, "weights": dict(weights), "p": p, "mismatch": p < MISMATCH_P}, "user_days": days,
            "users_in_several_variants": int(users["several"].sum()), "variants": table, "differences": compared, "guardrails": guardrails,
            "off_policy": snips(found.drawn, samples), **{f"by_{key}": one for key, one in found.by.items()}}
