"""The catalog of the sample: artists in scenes, their albums and tracks, release dates and popularity."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.datasets.synthetic.names import artists, titles

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FIXED_TRACKS = (99262, 590303, 597196)
N_TRACKS, N_ARTISTS, N_SCENES, N_VIBES = 4000, 520, 48, 8
DAYS = 365
NEW_SHARE = 0.22
# Lists of genres, and the relative number of tracks that have them.
_STYLES: tuple[tuple[tuple[str, ...], float], ...] = (
    (("pop",), 11), (("pop", "ruspop"), 9), (("rap", "rusrap"), 10), (("rap", "foreignrap"), 9), (("allrock", "rock"), 8),
    (("allrock", "metal"), 7), (("allrock", "rusrock"), 6), (("electronics",), 9), (("dance", "electronics"), 6),
    (("alternative", "allrock"), 5), (("indie",), 5), (("rnb", "soul"), 3), (("jazz",), 3), (("classical",), 3), (("folk",), 2.5),
    (("soundtrack",), 2.5), (("punk", "allrock"), 2.5), (("reggae",), 1.5), (("blues",), 1.5), (("latin", "pop"), 2),
)
GENRES = sorted({name for style, _ in _STYLES for name in style})
# As in the real catalog, some genre ids have no name.
UNNAMED_GENRES = (124, 126, 130, 131)
_GENRE_IDS = {name: place + 2 for place, name in enumerate(GENRES)}
_SHARED_TITLES = 60


@dataclass(frozen=True)
class Tracks:
    """The tracks, ascending by id. Arrays of n_tracks unless said otherwise.

    scene, artist, album: numbers from 0. released: day of 2022 from 0, negative for earlier years. fame: log of popularity.
    vibe: (n_tracks, N_VIBES), latent factors within a scene, matched with those of the users. style: (n_scenes,) index in _STYLES.
    """

    ids: Ints
    scene: Ints
    artist: Ints
    album: Ints
    released: Ints
    fame: Floats
    vibe: Floats
    style: Ints


def tracks(rng: np.random.Generator) -> Tracks:
    """Generated tracks; later releases have higher ids."""
    shares = np.array([share for _, share in _STYLES])
    style = np.concatenate([np.arange(len(_STYLES)), rng.choice(len(_STYLES), N_SCENES - len(_STYLES), p=shares / shares.sum())])
    weight = shares[style] / np.bincount(style)[style]
    scene_of_artist = rng.choice(N_SCENES, N_ARTISTS, p=weight / weight.sum())
    artist_fame, artist_vibe = rng.normal(0, 1, N_ARTISTS), rng.normal(0, 1, (N_ARTISTS, N_VIBES))
    artist, album, released = _albums(rng, artist_fame)
    # A famous artist has more tracks, not more famous ones: hits are those of many artists.
    fame = rng.normal(0, 1.4, N_TRACKS)
    ids = _ids(rng)
    fame[np.searchsorted(ids, FIXED_TRACKS)] = np.quantile(fame, (0.97, 0.98, 0.99))
    vibe = artist_vibe[artist] + rng.normal(0, 0.5, (N_TRACKS, N_VIBES))
    return Tracks(ids, scene_of_artist[artist], artist, album, released, fame, vibe, style)


def _albums(rng: np.random.Generator, artist_fame: Floats) -> tuple[Ints, Ints, Ints]:
    # Albums of 1 to 14 tracks, ordered by release, so that the number of a track grows with time.
    sizes = np.where(rng.random(N_TRACKS) < 0.35, 1, rng.integers(4, 15, N_TRACKS))
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), N_TRACKS) + 1]
    share = np.exp(0.6 * artist_fame)
    artist = rng.choice(N_ARTISTS, len(sizes), p=share / share.sum())
    new = rng.random(len(sizes)) < NEW_SHARE
    released = np.where(new, rng.integers(0, DAYS, len(sizes)), -rng.integers(1, 9000, len(sizes)))
    order = np.argsort(released, kind="stable")
    album = np.repeat(np.arange(len(sizes)), sizes[order])[:N_TRACKS]
    return artist[order][album], album, released[order][album]


def _ids(rng: np.random.Generator) -> Ints:
    low, high = np.array(FIXED_TRACKS), 101_521_819
    drawn = rng.choice(high - 600_000, N_TRACKS - len(low), replace=False) + 600_000
    drawn[:40] = rng.choice(np.setdiff1d(np.arange(26, 600_000), low), 40, replace=False)
    return np.sort(np.concatenate([low, drawn]))


def tables(made: Tracks, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """The tables tracks and catalog_names, with the irregularities of the real ones, such as empty lists and unnamed genres."""
    genre_ids = [[_GENRE_IDS[name] for name in _STYLES[made.style[scene]][0]] for scene in made.scene]
    album_ids = [[int(album) + 500] for album in made.album]
    artist_ids = [[int(artist) + 40] for artist in made.artist]
    n_albums, reissue = int(made.album.max()) + 1, int(made.album.max()) + 501
    for track in np.flatnonzero(rng.random(N_TRACKS) < 0.15):  # a second edition with the same name
        album_ids[track].append(reissue + int(made.album[track]))
    for track in np.flatnonzero(rng.random(N_TRACKS) < 0.10):  # a guest artist
        artist_ids[track].append(int(rng.choice(made.artist)) + 40)
    for track in np.flatnonzero(rng.random(N_TRACKS) < 0.05):  # a genre without a name
        genre_ids[track].append(int(rng.choice(UNNAMED_GENRES)))
    for lists, n_empty in ((album_ids, 2), (artist_ids, 40), (genre_ids, 15)):  # missing values
        for track in rng.choice(N_TRACKS, n_empty, replace=False):
            lists[track] = []
    tracks_table = pa.table({"track_id": made.ids, "albums": album_ids, "artists": artist_ids, "genres": genre_ids})
    return tracks_table, _names(made, rng, n_albums)


def _names(made: Tracks, rng: np.random.Generator, n_albums: int) -> pa.Table:
    native = np.array([any(name.startswith("rus") for name in _STYLES[style][0]) for style in made.style])
    number = np.where(rng.random(N_TRACKS) < 0.25, rng.integers(0, _SHARED_TITLES, N_TRACKS), rng.permutation(N_TRACKS) + _SHARED_TITLES)
    track_names = titles(number, native[made.scene]).to_pylist()
    track_names[1], track_names[-1] = "None", "None"
    scene_of_album = np.zeros(n_albums, np.int64)
    scene_of_album[made.album] = made.scene
    album_names = titles(rng.permutation(n_albums) + 5000, native[scene_of_album]).to_pylist()
    scene_of_artist = np.zeros(N_ARTISTS, np.int64)
    scene_of_artist[made.artist] = made.scene
    artist_names = artists(rng.permutation(N_ARTISTS), native[scene_of_artist]).to_pylist()
    columns = [
        ("track", made.ids.tolist(), track_names), ("album", range(500, 500 + n_albums), album_names),
        ("album", range(500 + n_albums, 500 + 2 * n_albums), album_names), ("artist", range(40, 40 + N_ARTISTS), artist_names),
        ("genre", _GENRE_IDS.values(), list(_GENRE_IDS)),
    ]
    rows = [(number, kind, name) for kind, numbers, names in columns for number, name in zip(numbers, names, strict=True)]
    return pa.table({name: list(column) for name, column in zip(("id", "type", "name"), zip(*rows))})
