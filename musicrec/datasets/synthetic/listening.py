"""Who hears what: every listen of a user gets a cluster by taste, and a ticket of that cluster by time."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.datasets.synthetic.figures import TEST_START
from musicrec.datasets.synthetic.people import DAYS, People, days_of_listens
from musicrec.datasets.synthetic.distribution import Floats, Ints
from musicrec.datasets.synthetic.tickets import SCENE, Tickets

# Circles a user knows at least, listens for one more, share of clusters near the one before, share of listens that stay in a cluster.
_CLUSTERS, _LISTENS_PER_CLUSTER, _NEAR, _STAY = 4, 60, 0.6, 0.7
_TASTE_SPREAD, _TASTE_DRIFT, _AHEAD, _TRIES, _PERIOD = 1.2, 1.5, 200, 300, 30


def listens(crowd: People, low: int, high: int, tickets: Tickets, part: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Tracks (places in the row) and days of all listens of users low..high, one user after the other, days ascending."""
    first, last, length = crowd.first[low:high], crowd.last[low:high], crowd.length[low:high]
    days = days_of_listens(first, last, length, crowd.weight, seed)
    cluster = _clusters(length, days, np.cumsum(tickets.shares), seed + 1)
    demand = np.bincount(cluster, minlength=len(tickets.shares))
    tracks, bounds = tickets.part(part, demand, seed + 2)
    user = np.repeat(np.arange(high - low, dtype=np.int32), length)
    order = _by_cluster_and_day(cluster, days, bounds)
    return _matched(user, order, tracks, bounds, tickets.few, tickets.waiting(part), last < TEST_START, seed + 3), days


@njit(cache=True, nogil=True)
def _clusters(length: Ints, days: NDArray[np.int16], shares: Floats, seed: int) -> NDArray[np.int32]:
    """A cluster for each listen: a user's mixture of clusters, which drifts over the year, one cluster for a while within a day."""
    np.random.seed(seed)
    n_clusters = len(shares)
    chosen = np.empty(len(days), np.int32)
    most = min(_CLUSTERS + length.max() // _LISTENS_PER_CLUSTER, max(n_clusters // 2, 1))
    own, base, slope, total = np.empty(most, np.int64), np.empty(most), np.empty(most), np.empty(most)
    at = 0
    for user in range(len(length)):
        n = min(_CLUSTERS + length[user] // _LISTENS_PER_CLUSTER, most)
        for i in range(n):
            near = i > 0 and np.random.random() < _NEAR
            spot = own[i - 1] + np.random.randint(-SCENE // 2, SCENE // 2 + 1) if near else np.searchsorted(shares, np.random.random())
            own[i] = min(max(spot, 0), n_clusters - 1)
            base[i], slope[i] = _TASTE_SPREAD * np.random.normal(), _TASTE_DRIFT * np.random.normal()
        period = -1
        for i in range(at, at + length[user]):
            if days[i] // _PERIOD != period:
                period = days[i] // _PERIOD
                for j in range(n):
                    total[j] = np.exp(base[j] + slope[j] * (period * _PERIOD / DAYS - 0.5)) + (total[j - 1] if j else 0.0)
            if i > at and days[i] == days[i - 1] and np.random.random() < _STAY:
                chosen[i] = chosen[i - 1]
            else:
                chosen[i] = own[min(np.searchsorted(total[:n], np.random.random() * total[n - 1]), n - 1)]
        at += length[user]
    return chosen


@njit(cache=True, nogil=True)
def _by_cluster_and_day(cluster: NDArray[np.int32], days: NDArray[np.int16], bounds: Ints) -> NDArray[np.int32]:
    """Places of the listens sorted by cluster, then day, then user: two stable counting sorts."""
    starts = np.zeros(DAYS + 1, np.int64)
    for day in days:
        starts[day + 1] += 1
    starts = np.cumsum(starts)
    by_day, order, at = np.empty(len(days), np.int32), np.empty(len(days), np.int32), bounds[:-1].copy()
    for i in range(len(days)):
        by_day[starts[days[i]]] = i
        starts[days[i]] += 1
    for place in by_day:
        order[at[cluster[place]]] = place
        at[cluster[place]] += 1
    return order


@njit(cache=True, nogil=True)
def _matched(user: NDArray[np.int32], order: NDArray[np.int32], tickets: NDArray[np.int32], bounds: Ints, few: NDArray[np.bool_],
             waiting: NDArray[np.bool_], gone: NDArray[np.bool_], seed: int) -> NDArray[np.int32]:
    """A track for each listen: the tickets of a cluster in order of time to its listens in order of time, no track twice for a user.

    Who has the track already takes one of the next tickets instead. Where none fits, a random track of the cluster, then of any.
    few: (n_tracks,) tracks with few listeners, which lose none. waiting: (n_tracks,) tracks that wait for the first of the users
    who are gone before the test period. gone: (n_users,) who is.
    """
    np.random.seed(seed)
    size = 1
    while size < 2 * len(user):
        size *= 2
    known = np.full(size, -1, np.int64)
    heard = np.empty(len(user), np.int32)
    for cluster in range(len(bounds) - 1):
        low, high = bounds[cluster], bounds[cluster + 1]
        for i in range(low, high):
            owner = user[order[i]]
            found = _next_ticket(known, owner, gone[owner], tickets, waiting, i, min(high, i + _AHEAD))
            j = found if found >= 0 else _dispensable(tickets, few, i, high)
            tickets[i], tickets[j] = tickets[j], tickets[i]
            heard[order[i]] = tickets[i] if found >= 0 else _any_track(known, owner, tickets, low, high)
    return heard


@njit(cache=True, nogil=True)
def _next_ticket(known: Ints, owner: int, gone: bool, tickets: NDArray[np.int32], waiting: NDArray[np.bool_], low: int, high: int) -> int:
    """Place of the first ticket in low..high that the owner may have, known from now on; -1 where there is none."""
    for place in range(low, high):
        if (gone or not waiting[tickets[place]]) and _remembered(known, owner, tickets[place]):
            waiting[tickets[place]] &= not gone
            return place
    for place in range(low, high):
        if waiting[tickets[place]] and _remembered(known, owner, tickets[place]):
            return place
    return -1


@njit(cache=True, nogil=True)
def _dispensable(tickets: NDArray[np.int32], few: NDArray[np.bool_], low: int, high: int) -> int:
    """Place of the first ticket in low..high whose track has listeners enough to lose one; low where there is none."""
    for place in range(low, high):
        if not few[tickets[place]]:
            return place
    return low


@njit(cache=True, nogil=True)
def _any_track(known: Ints, owner: int, tickets: NDArray[np.int32], low: int, high: int) -> int:
    """A random track of tickets low..high that the owner may have, else of any; known from now on."""
    for attempt in range(100 * _TRIES):
        track = tickets[np.random.randint(low, high) if attempt < _TRIES else np.random.randint(len(tickets))]
        if _remembered(known, owner, track):
            break
    return int(track)


@njit(cache=True, nogil=True)
def _remembered(known: Ints, user: int, track: int) -> bool:
    """Whether (user, track) is new; if so it is known from now on. Open addressing, linear probing."""
    pair = (np.int64(user) << 32) | np.int64(track)
    mixed = np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)
    place = np.int64((mixed >> np.uint64(20)) & np.uint64(len(known) - 1))
    while known[place] >= 0:
        if known[place] == pair:
            return False
        place = (place + 1) & (len(known) - 1)
    known[place] = pair
    return True
