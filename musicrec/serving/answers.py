"""The kinds of answer: default, offline, online and blended. Pure: arrays and lists in, lists out.

Always k items while the catalogue has them (online: while there are similar ones), none twice, none seen, none blocked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np

from musicrec.serving.blending import BLENDS, ScoredItem, SimilarItems, backfill, combined, scored
from musicrec.serving.lookup import Int32, Lookup, without

_CHUNK = 256
_NONE: Int32 = np.empty(0, np.int32)


@dataclass(frozen=True)
class AnswerOptions:
    """How answers are put together. blocked and allowed are ascending ids; allowed None means that every item is."""

    method: str = "alternate"
    offline_first: bool = True
    decay: float = 0.8
    max_per_artist: int = 0
    blocked: Int32 = field(default_factory=lambda: _NONE)
    allowed: Int32 | None = None


@dataclass(frozen=True)
class UserContext:
    """A user's latest plays, newest first; items similar to the newest of them; one sentence for each service that did not answer."""

    plays: Sequence[int] = ()
    similar: Sequence[SimilarItems] = ()
    missing: tuple[str, ...] = ()


NO_CONTEXT = UserContext()


@dataclass(frozen=True)
class Answer:
    """Items, best first; how they were found; and one sentence for each service whose part is missing."""

    items: list[ScoredItem]
    strategy: str
    degraded: tuple[str, ...] = ()


class Answers:
    """Answers over one run."""

    def __init__(self, lookup: Lookup, options: AnswerOptions) -> None:
        self.lookup, self.options = lookup, options

    def default(self, k: int) -> Answer:
        """The k most popular items."""
        return Answer(self._backfilled([], k, _NONE), "popular")

    def offline(self, user_id: int, k: int, context: UserContext = NO_CONTEXT) -> Answer:
        """The personal list, filled up with popular items; for a user without one, popular items only."""
        seen = self._seen(user_id, context.plays)
        personal = self._personal(user_id, seen)
        return Answer(self._backfilled(personal, k, seen), "personal" if personal else "popular", context.missing)

    def online(self, user_id: int, k: int, context: UserContext) -> Answer:
        """Items similar to the latest plays, at most k: fewer when there are fewer, none without plays.

        When a service did not answer, the offline list takes its place and the answer says so.
        """
        if context.missing:
            return self.offline(user_id, k, context)
        online = self._online(context, self._seen(user_id, context.plays))
        return Answer(backfill(online, k, self.lookup.catalogue.artist_ids, self.options.max_per_artist), "online")

    def blended(self, user_id: int, k: int, context: UserContext) -> Answer:
        """Offline and online lists as one, filled to k with popular items."""
        seen = self._seen(user_id, context.plays)
        online = self._online(context, seen)
        if not online:
            return self.offline(user_id, k, context)
        offline = self._personal(user_id, seen) or backfill(self._popular(seen), k, self.lookup.catalogue.artist_ids, 0)
        blend = BLENDS[self.options.method](offline, online, self.options.offline_first)
        return Answer(self._backfilled(blend, k, seen), "blended", context.missing)

    def described(self, answer: Answer) -> list[dict[str, Any]]:
        """Each item of an answer with its name, artists, source, score and reason."""
        catalogue, found = self.lookup.catalogue, []
        for scored_item in answer.items:
            item = catalogue.item(scored_item.item_id)
            reason = f"popular in {item.genres[0]}" if item.genres else "popular"
            if scored_item.because is not None:
                reason = f"similar to {catalogue.item(scored_item.because).name or scored_item.because} which you played"
            elif scored_item.source == "personal":
                reason = "chosen for you from your listening history"
            found.append({"item_id": item.item_id, "name": item.name, "artists": item.artists, "source": scored_item.source,
                          "score": scored_item.score, "reason": reason})
        return found

    def _seen(self, user_id: int, plays: Sequence[int]) -> Int32:
        seen = self.lookup.seen.of(user_id)[0]
        # Ascending is enough: an item that stands twice is found just the same.
        return np.sort(np.concatenate((seen, np.array(plays, np.int32))), kind="stable") if plays else seen

    def _free(self, items: Int32, seen: Int32) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        free = without(items, seen)
        if len(self.options.blocked):
            free &= without(items, self.options.blocked)
        return free if self.options.allowed is None else free & ~without(items, self.options.allowed)

    def _online(self, context: UserContext, seen: Int32) -> list[ScoredItem]:
        items = combined(context.similar, self.options.decay)
        free = self._free(np.array([item.item_id for item in items], np.int32), seen)
        return list(compress(items, free.tolist()))

    def _personal(self, user_id: int, seen: Int32) -> list[ScoredItem]:
        items, scores = self.lookup.personal.of(user_id)
        free = self._free(items, seen)
        return list(scored(items[free].tolist(), "personal", scores[free].tolist()))

    def _backfilled(self, items: Sequence[ScoredItem], k: int, seen: Int32) -> list[ScoredItem]:
        def candidates() -> Iterator[ScoredItem]:
            yield from items
            yield from self._popular(seen)
        return backfill(candidates(), k, self.lookup.catalogue.artist_ids, self.options.max_per_artist)

    def _popular(self, seen: Int32) -> Iterator[ScoredItem]:
        items, scores = self.lookup.popular, self.lookup.popular_scores
        for start in range(0, len(items), _CHUNK):
            part = slice(start, start + _CHUNK)
            free = self._free(items[part], seen)
            yield from scored(items[part][free].tolist(), "popular", scores[part][free].tolist())
