"""The generated users: first and last day, number of listens, and the day of every listen."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.datasets.synthetic import figures
from musicrec.datasets.synthetic.distribution import Floats, Ints

DAYS = 365
# Chosen so that the numbers of test users and user-days are close to the published ones.
_CHURN_SHARE, _SESSION_SHARE, _PACE_DEVIATION = 0.455, 0.83, 1.0


@dataclass(frozen=True)
class GeneratedUsers:
    """Users by ascending id. first, last: days of their first and last listen, from 0. length: number of listens. weight: (DAYS,),
    relative probability of a listen on each day between a user's first and last one."""

    ids: Ints
    first: Ints
    last: Ints
    length: Ints
    weight: Floats


def daily_listens(n_events: int) -> Floats:
    """Listens per day, (DAYS,), with sum n_events, by the published distribution over the year."""
    days, shares = (np.array(column, float) for column in zip(*figures.DAILY_SHARE))
    curve = np.interp(np.arange(DAYS), days, shares)
    listens: Floats = curve / curve.sum() * n_events
    return listens


def generated_users(n_users: int, n_parts: int, rng: np.random.Generator) -> GeneratedUsers:
    """n_users, ordered so that n_parts ranges of users have about equally many listens."""
    lengths = figures.HISTORY_LENGTHS.sample(n_users, figures.MEAN_HISTORY)
    ids = np.sort(rng.choice(round((figures.MAX_USER_ID + 1) * n_users / figures.N_USERS), n_users, replace=False))
    first, last = _stays(n_users, rng)
    # Numbers of listens are ordered by days of activity times listens per day.
    pace = np.exp(rng.normal(0, _PACE_DEVIATION, n_users)) * (last - first + 1)
    length = np.empty(n_users, np.int64)
    length[np.argsort(pace, kind="stable")] = lengths
    order = _balanced_order(length, n_parts, rng)
    first, last, length = first[order], np.where(length == 1, first, last)[order], length[order]
    return GeneratedUsers(ids, first, last, length, _weight(first, last, length))


def _stays(n_users: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    curve = daily_listens(n_users)
    peak = int(curve.argmax())
    staying = np.where(np.arange(DAYS) < peak, 1, curve / curve.max())
    first = (rng.random(n_users) * figures.TEST_START).astype(np.int64)
    cold = rng.permutation(n_users)[: round(n_users * figures.COLD_USERS / figures.N_USERS)]
    late = staying[figures.TEST_START:] ** 3
    first[cold] = figures.TEST_START + rng.choice(len(late), len(cold), p=late / late.sum())
    last = peak + np.searchsorted(-staying[peak:], -rng.random(n_users), side="right") - 1
    churns = rng.random(n_users) < _CHURN_SHARE
    last = np.where(churns, first + (rng.random(n_users) * (last - first + 1)).astype(np.int64), last)
    return first, np.maximum(last, first)


def _balanced_order(length: Ints, n_parts: int, rng: np.random.Generator) -> Ints:
    """An order of the users in which each part has users with many and with few listens: ranks are assigned to the parts in turn."""
    ranked = np.argsort(-length, kind="stable")
    turn = np.arange(len(length)) % (2 * n_parts)
    part = np.minimum(turn, 2 * n_parts - 1 - turn)
    return ranked[np.lexsort((rng.random(len(length)), part))]


def part_bounds(n_users: int, n_parts: int) -> Ints:
    """Bounds of the parts in the order of generated_users(), (n_parts + 1,)."""
    turn = np.arange(n_users) % (2 * n_parts)
    sizes = np.bincount(np.minimum(turn, 2 * n_parts - 1 - turn), minlength=n_parts)
    return np.concatenate([[0], np.cumsum(sizes)])


def _weight(first: Ints, last: Ints, length: Ints) -> Floats:
    """Weights of days with which all users together have the published listens per day: iterative proportional fitting."""
    free = np.zeros((DAYS, DAYS))
    np.add.at(free, (first, last), np.maximum(length - 2, 0))
    fixed = np.bincount(first, minlength=DAYS) + np.bincount(last[length > 1], minlength=DAYS)
    wanted = np.maximum(daily_listens(int(length.sum())) - fixed, 1)
    weight = np.ones(DAYS)
    for _ in range(200):
        total = np.concatenate([[0], np.cumsum(weight)])
        stay = np.maximum(total[None, 1:] - total[:-1, None], 1e-12)
        load = np.triu(free / stay).cumsum(0)[:, ::-1].cumsum(1)[:, ::-1].diagonal() * weight
        weight *= np.where(load > 0, wanted / np.maximum(load, 1e-9), 1)
        weight /= weight.mean()
    return weight


@njit(cache=True, nogil=True)
def days_of_listens(first: Ints, last: Ints, length: Ints, weight: Floats, seed: int) -> NDArray[np.int16]:
    """Days of all listens of these users, user by user and ascending, from each user's first to last day."""
    np.random.seed(seed)
    total = np.concatenate((np.zeros(1), np.cumsum(weight)))
    days = np.empty(length.sum(), np.int16)
    sessions = np.empty(length.max(), np.int16)
    counts = np.zeros(len(weight), np.int64)
    at = 0
    for user in range(len(length)):
        n, low, span = length[user], total[first[user]], total[last[user] + 1] - total[first[user]]
        counts[first[user]] += 1
        if n > 1:
            counts[last[user]] += 1
        n_sessions = max(1, int(_SESSION_SHARE * n))
        for i in range(n - 2):
            if i < n_sessions:
                day = np.searchsorted(total, low + np.random.random() * span, side="right") - 1
                sessions[i] = min(max(day, first[user]), last[user])
                counts[sessions[i]] += 1
            else:
                counts[sessions[np.random.randint(n_sessions)]] += 1
        for day in range(first[user], last[user] + 1):
            for _ in range(counts[day]):
                days[at] = day
                at += 1
            counts[day] = 0
    return days
