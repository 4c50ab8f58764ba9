"""The plays of the sample: users' tastes and their drift, sessions, new releases."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.datasets.sample.catalog import DAYS, N_SCENES, N_VIBES, Floats, Ints, Tracks
from musicrec.progress import progress

FIXED_USER = 617032
N_USERS, N_LISTENS, MAX_USER_ID = 3000, 250_000, 1_374_582
SHORTEST, LONGEST = 11, 900
_PERIOD_DAYS = 30
_FIRST_COLD_DAY, _COLD_SHARE = 349, 0.035
_TASTE, _VIBE, _NEW_BONUS, _TREND = 1.0, 0.55, 1.6, 0.5


@dataclass(frozen=True)
class Users:
    """The users, ascending by id. first, last: days of the first and the last play. length: number of plays. early, late: scene weights
    (n, N_SCENES) at the start and the end of the year. vibe: (n, N_VIBES) latent factors, see Tracks."""

    ids: Ints
    first: Ints
    last: Ints
    length: Ints
    early: Floats
    late: Floats
    vibe: Floats


def users(rng: np.random.Generator, tracks: Tracks) -> Users:
    """Users with long-tailed numbers of plays; some first play after the test set begins, and some stop during the year."""
    ids = np.sort(np.append(rng.choice(np.setdiff1d(np.arange(MAX_USER_ID), [FIXED_USER]), N_USERS - 1, replace=False), FIXED_USER))
    cold = rng.random(N_USERS) < _COLD_SHARE
    first = np.where(cold, rng.integers(_FIRST_COLD_DAY, DAYS, N_USERS), (rng.beta(1, 1.15, N_USERS) * _FIRST_COLD_DAY).astype(np.int64))
    churns = rng.random(N_USERS) < 0.4
    last = np.where(churns, first + (rng.random(N_USERS) * (DAYS - first)).astype(np.int64), DAYS - 1 - rng.integers(0, 25, N_USERS))
    last = np.clip(last, first, DAYS - 1)
    length = np.exp(rng.normal(4.0, 1.0, N_USERS)) * (0.15 + (last - first) / DAYS)
    fixed = int(np.searchsorted(ids, FIXED_USER))
    first[fixed], last[fixed], length[fixed] = 20, DAYS - 1, 160
    length = np.clip(length * N_LISTENS / length.sum(), SHORTEST, LONGEST).astype(np.int64)
    early, late = _scene_weights(rng, tracks)
    return Users(ids, first, last, length, early, late, rng.normal(0, 1, (N_USERS, N_VIBES)))


def _scene_weights(rng: np.random.Generator, tracks: Tracks) -> tuple[Floats, Floats]:
    # Three or four scenes a user; the first one stays, the others grow or shrink over the year.
    share = np.bincount(tracks.scene, minlength=N_SCENES) ** 0.8
    early, late = np.zeros((N_USERS, N_SCENES)), np.zeros((N_USERS, N_SCENES))
    for user in range(N_USERS):
        liked = rng.choice(N_SCENES, 4, replace=False, p=share / share.sum())
        early[user, liked] = rng.dirichlet((3, 1.2, 0.8, 0.1))
        late[user, liked] = rng.dirichlet((3, 0.6, 0.8, 1.2))
    return early, late


def closeness(tracks: Tracks) -> Floats:
    """How much users of one scene like another, (N_SCENES, N_SCENES): 1 for the same, 0.12 for the same style, 0.012 for any other."""
    same_style = tracks.style[:, None] == tracks.style[None, :]
    return np.where(np.eye(N_SCENES, dtype=bool), 1.0, np.where(same_style, 0.12, 0.012))


def interactions(tracks: Tracks, people: Users, rng: np.random.Generator) -> pa.Table:
    """The table interactions without its stored index, by ascending user and time; no user plays a track twice."""
    near, phase = closeness(tracks), rng.random(N_SCENES) * 2 * np.pi
    days, chosen = [], []
    for user in progress(range(N_USERS), "listening", unit=" users"):
        day = _session_days(rng, people, user)
        days.append(day)
        chosen.append(_played_tracks(rng, tracks, people, user, day, near, phase))
    lengths = np.array([len(played) for played in chosen])
    day = np.concatenate([day[: len(played)] for day, played in zip(days, chosen)])
    sequence = np.concatenate([np.arange(1, length + 1) for length in lengths])
    moments = np.datetime64("2022-01-01", "us") + day.astype("m8[D]")
    return pa.table({"user_id": np.repeat(people.ids, lengths), "track_id": tracks.ids[np.concatenate(chosen)],
                     "track_seq": sequence, "started_at": moments})


def _session_days(rng: np.random.Generator, people: Users, user: int) -> Ints:
    first, last, length = people.first[user], people.last[user], people.length[user]
    sessions = rng.integers(first, last + 1, max(1, length // 4))
    sessions[0], sessions[-1] = last, first
    return np.sort(np.concatenate([sessions, rng.choice(sessions, max(length - len(sessions), 0))])[:length])


def _played_tracks(rng: np.random.Generator, tracks: Tracks, people: Users, user: int, day: Ints, near: Floats, phase: Floats) -> Ints:
    seen = np.zeros(len(tracks.ids), bool)
    played: list[int] = []
    constant = tracks.fame + _VIBE * (tracks.vibe @ people.vibe[user]) / np.sqrt(N_VIBES) * 2
    # Each user's taste changes on days of their own; on common days every period would differ from the next for all users.
    starts = rng.integers(-_PERIOD_DAYS, 0) + _PERIOD_DAYS * np.arange(DAYS // _PERIOD_DAYS + 2)
    for start, end in zip(starts, starts + _PERIOD_DAYS):
        within = day[(day >= start) & (day < end)]
        if len(within):
            moved = np.clip((start + end) / 2 / DAYS, 0, 1)
            weights = (1 - moved) * people.early[user] + moved * people.late[user]
            liking = _TASTE * np.log(weights @ near + 1e-4) + _TREND * np.sin(phase + 2 * np.pi * moved)
            preferred = _preferred(rng, tracks, constant + liking[tracks.scene], (start, end), 3 * len(within) + 20, seen)
            _play(tracks, within, preferred, seen, played)
    return np.array(played, np.int64)


def _preferred(rng: np.random.Generator, tracks: Tracks, liking: Floats, days: tuple[int, int], n: int, seen: NDArray[np.bool_]) -> Ints:
    """n tracks in the order in which a user would choose them within these days: drawn without replacement by Gumbel noise."""
    age = np.maximum(sum(days) / 2 - tracks.released, 0)
    new = tracks.released >= 0
    score = liking - np.log(rng.standard_exponential(len(liking)))
    score[new] += _NEW_BONUS * np.exp(-age[new] / 60)
    score[seen | (tracks.released >= days[1])] = -np.inf
    best = np.argpartition(-score, min(n, len(score) - 1))[:n]
    return best[np.argsort(-score[best])]


def _play(tracks: Tracks, days: Ints, preferred: Ints, seen: NDArray[np.bool_], played: list[int]) -> None:
    queue: list[int] = preferred.tolist()
    for day in days:
        track = next(t for t in queue if not seen[t] and tracks.released[t] <= day)
        seen[track] = True
        played.append(track)
