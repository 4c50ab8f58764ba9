"""The kinds of answer: default, offline, online and blended. Pure: arrays and lists in, lists out.

Always k items while the catalog has them (online: while there are similar ones), none twice, none seen, none blocked.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import Any, NamedTuple

import numpy as np

from musicrec.events.protocol import BLOCK_ARTIST, LIKE, PLAY
from musicrec.serving.arrays import Float32, Int32
from musicrec.serving.blending import BLENDS, LIKED, ScoredItem, SimilarItems, backfill, combined, scored
from musicrec.serving.fold_in import SINCE_THE_RUN, fused
from musicrec.serving.lookup import Lookup, without

_CHUNK = 256
_NONE: Int32 = np.empty(0, np.int32)
# Of the items similar to a skipped one, so many most similar are left out.
_NEIGHBORS = 10
# A list that is blended with another has at least so many items.
_FOLDED = 100


@dataclass(frozen=True)
class AnswerOptions:
    """How answers are put together."""

    method: str = "alternate"
    offline_first: bool = True
    decay: float = 0.8
    max_per_artist: int = 0


@dataclass(frozen=True)
class Memory:
    """What is remembered of a user's items, the latest feedback first; the types of those that were not only played; those that were
    skipped or disliked in the last minutes, the latest first."""

    items: Sequence[int] = ()
    types: Mapping[int, str] = field(default_factory=dict)
    refused: Sequence[int] = ()

    @property
    def welcome(self) -> list[int]:
        """The items that were played or liked."""
        return [item for item in self.items if self.types.get(item, PLAY) in (PLAY, LIKE)]

    def of_type(self, kind: str) -> list[int]:
        """The items of one type."""
        return [item for item, own in self.types.items() if own == kind]


@dataclass(frozen=True)
class UserContext:
    """A user's latest plays, newest first; items similar to the newest plays and likes; one sentence for each service that did not answer;
    how many plays were left out because this run does not know their tracks; whether the user was deleted; what is remembered, and items
    similar to what was refused."""

    plays: Sequence[int] = ()
    similar: Sequence[SimilarItems] = ()
    missing: tuple[str, ...] = ()
    unknown: int = 0
    blocked: bool = False
    memory: Memory = Memory()
    near_refused: Sequence[SimilarItems] = ()


NO_CONTEXT = UserContext()


class Exclusions(NamedTuple):
    """What is not recommended: items, ascending, and the items of some artists; lowered: artists whose items come last."""

    items: Int32
    artists: frozenset[int] = frozenset()
    lowered: frozenset[int] = frozenset()


_NOTHING = Exclusions(_NONE)


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
        return self._answer((), k, _NOTHING, "popular")

    def offline(self, user_id: int, k: int, context: UserContext = NO_CONTEXT) -> Answer:
        """The personal list, filled up with popular items; for a user without one, popular items only."""
        out = self._left_out(user_id, context)
        items, scores = self._personal(user_id, k, out, context.memory)
        if len(items) >= k and not self.options.max_per_artist and not out.lowered:
            return Answer(items[:k].tolist(), ["personal"] * k, scores[:k].tolist(), [None] * k, "personal", context.missing)
        personal = scored(items.tolist(), "personal", scores.tolist())
        return self._answer(personal, k, out, "personal" if len(items) else "popular", context.missing)

    def online(self, user_id: int, k: int, context: UserContext) -> Answer:
        """Items similar to the latest plays, at most k: fewer when there are fewer, none without plays.

        When a service did not answer, the offline list takes its place and the answer says so.
        """
        if context.missing:
            return self.offline(user_id, k, context)
        out = self._left_out(user_id, context)
        online, unknown = self._online(context, out)
        found = backfill(online, k, self.lookup.catalog.artist_ids, self.options.max_per_artist, out.lowered)
        return _columns(found, "online", unknown=unknown)

    def blended(self, user_id: int, k: int, context: UserContext) -> Answer:
        """Offline and online lists as one, filled to k with popular items."""
        out = self._left_out(user_id, context)
        online, unknown = self._online(context, out)
        if not online:
            return self.offline(user_id, k, context)._replace(unknown=unknown)
        items, scores = self._personal(user_id, k, out, context.memory)
        offline = (scored(items.tolist(), "personal", scores.tolist()) if len(items) else
                   backfill(self._popular(out), k, self.lookup.catalog.artist_ids, 0))
        blend = BLENDS[self.options.method](offline, online, self.options.offline_first)
        return self._answer(blend, k, out, "blended", context.missing, unknown)

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

    def _left_out(self, user_id: int, context: UserContext) -> Exclusions:
        seen, memory = self.lookup.seen.of(user_id)[0], context.memory
        more = [*context.plays, *memory.items, *(item for near in context.near_refused for item in near.items[:_NEIGHBORS])]
        # Ascending is enough: an item that stands twice is found just the same.
        items = np.sort(np.concatenate((seen, np.array(more, np.int32))), kind="stable") if more else seen
        return Exclusions(items, self._artists(memory.of_type(BLOCK_ARTIST)), self._artists(memory.refused))

    def _artists(self, items: Iterable[int]) -> frozenset[int]:
        return frozenset(artist for item in items for artist in self.lookup.catalog.artist_ids(item))

    def _free(self, items: Int32, out: Exclusions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        free = without(items, out.items)
        if len(self.lookup.blocked):
            free &= without(items, self.lookup.blocked)
        if out.artists:
            free &= np.fromiter((out.artists.isdisjoint(self.lookup.catalog.artist_ids(item)) for item in items.tolist()), bool, len(items))
        return free if self.lookup.allowed is None else free & ~without(items, self.lookup.allowed)

    def _online(self, context: UserContext, out: Exclusions) -> tuple[list[ScoredItem], int]:
        """What the latest plays bring, and how many items of it this run does not know."""
        items = combined(context.similar, self.options.decay, context.memory.of_type(LIKE))
        ids = np.array([item.item_id for item in items], np.int32)
        unknown = without(ids, self.lookup.catalog.item_ids)
        return list(compress(items, (self._free(ids, out) & ~unknown).tolist())), int(unknown.sum()) + context.unknown

    def _personal(self, user_id: int, k: int, out: Exclusions, memory: Memory) -> tuple[Int32, Float32]:
        """The list of the run; for a user who has played something since, that and what is folded in, by reciprocal rank fusion."""
        items, scores = self.lookup.personal.of(user_id)
        free = self._free(items, out)
        items, scores = items[free], scores[free]
        before, new = self.lookup.seen.of(user_id)[0], np.array(memory.welcome, np.int32)
        new = new[without(new, before)]
        if self.lookup.fold_in is None or not len(new):
            return items, scores
        weights = np.where(np.isin(new, memory.of_type(LIKE)), LIKED * SINCE_THE_RUN, SINCE_THE_RUN).astype(np.float32)
        folded = self.lookup.fold_in.recommended(new, weights, before, max(k, _FOLDED), lambda some: self._free(some, out))
        if not len(folded[0]):
            return items, scores
        return fused(items, folded[0]) if len(items) else folded

    def _answer(self, items: Iterable[ScoredItem], k: int, out: Exclusions, strategy: str, missing: tuple[str, ...] = (),
                unknown: int = 0) -> Answer:
        """The first k of these items, filled up with popular ones."""
        found = backfill(chain(items, self._popular(out)), k, self.lookup.catalog.artist_ids, self.options.max_per_artist, out.lowered)
        return _columns(found, strategy, missing, unknown)

    def _popular(self, out: Exclusions) -> Iterator[ScoredItem]:
        items, scores = self.lookup.popular, self.lookup.popular_scores
        for start in range(0, len(items), _CHUNK):
            part = slice(start, start + _CHUNK)
            free = self._free(items[part], out)
            yield from scored(items[part][free].tolist(), "popular", scores[part][free].tolist())


def _columns(items: Sequence[ScoredItem], strategy: str, missing: tuple[str, ...] = (), unknown: int = 0) -> Answer:
    item_ids, sources, scores, because = zip(*items) if items else ((), (), (), ())
    return Answer(item_ids, sources, scores, because, strategy, missing, unknown)
