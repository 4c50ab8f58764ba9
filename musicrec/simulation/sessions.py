"""One session of a simulated user: tracks one after another, until too many of them were losses."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from musicrec.events.protocol import KEPT_SHARE
from musicrec.simulation.world import World

# Of which less is played is reported as a skip.
SKIPPED = 0.2
MAX_LOSSES, MAX_TRACKS = 5, 50


class Played(NamedTuple):
    """One track of a session, and the share of it that was played."""

    track: int
    share: float

    @property
    def type(self) -> str:
        """What a player reports: "skip" where hardly anything was played, else "play"."""
        return "skip" if self.share < SKIPPED else "play"


# The next track after those played in this session; None where there is nothing to offer.
Policy = Callable[[Sequence[Played]], int | None]


def session(world: World, user: int, rng: np.random.Generator, next_track: Policy, round_: int = 0,
            max_tracks: int = MAX_TRACKS, report: Callable[[Played], object] = lambda one: None) -> list[Played]:
    """What the user plays: a first track of their own choice, then what `next_track` says. `report` is told of each at once.

    It ends after MAX_LOSSES losses, after `max_tracks` tracks, or when nothing is offered.
    """
    taste = world.taste(user, round_)
    artist_of, artists = world.artist_of, Counter[int]()
    played: list[Played] = []
    track: int | None = world.first_track(rng, taste)
    while track is not None:
        artist = int(artist_of[track])
        played.append(Played(track, world.share(rng, taste, track, artists[artist])))
        report(played[-1])
        artists[artist] += 1
        losses = sum(one.share < KEPT_SHARE for one in played)
        track = next_track(played) if losses < MAX_LOSSES and len(played) < max_tracks else None
    return played


def random_policy(world: World, rng: np.random.Generator) -> Policy:
    """Any track that was not played in the session, all equally likely; None when all were."""
    def next_track(played: Sequence[Played]) -> int | None:
        earlier = {one.track for one in played}
        if len(earlier) == world.tracks:
            return None
        while (track := int(rng.integers(world.tracks))) in earlier:
            pass
        return track
    return next_track
