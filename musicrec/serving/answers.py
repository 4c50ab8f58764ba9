"""The three kinds of answer: offline, online and blended. Always k items while the catalogue has them, none twice, none heard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from musicrec.errors import ServiceError
from musicrec.serving.blending import BLENDS, Pick, combined, filled
from musicrec.serving.lookup import Int32, Lookup, without
from musicrec.serving.neighbours import Plays, SimilarItems

_CHUNK = 256


@dataclass(frozen=True)
class Rules:
    """How answers are put together; the keys of section [blending]."""

    blend: str = "alternate"
    offline_first: bool = True
    online_seeds: int = 3
    decay: float = 0.8
    most_per_artist: int = 0
    plays: int = 10
    similar_per_play: int = 100


@dataclass(frozen=True)
class Answer:
    """Items, best first; how they were found; and one sentence for each neighbour whose part is missing."""

    picks: list[Pick]
    strategy: str
    degraded: tuple[str, ...] = ()


class Answers:
    """Answers over one run."""

    def __init__(self, lookup: Lookup, plays: Plays, similar: SimilarItems, rules: Rules) -> None:
        self.lookup, self.plays, self.similar, self.rules = lookup, plays, similar, rules

    def default(self, k: int) -> Answer:
        """The k most popular items."""
        return Answer(self._filled([], k, _NOBODY), "popular")

    def offline(self, user_id: int, k: int) -> Answer:
        """The personal list, filled up with popular items; for a user without one, popular items only."""
        heard = self.lookup.heard.of(user_id)[0]
        personal = self._personal(user_id, heard)
        return Answer(self._filled(personal, k, heard), "personal" if personal else "popular")

    async def online(self, user_id: int, k: int) -> Answer:
        """Items similar to the latest plays, at most k: fewer when there are fewer, none without plays.

        When a neighbour does not answer, the offline list takes its place and the answer says so.
        """
        heard = self.lookup.heard.of(user_id)[0]
        picks, played, degraded = await self._similar_to_plays(user_id, heard)
        if degraded:
            return Answer(self._filled(self._personal(user_id, _joined(heard, played)), k, _joined(heard, played)), "offline", degraded)
        return Answer(filled(picks, k, self.lookup.catalogue.artist_ids, self.rules.most_per_artist), "online")

    async def blended(self, user_id: int, k: int) -> Answer:
        """Offline and online lists as one, filled to k with popular items."""
        heard = self.lookup.heard.of(user_id)[0]
        online, played, degraded = await self._similar_to_plays(user_id, heard)
        heard = _joined(heard, played)
        offline = self._personal(user_id, heard)
        if not offline and not online:
            return Answer(self._filled([], k, heard), "popular", degraded)
        offline = offline or self._popular_list(k, heard)
        mixed = BLENDS[self.rules.blend](offline, online, self.rules.offline_first)
        return Answer(self._filled(mixed, k, heard), "blended" if online else "offline", degraded)

    async def _similar_to_plays(self, user_id: int, heard: Int32) -> tuple[list[Pick], list[int], tuple[str, ...]]:
        """Similar items that were not heard, the plays known, and what is missing. One call to each neighbour."""
        played: list[int] = []
        try:
            played = await self.plays.latest(user_id, self.rules.plays)
            if not played:
                return [], [], ()
            found = await self.similar.of(played[:self.rules.online_seeds], self.rules.similar_per_play)
        except ServiceError as cause:
            return [], played, (str(cause),)
        picks = combined(found, self.rules.decay)
        unheard = without(np.array([pick.item_id for pick in picks], np.int32), _joined(heard, played))
        return [pick for pick, new in zip(picks, unheard.tolist()) if new], played, ()

    def _personal(self, user_id: int, heard: Int32) -> list[Pick]:
        items, scores = self.lookup.personal.of(user_id)
        new = without(items, heard)
        return [Pick(item, "personal", score) for item, score in zip(items[new].tolist(), scores[new].tolist())]

    def _popular_list(self, k: int, heard: Int32) -> list[Pick]:
        return filled(self._popular(heard), k, self.lookup.catalogue.artist_ids, 0)

    def _filled(self, picks: Sequence[Pick], k: int, heard: Int32) -> list[Pick]:
        def candidates() -> Iterator[Pick]:
            yield from picks
            yield from self._popular(heard)
        return filled(candidates(), k, self.lookup.catalogue.artist_ids, self.rules.most_per_artist)

    def _popular(self, heard: Int32) -> Iterator[Pick]:
        items, scores = self.lookup.popular, self.lookup.popular_scores
        for start in range(0, len(items), _CHUNK):
            part = slice(start, start + _CHUNK)
            new = without(items[part], heard)
            for item, score in zip(items[part][new].tolist(), scores[part][new].tolist()):
                yield Pick(item, "popular", score)


_NOBODY: Int32 = np.empty(0, np.int32)


def _joined(heard: Int32, played: Sequence[int]) -> Int32:
    """Both as ascending unique ids."""
    return np.union1d(heard, np.array(played, np.int32)) if played else heard
