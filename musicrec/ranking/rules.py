"""Rules applied to ranked lists: at most n tracks per artist, a least share of tail tracks, exploration."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.lists import Recommender, empty
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class Rules:
    """Which rules hold; 0 switches a rule off.

    max_per_artist: most tracks of any one artist in a list. min_tail_share: least share of tail tracks, kept at every length of the
    list, so that a shorter cut keeps it too. exploration: chance of a place to be filled by any remaining candidate, drawn evenly,
    the same draw for the same user and seed. A rule gives way where no candidate is left that meets it.
    """

    max_per_artist: int = 0
    min_tail_share: float = 0.0
    exploration: float = 0.0
    seed: int = 0

    @property
    def any(self) -> bool:
        """Whether a rule is switched on."""
        return self.max_per_artist > 0 or self.min_tail_share > 0 or self.exploration > 0


def tail(history: History) -> NDArray[np.bool_]:
    """The tail, bool (n_items,): all items but the most popular ones that together take half of all plays; unheard items belong to it.

    >>> from tests.worlds import history
    >>> tail(history([(1, 0, 1), (2, 0, 1), (3, 1, 1), (3, 2, 1)], 4)).tolist()
    [False, True, True, True]
    """
    listeners = history.n_listeners
    order = np.argsort(-listeners, kind="stable")
    before = np.cumsum(listeners[order]) - listeners[order]
    is_tail = np.ones(len(listeners), bool)
    is_tail[order[before * 2 < listeners.sum()]] = False
    return is_tail


@dataclass(frozen=True)
class Ruled:
    """A recommender whose lists follow the rules, chosen from `pool` times as many items as are asked for."""

    recommender: Recommender
    rules: Rules
    history: History
    pool: int = 3

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) in the order the rules give; scores float32 (n, k) of the chosen items, sorted descending, so that an
        item moved up by a rule shows the score of its place, not its own.
        """
        items, scores = self.recommender.recommend(user_index, k * self.pool if self.rules.any else k)
        if not self.rules.any:
            return items, scores
        artists, rules = self.history.catalogue.artists, self.rules
        ruled, values = empty(len(user_index), k)
        draws = np.stack([np.random.default_rng((rules.seed, int(user) + 1)).random((2, k)) for user in user_index]) \
            if len(user_index) else np.empty((0, 2, k))
        _fill(items, scores, artists.indptr, artists.indices, tail(self.history), rules.max_per_artist, rules.min_tail_share,
              rules.exploration, draws, ruled, values)
        return ruled, values


@njit(cache=True, nogil=True)
def _fill(items, scores, artist_ptr, artists, is_tail, most, share, exploration, draws, ruled, values):  # type: ignore[no-untyped-def]
    for user in range(len(items)):
        used = np.zeros(items.shape[1], np.bool_)
        n_tail = 0
        size = min(ruled.shape[1], (items[user] >= 0).sum())
        for place in range(size):
            need_tail = n_tail < share * (place + 1) - 1e-9
            chosen = _choice(items[user], used, ruled[user, :place], artist_ptr, artists, is_tail, most, need_tail,
                             draws[user, 1, place] if draws[user, 0, place] < exploration else -1.0)
            used[chosen] = True
            n_tail += is_tail[items[user, chosen]]
            ruled[user, place], values[user, place] = items[user, chosen], scores[user, chosen]
        values[user, :size] = -np.sort(-values[user, :size])


@njit(cache=True, nogil=True)
def _choice(items, used, so_far, artist_ptr, artists, is_tail, most, need_tail, draw):  # type: ignore[no-untyped-def]
    # Of what is left: first what meets both rules, then what meets the artist rule, then what meets the tail rule, then anything.
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
