"""How several ranked lists become one. Pure: lists in, lists out.

To add a way of blending: write a function (offline, online, offline_first) -> items and name it in BLENDS.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import NamedTuple

RANK_CONSTANT = 60
# How much more a liked item counts than a played one.
LIKED = 2.0


class ScoredItem(NamedTuple):
    """One item of an answer: which list it came from, its score there, and the played item that brought it (None elsewhere)."""

    item_id: int
    source: str
    score: float
    because: int | None = None


class SimilarItems(NamedTuple):
    """A played item, the items similar to it, most similar first, and their scores."""

    played: int
    items: Sequence[int]
    scores: Sequence[float]


ScoredItems = Iterable[ScoredItem]


def scored(items: Iterable[int], source: str, scores: Iterable[float]) -> Iterator[ScoredItem]:
    """A ScoredItem for each item, all from one source.

    >>> list(scored([7], "popular", [0.5]))
    [ScoredItem(item_id=7, source='popular', score=0.5, because=None)]
    """
    # Without the keyword handling of ScoredItem(...), which is most of the time that a list of a hundred takes.
    return map(_scored_item, zip(items, repeat(source), scores, repeat(None)))


_scored_item: Callable[[tuple[object, ...]], ScoredItem] = partial(tuple.__new__, ScoredItem)


def alternate(offline: ScoredItems, online: ScoredItems, offline_first: bool = True) -> Iterator[ScoredItem]:
    """The two lists in turns: even places (from 0) from the first side, odd ones from the other, no item twice.

    Each list holds an item once. An item of both lists is taken where it comes up first, and its other side offers its
    next one. When one side has nothing more, the other goes on alone.

    >>> a, b = [ScoredItem(1, "a", 0), ScoredItem(2, "a", 0)], [ScoredItem(1, "b", 0), ScoredItem(3, "b", 0)]
    >>> [item.item_id for item in alternate(a, b)]
    [1, 3, 2]
    """
    mine, other = (iter(offline), iter(online)) if offline_first else (iter(online), iter(offline))
    taken: set[int] = set()
    while True:
        for item in mine:
            if item[0] not in taken:
                break
        else:
            yield from (item for item in other if item[0] not in taken)
            return
        taken.add(item[0])
        yield item
        mine, other = other, mine


def by_score(offline: ScoredItems, online: ScoredItems, offline_first: bool = True) -> list[ScoredItem]:
    """Both lists by the sum of their scores, each scaled so that the best of its list is 1 and the worst is 0.

    Equal sums keep the order of alternate.
    """
    return _summed(offline, online, offline_first, _scaled)


def rrf(offline: ScoredItems, online: ScoredItems, offline_first: bool = True) -> list[ScoredItem]:
    """Reciprocal rank fusion: both lists by the sum of 1 / (60 + rank), ranks from 1 (Cormack, Clarke and Buettcher, SIGIR 2009).

    Equal sums keep the order of alternate.
    """
    return _summed(offline, online, offline_first, lambda items: [1 / (RANK_CONSTANT + rank) for rank in range(1, len(items) + 1)])


BLENDS: dict[str, Callable[[ScoredItems, ScoredItems, bool], ScoredItems]] = {
    "alternate": alternate,
    "score": by_score,
    "rrf": rrf,
}


def combined(similar: Sequence[SimilarItems], decay: float, liked: Collection[int] = ()) -> list[ScoredItem]:
    """One list from the similar items of several plays, newest play first.

    An item's score is the sum over plays of score x decay ** (age of the play in places), times LIKED where the played item is one of
    `liked`; the play that adds most is its reason. Descending by score, equal scores by ascending item id.

    >>> combined([SimilarItems(7, [1, 2], [0.5, 0.4]), SimilarItems(8, [2], [0.4])], decay=0.5)[0]
    ScoredItem(item_id=2, source='online', score=0.6000000000000001, because=7)
    """
    total: dict[int, float] = {}
    best: dict[int, tuple[float, int]] = {}
    for age, (played, items, scores) in enumerate(similar):
        weight = decay**age * (LIKED if played in liked else 1.0)
        for item, score in zip(items, scores):
            weighted = score * weight
            total[item] = total.get(item, 0.0) + weighted
            if item not in best or weighted > best[item][0]:
                best[item] = weighted, played
    order = sorted(sorted(total), key=total.__getitem__, reverse=True)
    return [_scored_item((item, "online", total[item], best[item][1])) for item in order]


def backfill(items: Iterable[ScoredItem], k: int, artists_of: Callable[[int], Sequence[int]], max_per_artist: int,
             lowered: Collection[int] = ()) -> list[ScoredItem]:
    """The first k different items, at most `max_per_artist` of an artist (0: any number), and none of `lowered`; k is at least 1.

    Where that leaves fewer than k, the items that were passed over come last, in their order.
    """
    count: Counter[int] = Counter()
    found: dict[int, ScoredItem] = {}
    passed_over: dict[int, ScoredItem] = {}
    for scored_item in items:
        item = scored_item[0]
        if item in found:
            continue
        if max_per_artist or lowered:
            artists = artists_of(item)
            if any(artist in lowered or 0 < max_per_artist <= count[artist] for artist in artists):
                if len(passed_over) < k:
                    passed_over[item] = scored_item
                continue
            count.update(artists)
        found[item] = scored_item
        # Asked only now: `items` may be a generator that works for each further item.
        if len(found) == k:
            return list(found.values())
    return list({**found, **passed_over}.values())[:k]


def _scaled(items: Sequence[ScoredItem]) -> list[float]:
    scores = [item.score for item in items]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def _summed(offline: ScoredItems, online: ScoredItems, offline_first: bool,
            weights: Callable[[Sequence[ScoredItem]], list[float]]) -> list[ScoredItem]:
    offline, online = list(offline), list(online)
    total: dict[int, float] = {}
    for items in (offline, online):
        for item, weight in zip(items, weights(items)):
            total[item.item_id] = total.get(item.item_id, 0.0) + weight
    return sorted(alternate(offline, online, offline_first), key=lambda item: -total[item.item_id])
