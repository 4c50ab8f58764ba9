"""Exploration: places of a list that go to a track drawn at random, with the probability of everything that is shown. Pure."""

from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from itertools import islice

import numpy as np

from musicrec.serving.answers import Answer

# Each of the first places may go to one of so many tracks after them. Fixed, because all pages of a list must come from one draw.
_TOP, _FURTHER = 50, 100
# Items that a list needs before it is explored.
EXPLORED = _TOP + 2 * _FURTHER


def explored(answer: Answer, share: float, first: int, k: int, seed: str, alone: Callable[[int], Collection[int]] | None = None) -> Answer:
    """The k items from place `first` on of a list in which each of the first 50 places holds, with the probability `share`, one of the 100
    items after them, each equally likely, whose place gets the item that stood there; the same for the same seed.

    answer: the whole list, or its first EXPLORED items and those asked for. Its propensities are the probability with which each item is
    among these k. alone: the artists of an item; items of one that a better item has are then not drawn, so that a limit on artists holds.
    """
    n = len(answer.item_ids)
    further = np.array(list(islice(_drawable(answer, alone), _FURTHER)), np.int64)
    places = np.arange(max(0, min(_TOP, n) - len(further)), min(_TOP, n)) if len(further) else further
    rng = np.random.default_rng(int.from_bytes(blake2b(seed.encode(errors="surrogatepass"), digest_size=16).digest()))
    swapped = places[rng.random(len(places)) < share]
    drawn = rng.permutation(further)[:len(swapped)]
    order = np.arange(n)
    order[swapped], order[drawn] = drawn, swapped
    here = np.zeros(n)
    here[first:first + k] = 1
    chance = here.copy()
    if len(further):
        chance[places] = (1 - share) * here[places] + share * here[further].mean()
        chance[further] = (1 - share * len(places) / len(further)) * here[further] + share * here[places].sum() / len(further)
    shown = order[first:first + k].tolist()
    item_ids, sources, scores, because = ([column[at] for at in shown] for column in answer[:4])
    return answer._replace(item_ids=item_ids, sources=sources, scores=scores, because=because,
                           propensities=np.minimum(chance[shown], 1.0).tolist())


def _drawable(answer: Answer, alone: Callable[[int], Collection[int]] | None) -> Iterator[int]:
    """The places after the first ones whose items may be drawn."""
    taken = {artist for item in answer.item_ids[:_TOP] for artist in alone(item)} if alone else set[int]()
    for place in range(_TOP, len(answer.item_ids)):
        artists = set(alone(answer.item_ids[place])) if alone else set[int]()
        if taken.isdisjoint(artists):
            taken |= artists
            yield place
