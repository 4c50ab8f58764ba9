"""The generated catalog: tracks in clusters, their albums, artists and genres, and how often each is played.

Tracks are ordered by similarity: neighbors have the same artist, cluster (500 tracks that the same users like) and style. In the
tables, tracks are ordered by id instead; tracks of one album have neighboring ids.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from musicrec.datasets.synthetic import figures
from musicrec.datasets.synthetic.distribution import Distribution, Floats, Ints
from musicrec.datasets.synthetic.genres import Genres, genre_lists, genres

CLUSTER = 500
# Positions of the most popular tracks in the order of ids; the first and the third are among the oldest, as published. Dates follow ids,
# so the other positions determine how often the most popular tracks are new to users of the test period.
_HIT_PLACES = (0.001, 0.85, 0.002, 0.85)


@dataclass(frozen=True)
class IdLists:
    """One list of numbers per track. lengths: (n_tracks,). flat: the lists, concatenated. size: how many different numbers there are."""

    lengths: Ints
    flat: Ints
    size: int


@dataclass(frozen=True)
class GeneratedCatalog:
    """Tracks ordered by similarity. ids: track ids, unique. listens: plays per track in the year.
    cluster: number of the cluster. style: index in genres.style_genres (-1: no genre)."""

    ids: Ints
    listens: Ints
    cluster: Ints
    style: Ints
    albums: IdLists
    artists: IdLists
    genres: Genres
    genre_lists: IdLists


def catalog(n_users: int, n_events: int, rng: np.random.Generator) -> GeneratedCatalog:
    """A catalog for n_events listens of n_users.

    At full size it has a million tracks. With fewer users, listeners of the most popular tracks are scaled to the published share of
    users, and the number of tracks is chosen so that their listens add up to n_events.
    """
    listens = _listens(n_users, n_events)
    n_tracks = len(listens)
    made = genres(n_tracks)
    style = np.repeat(np.arange(len(made.style_tracks)), made.style_tracks)
    style = np.insert(style, rng.integers(0, len(style), n_tracks - len(style)), -1)
    artists = links(figures.ARTISTS_PER_TRACK, figures.TRACKS_PER_ARTIST, n_tracks, figures.N_ARTISTS, rng)
    albums = links(figures.ALBUMS_PER_TRACK, figures.TRACKS_PER_ALBUM, n_tracks, figures.N_ALBUMS, rng)
    lists = IdLists(*genre_lists(made, style, rng), len(made.ids))
    fame = _fame(artists, rng)
    played = _plays_by_style(listens, fame, style, made, lists)
    cluster = np.arange(n_tracks) // CLUSTER
    return GeneratedCatalog(_ids(albums, played, rng), played, cluster, style, albums, artists, made, lists)


@cache
def _whole_listens() -> Ints:
    return figures.LISTENS_PER_TRACK.sample(figures.N_TRACKS, figures.N_EVENTS / figures.N_TRACKS)


def _listens(n_users: int, n_events: int) -> Ints:
    *hits, fifth = (max(listens * n_users // figures.N_USERS, 20) for listens in (*reversed(figures.HITS), figures.FIFTH))
    whole = _with_lower_head(_whole_listens()[:-len(hits)], fifth)
    n_others = round((n_events - sum(hits)) / whole.mean())
    others = np.sort(whole[((np.arange(n_others) + 0.5) / n_others * len(whole)).astype(np.int64)].astype(np.int64))
    listens, n_tracks = np.append(others, hits), n_others + len(hits)
    # The remainder from rounding is added to popular tracks, one listen each.
    missing = n_events - int(listens.sum())
    middle = slice(int(0.9 * n_tracks), int(0.98 * n_tracks))
    listens[middle] += missing // max(len(listens[middle]), 1)
    listens[middle][: missing % max(len(listens[middle]), 1)] += 1
    return listens


def _with_lower_head(listens: Ints, most: int) -> Floats:
    """Ascending listens, compressed on a logarithmic scale so that the largest is `most`.

    Only values above a quarter of `most` and above the 95 % quantile change. Clipping at `most` instead would make hundreds of tracks
    equally popular.
    """
    knee, largest = max(most / 4, float(np.quantile(listens, 0.95))), float(listens[-1])
    if largest <= most or knee >= most:
        return np.minimum(listens, most).astype(np.float64)
    power = np.log(most / knee) / np.log(largest / knee)
    return np.where(listens > knee, knee * (np.maximum(listens, knee) / knee) ** power, listens)


def links(per_track: Distribution, per_name: Distribution, n_tracks: int, n_names_whole: int, rng: np.random.Generator) -> IdLists:
    """The albums (or artists) of each track: lists per track follow `per_track`, tracks per name follow `per_name`.

    The first name of each track is shared with its neighbors, further ones are shared with distant tracks, as on compilations. A name
    that a track would get twice is left out.
    """
    wanted = per_track.sample(n_tracks)
    rng.shuffle(wanted)
    n_names = max(round(n_names_whole * n_tracks / figures.N_TRACKS), 1)
    sizes = per_name.sample(n_names, wanted.sum() / n_names)
    rng.shuffle(sizes)
    track = np.repeat(np.arange(n_tracks), wanted)
    ordinal = np.arange(len(track)) - np.repeat(np.cumsum(wanted) - wanted, wanted)
    # Few tracks have many names, so these are shuffled; otherwise one album would be assigned to one track repeatedly.
    order = np.lexsort((np.where(ordinal < 4, track, rng.permutation(len(track))), np.minimum(ordinal, 4)))
    name = np.empty(len(track), np.int64)
    name[order] = np.resize(np.repeat(np.arange(n_names), sizes), len(track))
    keys = np.unique(track * n_names + name)
    return IdLists(np.bincount(keys // n_names, minlength=n_tracks), keys % n_names, n_names)


def first_of(made: IdLists) -> Ints:
    """The first number of each track; -1 where there is none."""
    starts = np.cumsum(made.lengths) - made.lengths
    return np.where(made.lengths > 0, made.flat[np.minimum(starts, len(made.flat) - 1)], -1)


def _fame(artists: IdLists, rng: np.random.Generator) -> Floats:
    of_artist = rng.normal(0, 1, artists.size + 1)
    fame: Floats = of_artist[first_of(artists)] + rng.laplace(0, 0.7, len(artists.lengths))
    return fame


def _plays_by_style(listens: Ints, fame: Floats, style: Ints, made: Genres, lists: IdLists) -> Ints:
    """Listens assigned to tracks by fame plus an offset per style, fitted so that genres have their published shares of listens.

    The offset of a style is fitted to the first of its genres whose share is published: its own, else that of its family.
    """
    wanted = np.array([share for _, share in figures.GENRES.values()])
    leading = [next((genre for genre in own if genre < len(wanted)), own[0]) for own in made.style_genres]
    lift, played = np.zeros(len(made.style_genres) + 1), listens
    for _ in range(12):
        played = np.empty_like(listens)
        played[np.argsort(fame + lift[style], kind="stable")] = listens
        shares = np.bincount(lists.flat, np.repeat(played, lists.lengths), lists.size)
        wrong = np.zeros(lists.size)
        wrong[: len(wanted)] = np.log(wanted / 100) - np.log(shares[: len(wanted)] / shares.sum())
        lift[:-1] += 0.5 * wrong[leading]
    return played


def _ids(albums: IdLists, played: Ints, rng: np.random.Generator) -> Ints:
    # Tracks of an album get neighboring ids; the quartiles of the ids are the published ones.
    n_tracks, album = len(played), first_of(albums)
    of_album, greatest = rng.random(albums.size + 1), np.zeros(albums.size + 1)
    np.maximum.at(greatest, album, played)
    of_album[np.argsort(-greatest, kind="stable")[:len(_HIT_PLACES)]] = _HIT_PLACES
    place = np.empty(n_tracks, np.int64)
    place[np.argsort(of_album[album], kind="stable")] = np.arange(n_tracks)
    knots = [figures.MIN_TRACK_ID, *figures.TRACK_ID_QUARTILES, figures.MAX_TRACK_ID]
    ids = np.interp(np.linspace(0, 1, n_tracks), np.linspace(0, 1, 5), knots).astype(np.int64)
    ids[1:-1] += rng.integers(0, max(int(np.diff(ids).min()), 1), n_tracks - 2)
    return ids[place]
