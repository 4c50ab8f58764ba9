"""How several ranked lists become one. Pure: lists in, lists out.

To add a way of blending: write a function (offline, online, offline_first) -> list and name it in BLENDS.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import NamedTuple

RANK_CONSTANT = 60


class Pick(NamedTuple):
    """One item of an answer: which list it came from, its score there, and the played item that brought it (None elsewhere)."""

    item_id: int
    source: str
    score: float
    because: int | None = None


Picks = Sequence[Pick]


def picked(items: Iterable[int], source: str, scores: Iterable[float]) -> Iterator[Pick]:
    """A pick of each item, from one source.

    >>> list(picked([7], "popular", [0.5]))
    [Pick(item_id=7, source='popular', score=0.5, because=None)]
    """
    # Without the keyword handling of Pick(...), which is most of the time that a list of a hundred takes.
    return map(_new_pick, zip(items, repeat(source), scores, repeat(None)))


_new_pick: Callable[[tuple[object, ...]], Pick] = partial(tuple.__new__, Pick)


def alternated(offline: Picks, online: Picks, offline_first: bool = True) -> list[Pick]:
    """The two lists in turns: even places (from 0) from the first side, odd ones from the other, no item twice.

    Each list holds an item once. An item that stands in both is taken where it comes up first, and its other side offers its
    next one. When one side has nothing more, the other goes on alone.

    >>> a, b = [Pick(1, "a", 0), Pick(2, "a", 0)], [Pick(1, "b", 0), Pick(3, "b", 0)]
    >>> [pick.item_id for pick in alternated(a, b)]
    [1, 3, 2]
    """
    mine, other = (offline, online) if offline_first else (online, offline)
    at, other_at = 0, 0
    taken: set[int] = set()
    found: list[Pick] = []
    while True:
        while at < len(mine) and mine[at].item_id in taken:
            at += 1
        if at == len(mine):
            return found + [pick for pick in other[other_at:] if pick.item_id not in taken]
        taken.add(mine[at].item_id)
        found.append(mine[at])
        mine, other, at, other_at = other, mine, other_at, at + 1


def by_score(offline: Picks, online: Picks, offline_first: bool = True) -> list[Pick]:
    """Both lists by the sum of their scores, each scaled so that the best of its list is 1 and the worst is 0.

    Equal sums keep the order of alternated.
    """
    return _summed(offline, online, offline_first, _scaled)


def reciprocal_rank(offline: Picks, online: Picks, offline_first: bool = True) -> list[Pick]:
    """Both lists by the sum of 1 / (60 + place), places from 1 (Cormack, Clarke and Buettcher, SIGIR 2009).

    Equal sums keep the order of alternated.
    """
    return _summed(offline, online, offline_first, lambda picks: [1 / (RANK_CONSTANT + place) for place in range(1, len(picks) + 1)])


BLENDS: dict[str, Callable[[Picks, Picks, bool], list[Pick]]] = {
    "alternate": alternated,
    "score": by_score,
    "reciprocal_rank": reciprocal_rank,
}


def combined(similar: Sequence[tuple[int, Sequence[int], Sequence[float]]], decay: float) -> list[Pick]:
    """One list from the similar items of several plays (played item, its similar items, their scores), newest play first.

    An item's score is the sum over plays of score x decay ** (age of the play in places); the play that adds most is its reason.
    Descending by score, equal scores by ascending item id.

    >>> combined([(7, [1, 2], [0.5, 0.4]), (8, [2], [0.4])], decay=0.5)[0]
    Pick(item_id=2, source='online', score=0.6000000000000001, because=7)
    """
    total: dict[int, float] = {}
    best: dict[int, tuple[float, int]] = {}
    for age, (played, items, scores) in enumerate(similar):
        for item, score in zip(items, scores):
            weighted = score * decay**age
            total[item] = total.get(item, 0.0) + weighted
            if item not in best or weighted > best[item][0]:
                best[item] = weighted, played
    order = sorted(sorted(total), key=total.__getitem__, reverse=True)
    return [Pick(item, "online", total[item], best[item][1]) for item in order]


def filled(picks: Iterable[Pick], k: int, artists_of: Callable[[int], Sequence[int]], most_per_artist: int) -> list[Pick]:
    """The first k different items of `picks`, at most `most_per_artist` of an artist (0: any number); k is at least 1."""
    count: Counter[int] = Counter()
    found: dict[int, Pick] = {}
    for pick in picks:
        item = pick[0]
        if item in found:
            continue
        if most_per_artist:
            artists = artists_of(item)
            if any(count[artist] >= most_per_artist for artist in artists):
                continue
            count.update(artists)
        found[item] = pick
        # Asked only now: `picks` may be a generator that works for each further item.
        if len(found) == k:
            break
    return list(found.values())


def _scaled(picks: Picks) -> list[float]:
    scores = [pick.score for pick in picks]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def _summed(offline: Picks, online: Picks, offline_first: bool, weights: Callable[[Picks], list[float]]) -> list[Pick]:
    total: dict[int, float] = {}
    for picks in (offline, online):
        for pick, weight in zip(picks, weights(picks)):
            total[pick.item_id] = total.get(pick.item_id, 0.0) + weight
    return sorted(alternated(offline, online, offline_first), key=lambda pick: -total[pick.item_id])
