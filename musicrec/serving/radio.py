"""Radio: tracks around tracks, artists and genres, easy or hard, drawn by a seed. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from musicrec.serving.arrays import Float32, Int32
from musicrec.serving.blending import ScoredItem, SimilarItems
from musicrec.serving.filters import ItemColumns, ItemMask

# Tracks around which those similar to a track or an artist are looked for once more, and the most that a genre is drawn from.
WIDENED, _MOST = 20, 10_000
# Which third of a pool comes first: 0 holds the best known and most similar.
_BANDS = {"easy": (0, 1, 2), "medium": (1, 0, 2), "hard": (2, 1, 0)}


@dataclass(frozen=True)
class Pool:
    """The tracks around one track, artist or genre: ids, places by popularity, similarity, and the track that brought each (-1: none)."""

    source: str
    items: Int32
    places: Int32
    similarity: Float32
    because: Int32

    def drawn(self, difficulty: str, rng: np.random.Generator) -> Iterator[ScoredItem]:
        """All of them: at random within the third that `difficulty` names, then within the others.

        Thirds are by the sum of two ranks, of popularity and of similarity.
        """
        order = np.argsort(_ranks(self.places) + _ranks(-self.similarity), kind="stable")
        thirds = np.array_split(order, 3)
        drawn = np.concatenate([rng.permutation(thirds[third]) for third in _BANDS[difficulty]])
        for at in drawn.tolist():
            because = int(self.because[at])
            yield ScoredItem(int(self.items[at]), self.source, float(self.similarity[at]), None if because < 0 else because)


def around(source: str, first: SimilarItems, similar: Mapping[int, SimilarItems], columns: ItemColumns) -> Pool:
    """The pool of `first`, the items similar to a track or those of an artist, and of what is similar to them, as far as columns know it.

    The similarity of the latter is the product of both. first.played is the track, -1 for an artist.
    """
    found = {item: (score, first.played) for item, score in zip(first.items, first.scores)}
    for item, score in list(zip(first.items, first.scores))[:WIDENED]:
        if item in similar:
            for other, further in zip(similar[item].items, similar[item].scores):
                if other not in found or score * further > found[other][0]:
                    found[other] = score * further, first.played if first.played >= 0 else item
    items = np.array(list(found), np.int32)
    places, known = columns.places_of(items)
    similarity = np.array([score for score, _ in found.values()], np.float32)
    because = np.array([track for _, track in found.values()], np.int32)
    return Pool(source, items[known], places[known], similarity[known], because[known])


def of_genre(places: NDArray[np.integer], popular: Int32, mask: ItemMask | None) -> Pool:
    """The pool of the items at these ascending places, as far as they pass; of many, the less popular the fewer, so that the first third
    is well known.
    """
    passing = places if mask is None else places[mask.passes[places]]
    passing = passing[np.unique(np.geomspace(1, max(1, len(passing)), _MOST).astype(np.int64))[:len(passing)] - 1]
    n = len(passing)
    return Pool("genre", popular[passing], passing.astype(np.int32), np.ones(n, np.float32), np.full(n, -1, np.int32))


def in_turns(pools: Sequence[Pool], difficulty: str, seed: int) -> Iterator[ScoredItem]:
    """One item of each pool after the other; the same for the same pools and seed."""
    rng = np.random.default_rng(seed)
    for row in zip_longest(*(pool.drawn(difficulty, rng) for pool in pools)):
        yield from (item for item in row if item is not None)


def _ranks(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """The rank of each value from 0; equal ones have the same."""
    ranks: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    return ranks
