"""The kinds of answer: default, offline, online and blended. Pure: arrays and lists in, lists out.

Always k items while the catalog has them (online: while there are similar ones), none twice, none blocked, and none seen: unless mode is
"familiar", which gives the user's own items alone, as many as there are, or "mixed", which gives both.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress, islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musicrec.events.protocol import BLOCK_ARTIST, LIKE, PLAY
from musicrec.mixing import places
from musicrec.serving.arrays import Float32, Int32
from musicrec.serving.blending import BLENDS, LIKED, ScoredItem, backfill, combined, scored
from musicrec.serving.fall_off import LAST, fallen, times_before, times_of
from musicrec.serving.filters import Filters, ItemMask
from musicrec.serving.fold_in import SINCE_THE_RUN, fused
from musicrec.serving.lookup import Lookup, without
from musicrec.serving.user_context import NO_CONTEXT, Memory, UserContext

_CHUNK = 256
# Popular items that stand for the personal list of a user without one when lists are blended; the number must not depend on k, or the
# pages of a list would not fit together.
_POOL = 1000
_NONE: Int32 = np.empty(0, np.int32)
_NO_COUNTS: Mapping[int, int] = MappingProxyType({})
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
    familiar_share: float = 0.5
    mode: str = "new"
    artist_decay: float = 1.0
    diversity: float = 0.0
    exploration: float = 0.0
    recent_items: int = 3
    skip_minutes: float = 60.0


class Exclusions(NamedTuple):
    """What is not recommended: items, ascending, and the items of some artists; lowered: artists whose items come last; counts: of the
    artists whose items fall off, how many items of the current session they have, LAST for a lowered one."""

    items: Int32
    artists: frozenset[int] = frozenset()
    lowered: frozenset[int] = frozenset()
    counts: Mapping[int, int] = _NO_COUNTS


_NOTHING = Exclusions(_NONE)


class Answer(NamedTuple):
    """Items, best first, by column: ids, which list each came from, its score there, the play that brought it. How they were found; one
    sentence for each service whose part is missing; how many items the other services named that this run does not know, which are
    left out; and where items were drawn at random, the probability with which each is in the list."""

    item_ids: Sequence[int]
    sources: Sequence[str]
    scores: Sequence[float]
    because: Sequence[int | None]
    strategy: str
    degraded: tuple[str, ...] = ()
    unknown: int = 0
    propensities: Sequence[float] = ()

    @property
    def items(self) -> list[ScoredItem]:
        """The items, one by one."""
        return list(map(ScoredItem, self.item_ids, self.sources, self.scores, self.because))

    def after(self, offset: int) -> "Answer":
        """The same without its first items."""
        if not offset:
            return self
        return self._replace(item_ids=self.item_ids[offset:], sources=self.sources[offset:], scores=self.scores[offset:],
                             because=self.because[offset:])


def filtered(lookup: Lookup, options: AnswerOptions, asked: Filters) -> "Answers":
    """Answers over one run, of the items that pass what was asked for. Raises RequestValidationError for what cannot be filtered by."""
    if asked.max_per_artist or asked.diversity:
        options = replace(options, max_per_artist=asked.max_per_artist or options.max_per_artist, diversity=asked.diversity)
    mask = lookup.columns.mask(asked, map(lookup.items.id_of, asked.exclude)) if asked.restricts else None
    return Answers(lookup, options, mask)


class Answers:
    """Answers over one run, of the items that pass `mask` where there is one."""

    def __init__(self, lookup: Lookup, options: AnswerOptions, mask: ItemMask | None = None) -> None:
        self.lookup, self.options, self.mask = lookup, options, mask

    def default(self, k: int) -> Answer:
        """The k most popular items."""
        return self._answer((), k, _NOTHING, "popular")

    def offline(self, user_id: int, k: int, context: UserContext = NO_CONTEXT, mode: str = "new") -> Answer:
        """The personal list, filled up with popular items; for a user without one, popular items only. Without familiar items "mixed" is
        "new".
        """
        if mode == "familiar":
            found = backfill(self._familiar(user_id, context.memory), k, self.lookup.catalog.artist_ids, self.options.max_per_artist)
            return _columns(found, "familiar", context.missing)
        return self._offline(user_id, k, context, mode, self._left_out(user_id, context))

    def _offline(self, user_id: int, k: int, context: UserContext, mode: str, out: Exclusions) -> Answer:
        items, scores = self._personal(user_id, k, out, context.memory)
        familiar = self._familiar(user_id, context.memory) if mode == "mixed" else []
        if len(items) >= k and not (self.options.max_per_artist or self.options.diversity or out.lowered or familiar):
            return Answer(items[:k].tolist(), ["personal"] * k, scores[:k].tolist(), [None] * k, "personal", context.missing)
        strategy = "mixed" if familiar else "personal" if len(items) else "popular"
        return self._answer(self._mixed(familiar, items, scores), k, out, strategy, context.missing)

    def online(self, user_id: int, k: int, context: UserContext) -> Answer:
        """Items similar to the latest plays, at most k: fewer when there are fewer, none without plays.

        When a service did not answer, the offline list takes its place and the answer says so.
        """
        if context.missing:
            return self.offline(user_id, k, context)
        out = self._left_out(user_id, context)
        online, unknown = self._online(context, out)
        found = backfill(self._diverse(online), k, self.lookup.catalog.artist_ids, self.options.max_per_artist, out.lowered)
        return _columns(found, "online", unknown=unknown)

    def blended(self, user_id: int, k: int, context: UserContext, mode: str = "new") -> Answer:
        """Offline and online lists as one, in which artists of the current session fall off, filled to k with popular items."""
        if mode == "familiar":
            return self.offline(user_id, k, context, mode)
        out = self._left_out(user_id, context, tired=True)
        online, unknown = self._online(context, out)
        if not online:
            return self._offline(user_id, k, context, mode, out)._replace(unknown=unknown)
        items, scores = self._personal(user_id, k, out, context.memory)
        familiar = self._familiar(user_id, context.memory) if mode == "mixed" else []
        offline = self._mixed(familiar, items, scores) if familiar or len(items) else islice(self._popular(out), _POOL)
        blend = BLENDS[self.options.method](offline, online, self.options.offline_first)
        return self._answer(blend, k, out, "blended", context.missing, unknown)

    def session(self, k: int, context: UserContext) -> Answer:
        """Items similar to those of a session, filled up with popular ones; what stands in the session is left out."""
        out = self._left_out(-1, context, tired=True)
        online, unknown = self._online(context, out)
        return self._answer((item for item in online if item.score > 0), k, out, "session", context.missing, unknown)

    def of_mode(self, mode: str, user_id: int, context: UserContext) -> "Answers":
        """Answers of the items that are new to the user, of those that are not, or of both."""
        if mode == "mixed":
            return self
        own = np.concatenate((self.lookup.seen.of(user_id)[0], np.array([*context.plays, *context.memory.items], np.int32)))
        return Answers(self.lookup, self.options, self.lookup.columns.split(self.mask, own, inside=mode == "familiar"))

    def radio(self, items: Iterator[ScoredItem], k: int, without_ids: Sequence[int], context: UserContext,
              missing: tuple[str, ...]) -> Answer:
        """The first k of these items that pass, without those of `without_ids` and what was refused; fewer when there are fewer."""
        memory = context.memory
        refused = {*memory.items}.difference(memory.welcome)
        out = Exclusions(np.array(sorted(refused.union(without_ids)), np.int32), self._artists(memory.of_type(BLOCK_ARTIST)))

        def passing() -> Iterator[ScoredItem]:
            while part := list(islice(items, _CHUNK)):
                yield from compress(part, self._passing(np.array([item.item_id for item in part], np.int32), out).tolist())
        found = backfill(self._diverse(passing()), k, self.lookup.catalog.artist_ids, self.options.max_per_artist)
        return _columns(found, "radio", context.missing + missing)

    def _left_out(self, user_id: int, context: UserContext, tired: bool = False) -> Exclusions:
        seen, memory = self.lookup.seen.of(user_id)[0], context.memory
        session = memory.session if tired and self.options.artist_decay < 1 else ()
        lowered = self._artists(memory.refused)
        counts = self._session_counts(session, lowered) if session or lowered else _NO_COUNTS
        more = [*context.plays, *memory.items, *(item for near in context.near_refused for item in near.items[:_NEIGHBORS])]
        # Ascending is enough: an item that stands twice is found just the same.
        items = np.sort(np.concatenate((seen, np.array(more, np.int32))), kind="stable") if more else seen
        return Exclusions(items, self._artists(memory.of_type(BLOCK_ARTIST)), lowered, counts)

    def _session_counts(self, session: Sequence[int], lowered: frozenset[int]) -> dict[int, int]:
        counts = Counter(self.lookup.catalog.artists_of(np.array(session, np.int32))[1].tolist())
        return {**counts, **dict.fromkeys(lowered, LAST)}

    def _artists(self, items: Iterable[int]) -> frozenset[int]:
        return frozenset(artist for item in items for artist in self.lookup.catalog.artist_ids(item))

    def _free(self, items: Int32, out: Exclusions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        free = without(items, out.items)
        if len(self.lookup.blocked):
            free &= without(items, self.lookup.blocked)
        if out.artists:
            free &= np.fromiter((out.artists.isdisjoint(self.lookup.catalog.artist_ids(item)) for item in items.tolist()), bool, len(items))
        return free if self.lookup.allowed is None else free & ~without(items, self.lookup.allowed)

    def _passing(self, items: Int32, out: Exclusions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        free = self._free(items, out)
        return free if self.mask is None else free & self.mask.of(items)

    def _online(self, context: UserContext, out: Exclusions) -> tuple[list[ScoredItem], int]:
        """What the latest plays bring, and how many items of it this run does not know."""
        items = combined(context.similar, self.options.decay, context.memory.of_type(LIKE))
        ids = np.array([item.item_id for item in items], np.int32)
        unknown = without(ids, self.lookup.catalog.item_ids)
        passing = np.flatnonzero(self._passing(ids, out) & ~unknown)
        order = passing[self._order(ids[passing], out)] if out.counts else passing
        return [items[at] for at in order.tolist()], int(unknown.sum()) + context.unknown

    def _personal(self, user_id: int, k: int, out: Exclusions, memory: Memory) -> tuple[Int32, Float32]:
        """The list of the run; for a user who has played something since, that and what is folded in, by reciprocal rank fusion;
        in the order of _order."""
        items, scores = self._listed(user_id, k, out, memory)
        if not out.counts or not len(items):
            return items, scores
        order = self._order(items, out)
        return items[order], scores[order]

    def _order(self, items: Int32, out: Exclusions) -> NDArray[np.int64]:
        """The order of a list in which artists of the session fall off and lowered ones are last, so that the place of an item that is
        passed over goes to the next one of the same list."""
        return fallen(times_of(len(items), *self.lookup.catalog.artists_of(items), out.counts), self.options.artist_decay)

    def _listed(self, user_id: int, k: int, out: Exclusions, memory: Memory) -> tuple[Int32, Float32]:
        items, scores = self.lookup.personal.of(user_id)
        free = self._passing(items, out)
        items, scores = items[free], scores[free]
        if self.lookup.fold_in is None or not memory.items:
            return items, scores
        before, new = self.lookup.seen.of(user_id)[0], np.array(memory.welcome, np.int32)
        new = new[without(new, before)]
        if not len(new):
            return items, scores
        weights = np.where(np.isin(new, memory.of_type(LIKE)), LIKED * SINCE_THE_RUN, SINCE_THE_RUN).astype(np.float32)
        folded = self.lookup.fold_in.recommended(new, weights, before, max(k, _FOLDED), lambda some: self._passing(some, out))
        if not len(folded[0]):
            return items, scores
        return fused(items, folded[0]) if len(items) else folded

    def _familiar(self, user_id: int, memory: Memory) -> list[ScoredItem]:
        """The user's own items, without those that were refused since."""
        items, scores = self.lookup.familiar.of(user_id)
        refused = np.array(sorted(item for item, kind in memory.types.items() if kind not in (PLAY, LIKE)), np.int32)
        free = self._passing(items, Exclusions(refused, self._artists(memory.of_type(BLOCK_ARTIST))))
        return list(scored(items[free].tolist(), "familiar", scores[free].tolist()))

    def _mixed(self, familiar: list[ScoredItem], items: Int32, scores: Float32) -> Iterable[ScoredItem]:
        """The personal list, as these items and scores, with familiar items in their share of the places."""
        personal, share = scored(items.tolist(), "personal", scores.tolist()), self.options.familiar_share
        if not familiar:
            return personal
        both = [*familiar, *personal]
        order = np.argsort(np.concatenate((places(len(familiar), share), places(len(items), 1 - share))), kind="stable")
        return [both[at] for at in order.tolist()]

    def _answer(self, items: Iterable[ScoredItem], k: int, out: Exclusions, strategy: str, missing: tuple[str, ...] = (),
                unknown: int = 0) -> Answer:
        """The first k of these items, filled up with popular ones, before which come those that the limit on artists has passed over."""
        artists_of, most = self.lookup.catalog.artist_ids, self.options.max_per_artist
        if self.options.diversity:
            items = self._diverse(chain(items, islice(self._popular(out), _POOL)))
        found = backfill(items, k, artists_of, most, out.lowered)
        if len(found) < k:
            found = backfill(chain(found, self._popular(out)), k, artists_of, 0, out.lowered)
        return _columns(found, strategy, missing, unknown)

    def _diverse(self, items: Iterable[ScoredItem]) -> Iterable[ScoredItem]:
        """The same, in an order in which items of artists with better ones fall off; the first thousand where there are more."""
        if not self.options.diversity:
            return items
        first = list({item[0]: item for item in islice(items, _POOL)}.values())
        times = times_before(len(first), *self.lookup.catalog.artists_of(np.array([item[0] for item in first], np.int32)))
        return [first[at] for at in fallen(times, 1 - self.options.diversity).tolist()]

    def _popular(self, out: Exclusions) -> Iterator[ScoredItem]:
        items, scores = self.lookup.popular, self.lookup.popular_scores
        parts: Iterable[Any] = (slice(start, start + _CHUNK) for start in range(0, len(items), _CHUNK))
        for part in parts if self.mask is None else self.mask.places():
            free = self._free(items[part], out)
            yield from scored(items[part][free].tolist(), "popular", scores[part][free].tolist())


def _columns(items: Sequence[ScoredItem], strategy: str, missing: tuple[str, ...] = (), unknown: int = 0) -> Answer:
    item_ids, sources, scores, because = zip(*items) if items else ((), (), (), ())
    return Answer(item_ids, sources, scores, because, strategy, missing, unknown)
