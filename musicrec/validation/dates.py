"""Checks of the times of plays."""

import numpy as np
import pandas as pd
from scipy.special import gammaln

from musicrec.validation.logs import EARLIEST, Finding, Logs, frame

# Days of the week are reported as equal when their ratios differ from 1 by at most this, given enough weeks and plays to tell.
MAX_WEEKDAY_DEVIATION, MIN_WEEKS, MIN_PLAYS = 0.01, 8, 100_000
MEASURED_USERS = 20_000
# Time is said to follow the ids when it does for at least this share of users, and this many times as often as by chance.
MIN_SHARE, MIN_RATIO_TO_CHANCE = 0.5, 3.0


def dates_out_of_range(logs: Logs) -> list[Finding]:
    """Plays dated before 1990 or after tomorrow: usually a clock that was not set, or a wrong unit."""
    n = logs.of_plays["odd_dates"]
    if not n:
        return []
    return [Finding("warning", f"plays dated before {EARLIEST:%Y} or in the future", int(n), n / logs.n_plays,
                    str(logs.of_plays["odd_date"]), "Kept; check the unit of the timestamps and the clocks.")]


def whole_days(logs: Logs) -> list[Finding]:
    """Times that are all midnight: the logs have dates only."""
    if logs.of_plays["timed"]:
        return []
    return [Finding("note", "plays dated to the day, without a time of day", logs.n_plays, 1.0, str(logs.of_day.index[0].date()),
                    "Plays of a day are ordered by track_seq.")]


def cold_users(logs: Logs) -> list[Finding]:
    """Users of the test set without plays in the train set."""
    start = pd.Timestamp(logs.test_start)
    test = logs.of_user[logs.of_user["last"] >= start]
    cold = test[test["first"] >= start]
    if not len(cold):
        return []
    return [Finding("note", f"users from {logs.test_start} on who have no earlier play", len(cold), len(cold) / len(test),
                    f"user {cold['user_id'].iloc[0]}", "They get the default list and are evaluated separately.")]


def flat_week(logs: Logs) -> list[Finding]:
    """Days of the week that do not differ, although listening normally follows the week."""
    ratios = weekday_ratios(logs.of_day)
    if ratios is None or logs.n_plays < MIN_PLAYS or (ratios - 1).abs().max() > MAX_WEEKDAY_DEVIATION:
        return []
    return [Finding("warning", "days of the week do not differ", logs.n_plays, 1.0,
                    f"plays of a day / mean of its week: {ratios.min():.4f} to {ratios.max():.4f}",
                    "The dates look artificial; no feature uses the weekday.")]


def weekday_ratios(of_day: pd.Series) -> pd.Series | None:
    """Mean ratio of a day's plays to the mean of the week around it, for Monday (0) to Sunday (6); None for under 8 whole weeks."""
    daily = of_day.asfreq("D", fill_value=0) if len(of_day) else of_day
    around = daily.rolling(7, center=True).mean() if len(daily) else daily
    defined = around.notna() & (around > 0)
    if defined.sum() < 7 * MIN_WEEKS:
        return None
    ratios = (daily / around)[defined]
    means: pd.Series = ratios.groupby(ratios.index.day_of_week).mean()
    return means


def order_of_ids(logs: Logs) -> list[Finding]:
    """Users whose plays are in ascending order of track id, which real listening does not follow."""
    ordered, chance, users = id_order(logs)
    if not users or ordered < MIN_SHARE or ordered < MIN_RATIO_TO_CHANCE * chance:
        return []
    return [Finding("warning", "users whose plays are in order of track id (share: of users measured)", round(ordered * users),
                    ordered, f"{ordered:.1%} of {users:,} users; by chance {chance:.1%}",
                    "The dates were derived from the ids: with a temporal split the test set has the highest ids of each user, so that "
                    "metrics and recency depend on the ids. Use the metrics of the random hold-out.")]


def id_order(logs: Logs) -> tuple[float, float, int]:
    """The share of users whose times ascend with their track ids, the expected share by chance, and the number of users measured.

    Measured on up to about 20,000 users with plays at two different times or more. The plays of a user with n plays, m_1, m_2, ... of them
    at the same time, are in this order by chance with probability m_1! m_2! ... / n!.
    """
    every = max(1, len(logs.of_user) // MEASURED_USERS)
    rows = logs.interactions.filter(logs.interactions.user_id % every == 0)
    moments = frame(rows.group_by("user_id", "started_at").agg(plays=rows.count(), low=rows.track_id.min(), high=rows.track_id.max()))
    moments = moments.sort_values(["user_id", "started_at"], ignore_index=True)
    user = moments["user_id"].to_numpy()
    ascends = np.ones(len(moments), bool)
    ascends[1:] = (user[1:] != user[:-1]) | (moments["high"].to_numpy()[:-1] <= moments["low"].to_numpy()[1:])
    of_user = moments.assign(ascends=ascends, ways=gammaln(moments["plays"] + 1.0)).groupby("user_id").agg(
        ascends=("ascends", "all"), ways=("ways", "sum"), plays=("plays", "sum"), moments=("plays", "size"))
    of_user = of_user[of_user["moments"] > 1]
    if not len(of_user):
        return 0.0, 0.0, 0
    chance = np.exp(of_user["ways"] - gammaln(of_user["plays"] + 1.0))
    return float(of_user["ascends"].mean()), float(chance.mean()), len(of_user)
