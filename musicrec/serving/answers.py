"""The kinds of answer: default, offline, online and blended. Pure: arrays and lists in, lists out.

Always k items while the catalog has them (online: while there are similar ones), none twice, none seen, none blocked.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import Any, NamedTuple

import numpy as np

from musicrec.serving.arrays import Float32, Int32
from musicrec.serving.blending import BLENDS, ScoredItem, SimilarItems, backfill, combined, scored
from musicrec.serving.lookup import Lookup, without

_CHUNK = 256
_NONE: Int32 = np.empty(0, np.int32)


@dataclass(frozen=True)
class AnswerOptions:
    """How answers are put together."""

    method: str = "alternate"
    offline_first: bool = True
    decay: float = 0.8
    max_per_artist: int = 0


@dataclass(frozen=True)
class UserContext:
    """A user's latest plays, newest first; items similar to the newest of them; one sentence for each service that did not answer; how many
    plays were left out because this run does not know their tracks; whether the user was deleted."""

    plays: Sequence[int] = ()
    similar: Sequence[SimilarItems] = ()
    missing: tuple[str, ...] = ()
    unknown: int = 0
    blocked: bool = False


NO_CONTEXT = UserContext()


class Answer(NamedTuple):
    """Items, best first, by column: ids, which list each came from, its score there, the play that brought it. How they were found; one
    sentence for each service whose part is missing; and how many items the other services named that this run does not know, which are
    left out."""

    item_ids: Sequence[int]
    sources: Sequence[str]
    scores: Sequence[float]
    because: Sequence[int | None]
    strategy: str
    degraded: tuple[str, ...] = ()
    unknown: int = 0

    @property
    def items(self) -> list[ScoredItem]:
        """The items, one by one."""
        return list(map(ScoredItem, self.item_ids, self.sources, self.scores, self.because))


class Answers:
    """Answers over one run."""

    def __init__(self, lookup: Lookup, options: AnswerOptions) -> None:
        self.lookup, self.options = lookup, options

    def default(self, k: int) -> Answer:
        """The k most popular items."""
        return self._answer((), k, _NONE, "popular")

    def offline(self, user_id: int, k: int, context: UserContext = NO_CONTEXT) -> Answer:
        """The personal list, filled up with popular items; for a user without one, popular items only."""
        seen = self._seen(user_id, context.plays)
        items, scores = self._personal(user_id, seen)
        if len(items) >= k and not self.options.max_per_artist:
            return Answer(items[:k].tolist(), ["personal"] * k, scores[:k].tolist(), [None] * k, "personal", context.missing)
        personal = scored(items.tolist(), "personal", scores.tolist())
        return self._answer(personal, k, seen, "personal" if len(items) else "popular", context.missing)

    def online(self, user_id: int, k: int, context: UserContext) -> Answer:
        """Items similar to the latest plays, at most k: fewer when there are fewer, none without plays.

        When a service did not answer, the offline list takes its place and the answer says so.
        """
        if context.missing:
            return self.offline(user_id, k, context)
        online, unknown = self._online(context, self._seen(user_id, context.plays))
        return _columns(backfill(online, k, self.lookup.catalog.artist_ids, self.options.max_per_artist), "online", unknown=unknown)

    def blended(self, user_id: int, k: int, context: UserContext) -> Answer:
        """Offline and online lists as one, filled to k with popular items."""
        seen = self._seen(user_id, context.plays)
        online, unknown = self._online(context, seen)
        if not online:
            return self.offline(user_id, k, context)._replace(unknown=unknown)
        items, scores = self._personal(user_id, seen)
        offline = (scored(items.tolist(), "personal", scores.tolist()) if len(items) else
                   backfill(self._popular(seen), k, self.lookup.catalog.artist_ids, 0))
        blend = BLENDS[self.options.method](offline, online, self.options.offline_first)
        return self._answer(blend, k, seen, "blended", context.missing, unknown)

    def described(self, answer: Answer, by_key: bool = False) -> list[dict[str, Any]]:
        """Each item of an answer with its name, artists, source, score and reason; item_id is the key where `by_key`."""
        catalog, found = self.lookup.catalog, []
        for scored_item in answer.items:
            item = catalog.item(scored_item.item_id)
            reason = f"popular in {item.genres[0]}" if item.genres else "popular"
            if scored_item.because is not None:
                reason = f"similar to {catalog.item(scored_item.because).name or scored_item.because} which you played"
            elif scored_item.source == "personal":
                reason = "chosen for you from your listening history"
            found.append({"item_id": self.lookup.items.shown(item.item_id, by_key), "name": item.name, "artists": item.artists,
                          "source": scored_item.source, "score": scored_item.score, "reason": reason})
        return found

    def _seen(self, user_id: int, plays: Sequence[int]) -> Int32:
        seen = self.lookup.seen.of(user_id)[0]
        # Ascending is enough: an item that stands twice is found just the same.
        return np.sort(np.concatenate((seen, np.array(plays, np.int32))), kind="stable") if plays else seen

    def _free(self, items: Int32, seen: Int32) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        free = without(items, seen)
        if len(self.lookup.blocked):
            free &= without(items, self.lookup.blocked)
        return free if self.lookup.allowed is None else free & ~without(items, self.lookup.allowed)

    def _online(self, context: UserContext, seen: Int32) -> tuple[list[ScoredItem], int]:
        """What the latest plays bring, and how many items of it this run does not know."""
        items = combined(context.similar, self.options.decay)
        ids = np.array([item.item_id for item in items], np.int32)
        unknown = without(ids, self.lookup.catalog.item_ids)
        return list(compress(items, (self._free(ids, seen) & ~unknown).tolist())), int(unknown.sum()) + context.unknown

    def _personal(self, user_id: int, seen: Int32) -> tuple[Int32, Float32]:
        items, scores = self.lookup.personal.of(user_id)
        free = self._free(items, seen)
        return items[free], scores[free]

    def _answer(self, items: Iterable[ScoredItem], k: int, seen: Int32, strategy: str, missing: tuple[str, ...] = (),
                unknown: int = 0) -> Answer:
        """The first k of these items, filled up with popular ones, before which come those that the limit on artists has passed over."""
        found = backfill(items, k, self.lookup.catalog.artist_ids, self.options.max_per_artist)
        if len(found) < k:
            found = backfill(chain(found, self._popular(seen)), k, self.lookup.catalog.artist_ids, 0)
        return _columns(found, strategy, missing, unknown)

    def _popular(self, seen: Int32) -> Iterator[ScoredItem]:
        items, scores = self.lookup.popular, self.lookup.popular_scores
        for start in range(0, len(items), _CHUNK):
            part = slice(start, start + _CHUNK)
            free = self._free(items[part], seen)
            yield from scored(items[part][free].tolist(), "popular", scores[part][free].tolist())


def _columns(items: Sequence[ScoredItem], strategy: str, missing: tuple[str, ...] = (), unknown: int = 0) -> Answer:
    item_ids, sources, scores, because = zip(*items) if items else ((), (), (), ())
    return Answer(item_ids, sources, scores, because, strategy, missing, unknown)
