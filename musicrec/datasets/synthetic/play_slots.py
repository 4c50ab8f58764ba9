"""Slots: one for each listen of each track, with a time, assigned to the clusters in which users listen.

Drawing tracks independently for each listen would not give each track its published number of listens; assigning slots does.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.datasets.synthetic.catalog import GeneratedCatalog, first_of
from musicrec.datasets.synthetic.distribution import Floats, Ints

SCENE, REGION = 8, 32
# Share of slots that belong to an album played in sequence; shares that stay within the track's cluster, scene and family.
_ALBUM_SHARE, _CLUSTER_SHARE, _SCENE_SHARE, _FAMILY_SHARE = 0.35, 0.62, 0.5, 0.55
_NEW_SHARE, _DRIFT = 0.06, 0.35
_FAMOUS = 100
# Dates follow ids, so tracks with the highest ids are among the last plays of their users. Only the newest may be first played in the
# test period; each other new track is first played by a user without plays in that period.
_NEWEST, _HIGH_IDS, _EARLY_SHARE = 0.0007, 0.1, 0.8


class PlaySlots:
    """The slots of all tracks, computed part by part; holds what all parts share: release and drift of tracks, groups of clusters."""

    def __init__(self, made: GeneratedCatalog, n_users: int, n_parts: int, rng: np.random.Generator) -> None:
        self.made, self.n_parts = made, n_parts
        n_tracks, n_clusters = len(made.ids), int(made.cluster[-1]) + 1
        albums = first_of(made.albums)
        self.album = np.where(albums < 0, made.albums.size + np.arange(n_tracks), albums)
        newness = np.argsort(np.argsort(made.ids)) / n_tracks
        # As a share of the year's listens, which grow with the square of time.
        self.release = np.clip((newness - 1 + _NEW_SHARE) / _NEW_SHARE, 0, 0.95).astype(np.float32) ** 2
        self.few = made.listens <= _FAMOUS
        self.played_early = (newness > 1 - _HIGH_IDS) & (newness < 1 - _NEWEST) & self.few
        self.drift = np.exp(rng.normal(0, _DRIFT, n_clusters))[made.cluster].astype(np.float32)
        most = 0.12 * n_users * np.array([1, SCENE, REGION * 4]) * 6 / n_clusters
        self.limits = np.minimum(most, 0.3 * n_users)
        self.groups = np.stack([np.arange(n_clusters) // SCENE, _families(made, n_clusters), np.zeros(n_clusters, np.int64)])
        self.shares = np.bincount(made.cluster, made.listens, n_clusters) / made.listens.sum()

    def part(self, part: int, demand: Ints, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Tracks (indices of the catalog) of this part's slots by cluster and time, and bounds of the clusters, (n_clusters + 1,).

        demand: (n_clusters,), listens of the part's users in each cluster; each listen gets a slot.
        """
        track, key, level = _drawn(self.made.listens, self.album, self.release, self.drift, self.limits, self.played_early,
                                   self.n_parts, part)
        track, key, level = self._as_many(track, key, level, int(demand.sum()), np.random.default_rng(seed))
        cluster = _assigned(track, level, self.made.cluster, self.groups, demand.copy(), seed)
        ordered: tuple[NDArray[np.int32], Ints] = _by_cluster_and_time(track, key, cluster, len(demand))
        return ordered

    def waiting(self, part: int) -> NDArray[np.bool_]:
        """(n_tracks,), whether the track's first slot is in this part and must go to a user without plays in the test period."""
        waits: NDArray[np.bool_] = self.played_early & ((part + self.album * 7919) % self.n_parts == 0)
        return waits

    def _as_many(self, track: NDArray[np.int32], key: NDArray[np.float32], level: NDArray[np.int8], n: int,
                 rng: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int8]]:
        # Slots of a part differ from the demand by a few in ten thousand; popular tracks make up the difference.
        famous = np.flatnonzero(self.made.listens[track] > _FAMOUS)
        famous = famous if len(famous) else np.arange(len(track))
        gap = n - len(track)
        if gap < 0:
            kept = np.ones(len(track), bool)
            kept[rng.choice(famous, -gap, replace=False)] = False
            return track[kept], key[kept], level[kept]
        more = rng.choice(famous, gap)
        return np.append(track, track[more]), np.append(key, rng.random(gap, np.float32)), np.append(level, level[more])


