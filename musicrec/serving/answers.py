"""The kinds of answer: default, offline, online and blended. Pure: arrays and lists in, lists out.

Always k items while the catalogue has them (online: while there are similar ones), none twice, none heard, none blocked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np

from musicrec.serving.blending import BLENDS, Pick, combined, filled, picked
from musicrec.serving.knowledge import NOTHING_KNOWN, Known
from musicrec.serving.lookup import Int32, Lookup, without

_CHUNK = 256
_NONE: Int32 = np.empty(0, np.int32)


@dataclass(frozen=True)
class Rules:
    """How answers are put together. blocked and allowed are ascending ids; allowed None means that every item is."""

    blend: str = "alternate"
    offline_first: bool = True
    decay: float = 0.8
    most_per_artist: int = 0
    blocked: Int32 = field(default_factory=lambda: _NONE)
    allowed: Int32 | None = None


@dataclass(frozen=True)
class Answer:
    """Items, best first; how they were found; and one sentence for each neighbour whose part is missing."""

    picks: list[Pick]
    strategy: str
    degraded: tuple[str, ...] = ()


class Answers:
    """Answers over one run."""

    def __init__(self, lookup: Lookup, rules: Rules) -> None:
        self.lookup, self.rules = lookup, rules

    def default(self, k: int) -> Answer:
        """The k most popular items."""
        return Answer(self._filled([], k, _NONE), "popular")

    def offline(self, user_id: int, k: int, known: Known = NOTHING_KNOWN) -> Answer:
        """The personal list, filled up with popular items; for a user without one, popular items only."""
        heard = self._heard(user_id, known.plays)
        personal = self._personal(user_id, heard)
        return Answer(self._filled(personal, k, heard), "personal" if personal else "popular", known.missing)

    def online(self, user_id: int, k: int, known: Known) -> Answer:
        """Items similar to the latest plays, at most k: fewer when there are fewer, none without plays.

        When a neighbour did not answer, the offline list takes its place and the answer says so.
        """
        if known.missing:
            return self.offline(user_id, k, known)
        online = self._online(known, self._heard(user_id, known.plays))
        return Answer(filled(online, k, self.lookup.catalogue.artist_ids, self.rules.most_per_artist), "online")

    def blended(self, user_id: int, k: int, known: Known) -> Answer:
        """Offline and online lists as one, filled to k with popular items."""
        heard = self._heard(user_id, known.plays)
        online = self._online(known, heard)
        if not online:
            return self.offline(user_id, k, known)
        offline = self._personal(user_id, heard) or filled(self._popular(heard), k, self.lookup.catalogue.artist_ids, 0)
        mixed = BLENDS[self.rules.blend](offline, online, self.rules.offline_first)
        return Answer(self._filled(mixed, k, heard), "blended", known.missing)

    def _heard(self, user_id: int, plays: Sequence[int]) -> Int32:
        heard = self.lookup.heard.of(user_id)[0]
        # Ascending is enough: an item that stands twice is found just the same.
        return np.sort(np.concatenate((heard, np.array(plays, np.int32))), kind="stable") if plays else heard

    def _free(self, items: Int32, heard: Int32) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        free = without(items, heard)
        if len(self.rules.blocked):
            free &= without(items, self.rules.blocked)
        return free if self.rules.allowed is None else free & ~without(items, self.rules.allowed)

    def _online(self, known: Known, heard: Int32) -> list[Pick]:
        picks = combined(known.similar, self.rules.decay)
        free = self._free(np.array([pick.item_id for pick in picks], np.int32), heard)
        return list(compress(picks, free.tolist()))

    def _personal(self, user_id: int, heard: Int32) -> list[Pick]:
        items, scores = self.lookup.personal.of(user_id)
        free = self._free(items, heard)
        return list(picked(items[free].tolist(), "personal", scores[free].tolist()))

    def _filled(self, picks: Sequence[Pick], k: int, heard: Int32) -> list[Pick]:
        def candidates() -> Iterator[Pick]:
            yield from picks
            yield from self._popular(heard)
        return filled(candidates(), k, self.lookup.catalogue.artist_ids, self.rules.most_per_artist)

    def _popular(self, heard: Int32) -> Iterator[Pick]:
        items, scores = self.lookup.popular, self.lookup.popular_scores
        for start in range(0, len(items), _CHUNK):
            part = slice(start, start + _CHUNK)
            free = self._free(items[part], heard)
            yield from picked(items[part][free].tolist(), "popular", scores[part][free].tolist())
