"""Constraints on lists: an artist's tracks fall off, at most n of them, a least share of tail tracks, exploration."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.lists import empty


@dataclass(frozen=True)
class Constraints:
    """Constraints on every list; 0 switches a constraint off.

    max_per_artist: the most tracks of one artist in a list. artist_decay: what a track is worth is multiplied by this for each better track
    of the same artist; 1 switches it off. min_tail_share: the least share of tail tracks, at every length of the list.
    exploration: the chance that a place is filled by a remaining candidate drawn at random; the draw depends on user and seed alone.
    A constraint is ignored at places where no remaining candidate meets it. pool: candidates per place of a list that are considered.
    """

    max_per_artist: int = 0
    min_tail_share: float = 0.0
    exploration: float = 0.0
    seed: int = 0
    artist_decay: float = 1.0
    pool: ClassVar[int] = 3

    @property
    def any(self) -> bool:
        """Whether a constraint is switched on."""
        return self.max_per_artist > 0 or self.min_tail_share > 0 or self.exploration > 0 or self.artist_decay < 1


def tail(train: TrainSet) -> NDArray[np.bool_]:
    """The tail, bool (n_items,): all items, also unplayed ones, except the most popular that together have half of all listeners.

    >>> from tests.worlds import train_set
    >>> tail(train_set([(1, 0, 1), (2, 0, 1), (3, 1, 1), (3, 2, 1)], 4)).tolist()
    [False, True, True, True]
    """
    listeners = train.n_listeners
    order = np.argsort(-listeners, kind="stable")
    before = np.cumsum(listeners[order]) - listeners[order]
    is_tail = np.ones(len(listeners), bool)
    is_tail[order[before * 2 < listeners.sum()]] = False
    return is_tail


def constrained(items: Int32, scores: Float32, user_ids: Int32, k: int, constraints: Constraints, train: TrainSet, *,
                log_odds: bool = False) -> tuple[Int32, Float32]:
    """The k items of each list (n, m) that meet `constraints`; m is `constraints.pool` x k where there are so many.

    log_odds: scores are log-odds, and an item is worth its probability; else it is worth its score, or 0 if that is negative. Items int32
    (n, k), best first under the constraints; scores float32 (n, k), those of the chosen items in descending order, so that an item that
    was moved up has the score of its place, not its own.
    """
    if not constraints.any:
        return items[:, :k], scores[:, :k]
    artists, (chosen, values) = train.catalog.artists, empty(len(items), k)
    if constraints.artist_decay < 1:
        worth = 1 / (1 + np.exp(-scores.astype(np.float64))) if log_odds else np.maximum(scores, 0).astype(np.float64)
        items, scores = items.copy(), scores.copy()
        _fall_off(items, scores, worth, artists.indptr, artists.indices, constraints.artist_decay, np.zeros(artists.shape[1], np.int64))
    draws = _draws(user_ids, k, constraints.seed) if constraints.exploration > 0 else np.zeros((len(items), 2, k))
    _fill(items, scores, artists.indptr, artists.indices, tail(train), constraints.max_per_artist, constraints.min_tail_share,
          constraints.exploration, draws, chosen, values)
    return chosen, values


def _draws(user_ids: Int32, k: int, seed: int) -> NDArray[np.float64]:
    # Seeds are not negative; ids may be.
    return np.array([np.random.default_rng((seed, int(user) + (1 << 31))).random((2, k)) for user in user_ids]).reshape(-1, 2, k)


@njit(cache=True, nogil=True)
def _fall_off(items, scores, worth, artist_ptr, artists, decay, better):  # type: ignore[no-untyped-def]
    # Of two tracks of an artist the better one stays ahead, so that one pass counts the better tracks of every track.
    for user in range(len(items)):
        size = (items[user] >= 0).sum()
        for place in range(size):
            own, most = artists[artist_ptr[items[user, place]]:artist_ptr[items[user, place] + 1]], 0
            for artist in own:
                most = max(most, better[artist])
                better[artist] += 1
            worth[user, place] *= decay**most
        for item in items[user, :size]:
            better[artists[artist_ptr[item]:artist_ptr[item + 1]]] = 0
        order = np.argsort(-worth[user, :size], kind="mergesort")
        items[user, :size], scores[user, :size] = items[user][order], scores[user][order]


@njit(cache=True, nogil=True)
def _fill(items, scores, artist_ptr, artists, is_tail, most, share, exploration, draws, filled, values):  # type: ignore[no-untyped-def]
    for user in range(len(items)):
        used = np.zeros(items.shape[1], np.bool_)
        n_tail = 0
        size = min(filled.shape[1], (items[user] >= 0).sum())
        for place in range(size):
            need_tail = n_tail < share * (place + 1) - 1e-9
            chosen = _choice(items[user], used, filled[user, :place], artist_ptr, artists, is_tail, most, need_tail,
                             draws[user, 1, place] if draws[user, 0, place] < exploration else -1.0)
            used[chosen] = True
            n_tail += is_tail[items[user, chosen]]
            filled[user, place], values[user, place] = items[user, chosen], scores[user, chosen]
        values[user, :size] = -np.sort(-values[user, :size])


@njit(cache=True, nogil=True)
def _choice(items, used, so_far, artist_ptr, artists, is_tail, most, need_tail, draw):  # type: ignore[no-untyped-def]
    # Of the remaining items: those that meet both constraints, else the one on artists, else the one on the tail, else all.
    group = np.full(len(items), -1, np.int64)
    best = 4
    for place in range(len(items)):
        if used[place] or items[place] < 0:
            continue
        too_many = most > 0 and _of_same_artist(items[place], so_far, artist_ptr, artists) >= most
        group[place] = 2 * too_many + (need_tail and not is_tail[items[place]])
        best = min(best, group[place])
    allowed = np.flatnonzero(group == best)
    return allowed[int(draw * len(allowed))] if draw >= 0 else allowed[0]


@njit(cache=True, nogil=True)
def _of_same_artist(item, so_far, artist_ptr, artists):  # type: ignore[no-untyped-def]
    most = 0
    for place in range(artist_ptr[item], artist_ptr[item + 1]):
        count = 0
        for other in so_far:
            for other_place in range(artist_ptr[other], artist_ptr[other + 1]):
                count += artists[other_place] == artists[place]
        most = max(most, count)
    return most
