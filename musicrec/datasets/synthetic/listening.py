"""Who plays what: each listen of a user gets a cluster by the user's taste, then a track of that cluster by time."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.datasets.synthetic.distribution import Floats, Ints
from musicrec.datasets.synthetic.figures import TEST_START
from musicrec.datasets.synthetic.play_slots import SCENE, PlaySlots
from musicrec.datasets.synthetic.users import DAYS, GeneratedUsers, days_of_listens

# Least clusters of a user, listens per further cluster, share of clusters near the one before, share of listens that stay in a cluster.
_CLUSTERS, _LISTENS_PER_CLUSTER, _NEAR, _STAY = 4, 60, 0.6, 0.7
_TASTE_SPREAD, _TASTE_DRIFT, _AHEAD, _TRIES, _PERIOD = 1.2, 1.5, 200, 300, 30


def listens(users: GeneratedUsers, low: int, high: int, slots: PlaySlots, part: int,
            seed: int) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """Tracks (indices of the catalog) and days of all listens of users low..high, user by user, days ascending."""
    first, last, length = users.first[low:high], users.last[low:high], users.length[low:high]
    days = days_of_listens(first, last, length, users.weight, seed)
    cluster = _clusters(length, days, np.cumsum(slots.shares), seed + 1)
    demand = np.bincount(cluster, minlength=len(slots.shares))
    tracks, bounds = slots.part(part, demand, seed + 2)
    user = np.repeat(np.arange(high - low, dtype=np.int32), length)
    order = _by_cluster_and_day(cluster, days, bounds)
    return _matched(user, order, tracks, bounds, slots.few, slots.waiting(part), last < TEST_START, seed + 3), days


@njit(cache=True, nogil=True)
def _clusters(length: Ints, days: NDArray[np.int16], shares: Floats, seed: int) -> NDArray[np.int32]:
    """A cluster for each listen, drawn from the user's mixture of clusters, which drifts; listens of a day often share a cluster."""
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
    """Positions of the listens sorted by cluster, then day, then user: two stable counting sorts."""
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
def _matched(user: NDArray[np.int32], order: NDArray[np.int32], slots: NDArray[np.int32], bounds: Ints, few: NDArray[np.bool_],
             waiting: NDArray[np.bool_], gone: NDArray[np.bool_], seed: int) -> NDArray[np.int32]:
    """A track for each listen: slots and listens of a cluster are matched in order of time; no user gets a track twice.

    A user who has the track already gets one of the next slots. Where none fits, a random track of the cluster, else of the catalog.
    few: (n_tracks,), tracks with few listeners, whose slots are all used. waiting: (n_tracks,), tracks whose first listener must be a
    user without plays in the test period. gone: (n_users,), these users.
    """
    np.random.seed(seed)
    size = 1
    while size < 2 * len(user):
        size *= 2
    known = np.full(size, -1, np.int64)
    played = np.empty(len(user), np.int32)
    for cluster in range(len(bounds) - 1):
        low, high = bounds[cluster], bounds[cluster + 1]
        for i in range(low, high):
            owner = user[order[i]]
            found = _next_slot(known, owner, gone[owner], slots, waiting, i, min(high, i + _AHEAD))
            j = found if found >= 0 else _dispensable(slots, few, i, high)
            slots[i], slots[j] = slots[j], slots[i]
            played[order[i]] = slots[i] if found >= 0 else _any_track(known, owner, slots, low, high)
    return played


@njit(cache=True, nogil=True)
def _next_slot(known: Ints, owner: int, gone: bool, slots: NDArray[np.int32], waiting: NDArray[np.bool_], low: int, high: int) -> int:
    """Index of the first slot in low..high whose track the user may have, which is recorded; -1 where there is none."""
    for place in range(low, high):
        if (gone or not waiting[slots[place]]) and _is_new(known, owner, slots[place]):
            waiting[slots[place]] &= not gone
            return place
    for place in range(low, high):
        if waiting[slots[place]] and _is_new(known, owner, slots[place]):
            return place
    return -1


@njit(cache=True, nogil=True)
def _dispensable(slots: NDArray[np.int32], few: NDArray[np.bool_], low: int, high: int) -> int:
    """Index of the first slot in low..high whose track has many listeners; low where there is none."""
    for place in range(low, high):
        if not few[slots[place]]:
            return place
    return low


@njit(cache=True, nogil=True)
def _any_track(known: Ints, owner: int, slots: NDArray[np.int32], low: int, high: int) -> int:
    """A random track of slots low..high that the user may have, else of all slots; the pair is recorded."""
    for attempt in range(100 * _TRIES):
        track = slots[np.random.randint(low, high) if attempt < _TRIES else np.random.randint(len(slots))]
        if _is_new(known, owner, track):
            break
    return int(track)


@njit(cache=True, nogil=True)
def _is_new(known: Ints, user: int, track: int) -> bool:
    """Whether (user, track) is new; if so it is recorded. Open addressing, linear probing."""
    pair = (np.int64(user) << 32) | np.int64(track)
    mixed = np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)
    place = np.int64((mixed >> np.uint64(20)) & np.uint64(len(known) - 1))
    while known[place] >= 0:
        if known[place] == pair:
            return False
        place = (place + 1) & (len(known) - 1)
    known[place] = pair
    return True
