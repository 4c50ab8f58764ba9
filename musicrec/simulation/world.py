"""Listeners with a known taste, and how much of a track they play: what a recommender is tried on before people hear it."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import SourceError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FILE = "world.json"
_FACTORS, _TRACKS_PER_ARTIST = 16, 10
# How far artists lie from their scene, tracks from their artist and users from the scenes that they like; lengths of scenes are 1.
_ARTIST_SPREAD, _TRACK_SPREAD, _USER_SPREAD = 0.5, 0.45, 0.3
_TASTE, _FAME, _RESERVE = 4.5, 0.5, 2.2
_NOISE = 0.12


@dataclass(frozen=True)
class World:
    """Users and tracks with hidden factors. The same fields make the same world, whatever the machine.

    fatigue: what a played share is multiplied by for every earlier track of the same artist in the session. drift: the part of a
    user's taste that has moved to another scene in round 1; twice as much in round 2.
    """

    seed: int = 0
    users: int = 2000
    tracks: int = 4000
    scenes: int = 20
    fatigue: float = 0.8
    drift: float = 0.05

    @classmethod
    def of_folder(cls, folder: Path) -> "World":
        """The world whose logs lie in `folder`. Raises SourceError where it holds none."""
        try:
            return cls(**json.loads((folder / FILE).read_text()))
        except (OSError, ValueError, TypeError) as cause:
            raise SourceError(f"{folder} holds no simulated logs: {FILE} cannot be read; make some with: "
                              f"musicrec datasets make simulated --out {folder}") from cause

    def to_json(self) -> str:
        """What `of_folder` reads."""
        return json.dumps(asdict(self))

    @property
    def artists(self) -> int:
        """How many artists there are."""
        return -(-self.tracks // _TRACKS_PER_ARTIST)

    @property
    def artist_of(self) -> Ints:
        """The artist of each track, (tracks,)."""
        return np.arange(self.tracks) // _TRACKS_PER_ARTIST

    @property
    def scene_of(self) -> Ints:
        """The scene of each artist, (artists,)."""
        return np.arange(self.artists) % self.scenes

    @cached_property
    def fame(self) -> Floats:
        """How much everybody likes a track beyond taste, (tracks,): standard normal."""
        return self._random(1).standard_normal(self.tracks)

    @cached_property
    def track_factors(self) -> Floats:
        """(tracks, factors): scattered around their artists, who are scattered around their scenes."""
        rng = self._random(2)
        artists = self._scenes[self.scene_of] + _scattered(rng, self.artists, _ARTIST_SPREAD)
        return np.asarray(artists[self.artist_of] + _scattered(rng, self.tracks, _TRACK_SPREAD))

    def taste(self, user: int, round_: int = 0) -> Floats:
        """The factors of a user, (factors,), of length 1: three scenes, of which a later round has moved some towards another one.

        Users beyond `users` exist as well: people who came after the logs.
        """
        rng = self._random(3, user)
        liked, weights = rng.choice(self.scenes, 4, replace=False), rng.dirichlet((3, 1.5, 1))
        own = weights @ self._scenes[liked[:3]] + _scattered(rng, 1, _USER_SPREAD)[0]
        moved = min(1.0, self.drift * round_)
        taste = (1 - moved) * own / np.linalg.norm(own) + moved * self._scenes[liked[3]]
        return np.asarray(taste / np.linalg.norm(taste))

    def expected_share(self, taste: Floats, tracks: Ints | int, earlier: Ints | int = 0) -> Floats:
        """The share, 0..1, of the tracks that a user of this taste plays on average, after so many earlier ones of the same artist."""
        liking = _TASTE * (self.track_factors[tracks] @ taste) + _FAME * self.fame[tracks] - _RESERVE
        return np.asarray(self.fatigue ** np.asarray(earlier) / (1 + np.exp(-liking)))

    def share(self, rng: np.random.Generator, taste: Floats, track: int, earlier: int) -> float:
        """One draw around the expected share, with two decimals as players report it."""
        return round(float(np.clip(self.expected_share(taste, track, earlier) + rng.normal(0, _NOISE), 0, 1)), 2)

    def first_track(self, rng: np.random.Generator, taste: Floats, among: int = 100) -> int:
        """What a user begins a session with: the one they like best of a few tracks that they come across."""
        offered = rng.choice(self.tracks, min(among, self.tracks), replace=False)
        return int(offered[np.argmax(self.expected_share(taste, offered))])

    @cached_property
    def _scenes(self) -> Floats:
        vectors = self._random(4).standard_normal((self.scenes, _FACTORS))
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    def _random(self, *part: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *part))


def _scattered(rng: np.random.Generator, n: int, length: float) -> Floats:
    return np.asarray(rng.standard_normal((n, _FACTORS)) * length / np.sqrt(_FACTORS))