def _families(made: GeneratedCatalog, n_clusters: int) -> Ints:
    """Family of each cluster, ascending: clusters of the same leading genre, within one region where the genre is small."""
    last = np.array([places[-1] for places in [*made.genres.style_genres, (-1,)]])
    lead = last[made.style[np.minimum(np.arange(n_clusters) * (len(made.style) // n_clusters), len(made.style) - 1)]]
    region = np.arange(n_clusters) // REGION
    big = np.isin(lead, np.flatnonzero(np.bincount(lead + 1) > REGION) - 1)
    changes = (lead[1:] != lead[:-1]) & (big[1:] | big[:-1]) | ~big[1:] & (region[1:] != region[:-1])
    return np.concatenate([[0], np.cumsum(changes)])


@njit(cache=True, nogil=True)
def _unit(a: int, b: int, c: int) -> float:
    """A pseudorandom number in 0..1, a function of three numbers (SplitMix64 finalizer)."""
    x = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    x += np.uint64(c + 1) * np.uint64(0x165667B19E3779F9)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True, nogil=True)
def _drawn(listens: Ints, album: Ints, release: NDArray[np.float32], drift: NDArray[np.float32], limits: Floats,
           played_early: NDArray[np.bool_], n_parts: int, part: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int8]]:
    """Slots of one part: track, time (as the share of the year's listens before it), level (0 own cluster .. 3 any cluster).

    The nth slots of the tracks of an album are in one part, and a share of them at one time, so that albums are played in sequence.
    The first slot of a track in played_early is somewhat before its release.
    """
    n = 0
    for track in range(len(listens)):
        start = (part + album[track] * 7919) % n_parts
        n += max(0, (listens[track] - start + n_parts - 1) // n_parts)
    tracks, keys, levels = np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n, np.int8)
    at = 0
    for track in range(len(listens)):
        home = min(_CLUSTER_SHARE * listens[track], limits[0])
        scene = home + min(_SCENE_SHARE * (listens[track] - home), limits[1])
        family = scene + min(_FAMILY_SHARE * (listens[track] - scene), limits[2])
        for number in range((part + album[track] * 7919) % n_parts, listens[track], n_parts):
            sitting = _unit(track, number, 1) < _ALBUM_SHARE
            key = _unit(album[track], number, 2) if sitting else _unit(track, number, 3)
            place = _unit(track, number, 4) * listens[track]
            tracks[at] = track
            first = played_early[track] and number == 0
            keys[at] = _EARLY_SHARE * release[track] if first else release[track] + (1 - release[track]) * key ** drift[track]
            levels[at] = 0 if place < home else 1 if place < scene else 2 if place < family else 3
            at += 1
    return tracks, keys, levels


@njit(cache=True, nogil=True)
def _assigned(track: NDArray[np.int32], level: NDArray[np.int8], cluster_of_track: Ints, groups: Ints, left: Ints,
                seed: int) -> NDArray[np.int32]:
    """A cluster for each slot, so that cluster c gets left[c] of them: the track's own where level and demand allow, else one of its
    scene, of its family, or any."""
    np.random.seed(seed)
    order = np.random.permutation(len(track)).astype(np.int32)
    cluster = np.full(len(track), -1, np.int32)
    for slot in order:
        own = cluster_of_track[track[slot]]
        if level[slot] == 0 and left[own] > 0:
            cluster[slot] = own
            left[own] -= 1
    for step in range(3):
        group = groups[step]
        openings, bounds = _open_places(left, group)
        taken = bounds[:-1].copy()
        for slot in order:
            own = group[cluster_of_track[track[slot]]]
            if cluster[slot] < 0 and level[slot] <= step + 1 and taken[own] < bounds[own + 1]:
                cluster[slot] = openings[taken[own]]
                left[cluster[slot]] -= 1
                taken[own] += 1
    return cluster


@njit(cache=True, nogil=True)
def _open_places(left: Ints, group: Ints) -> tuple[NDArray[np.int32], Ints]:
    """Each cluster once per listen that still lacks a slot, shuffled within its group, and the bounds of the groups."""
    openings, bounds = np.empty(left.sum(), np.int32), np.zeros(group[-1] + 2, np.int64)
    at = 0
    for cluster in range(len(left)):
        openings[at: at + left[cluster]] = cluster
        at += left[cluster]
        bounds[group[cluster] + 1] = at
    for number in range(group[-1] + 1):
        np.random.shuffle(openings[bounds[number]: bounds[number + 1]])
    return openings, bounds


@njit(cache=True, nogil=True)
def _by_cluster_and_time(track: NDArray[np.int32], key: NDArray[np.float32], cluster: NDArray[np.int32],
                        n_clusters: int) -> tuple[NDArray[np.int32], Ints]:
    bounds = np.zeros(n_clusters + 1, np.int64)
    for number in cluster:
        bounds[number + 1] += 1
    bounds = np.cumsum(bounds)
    at = bounds[:-1].copy()
    tracks, keys = np.empty(len(track), np.int32), np.empty(len(track), np.float32)
    for slot in range(len(track)):
        place = at[cluster[slot]]
        tracks[place], keys[place] = track[slot], key[slot]
        at[cluster[slot]] += 1
    for number in range(n_clusters):
        low, high = bounds[number], bounds[number + 1]
        tracks[low:high] = tracks[low:high][np.argsort(keys[low:high])]
    return tracks, bounds
