"""Checks of time: what the dates can and cannot say."""

from datetime import datetime

import numpy as np
import pandas as pd
from scipy.special import gammaln

from musicrec.validation.logs import Finding, Logs, frame

EARLIEST, LATEST = datetime(1990, 1, 1), datetime(2100, 1, 1)
# A weekday is flat when no day of the week departs from the others by more than this, over enough weeks and plays to tell.
FLAT, FEWEST_WEEKS, FEWEST_PLAYS = 0.01, 8, 100_000
MEASURED_USERS = 20_000
# Time follows the ids when most users show it, and many times more often than chance would.
MOST, TIMES_CHANCE = 0.5, 3.0


def dates_out_of_range(logs: Logs) -> list[Finding]:
    """Plays before there was streaming or in a far future: usually a clock that was never set, or a wrong unit."""
    rows = logs.interactions
    odd = rows.filter((rows.started_at < EARLIEST) | (rows.started_at >= LATEST))
    row = odd.aggregate(n=odd.count(), example=odd.started_at.min()).to_pyarrow().to_pylist()[0]
    if not row["n"]:
        return []
    return [Finding("warning", f"plays dated outside {EARLIEST:%Y}..{LATEST:%Y}", int(row["n"]), row["n"] / logs.n_plays,
                    str(row["example"]), "Kept; check the unit of the timestamps.")]


def whole_days(logs: Logs) -> list[Finding]:
    """Moments that are all midnight: the logs hold days, not times."""
    rows = logs.interactions
    timed = rows.filter(rows.started_at != rows.started_at.truncate("D"))
    if len(frame(timed.select("started_at").limit(1))):
        return []
    return [Finding("note", "plays dated to the day, without a time of day", logs.n_plays, 1.0, str(logs.of_day.index[0].date()),
                    "Order within a day comes from track_seq; hours and sessions are not used.")]


def cold_users(logs: Logs) -> list[Finding]:
    """Users of the future without a history before test_start."""
    start = pd.Timestamp(logs.test_start)
    future = logs.of_user[logs.of_user["last"] >= start]
    cold = future[future["first"] >= start]
    if not len(cold):
        return []
    return [Finding("note", f"users from {logs.test_start} on who have no earlier play", len(cold), len(cold) / len(future),
                    f"user {cold['user_id'].iloc[0]}", "They get the default list and are evaluated apart.")]


def flat_week(logs: Logs) -> list[Finding]:
    """No difference between the days of the week, where people's lives would show one."""
    ratios = weekday_ratios(logs.of_day)
    if ratios is None or logs.n_plays < FEWEST_PLAYS or (ratios - 1).abs().max() > FLAT:
        return []
    return [Finding("warning", "days of the week do not differ", logs.n_plays, 1.0,
                    f"day against its week: {ratios.min():.4f} to {ratios.max():.4f}",
                    "The dates look made, not observed; no feature uses the weekday.")]


def weekday_ratios(of_day: pd.Series) -> pd.Series | None:
    """Mean ratio of a day's plays to the mean of the week around it, for Monday (0) to Sunday (6); None for under 8 whole weeks."""
    daily = of_day.asfreq("D", fill_value=0) if len(of_day) else of_day
    around = daily.rolling(7, center=True).mean() if len(daily) else daily
    there = around.notna() & (around > 0)
    if there.sum() < 7 * FEWEST_WEEKS:
        return None
    ratios = (daily / around)[there]
    means: pd.Series = ratios.groupby(ratios.index.day_of_week).mean()
    return means


def order_of_ids(logs: Logs) -> list[Finding]:
    """Histories whose order in time is their order by track id, which no listener would follow."""
    followed, chance, users = id_order(logs)
    if not users or followed < MOST or followed < TIMES_CHANCE * chance:
        return []
    return [Finding("warning", "histories in which time follows ascending track ids (share: of users measured)", round(followed * users),
                    followed, f"{followed:.1%} of {users:,} users; by chance {chance:.1%}",
                    "The dates were made from the ids: a temporal split hides the highest ids of each user, so temporal figures, "
                    "recency and position measure the id. The random hold-out beside them is the honest one.")]


def id_order(logs: Logs) -> tuple[float, float, int]:
    """Share of users whose days ascend with their track ids, the same share by chance, and how many users were measured.

    Measured on up to about 20,000 users with plays at two different moments. A user of n plays with m_1, m_2, ... of them at the same
    moment shows it by chance with probability m_1! m_2! ... / n!.
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
