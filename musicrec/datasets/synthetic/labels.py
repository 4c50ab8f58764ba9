"""The tables tracks and catalog_names of a generated catalog."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.datasets.synthetic import figures
from musicrec.datasets.synthetic.catalog import GeneratedCatalog, IdLists, first_of
from musicrec.datasets.synthetic.distribution import Ints
from musicrec.datasets.synthetic.names import artists, titles

Flags = NDArray[np.bool_]
_FIRST_FREE_ID, _SHARED_POOL = 1000, 5000


def tables(made: GeneratedCatalog, rng: np.random.Generator) -> tuple[pa.Table, pa.Table]:
    """The tables tracks (ascending by id) and catalog_names. Ids of albums and artists are random; some are equal to track ids."""
    n_shared = round(figures.SHARED_IDS * len(made.ids) / figures.N_TRACKS / 2)
    albums, artist_ids = (_numbers(links.size, made.ids, n_shared, odd, rng) for links, odd in ((made.albums, 0), (made.artists, 1)))
    order = np.argsort(made.ids)
    lists = [(made.albums, albums), (made.artists, artist_ids), (made.genre_lists, made.genres.ids)]
    tracks = pa.table([pa.array(made.ids[order]), *(_lists(links, ids).take(order) for links, ids in lists)],
                      names=["track_id", "albums", "artists", "genres"])
    return tracks, _names(made, albums, artist_ids, rng)


def _numbers(n: int, taken: Ints, n_shared: int, odd: int, rng: np.random.Generator) -> Ints:
    # Even numbers for albums, odd ones for artists, so that only the shared ids occur under several types.
    free = np.setdiff1d(_FIRST_FREE_ID + odd + 2 * rng.choice(12 * n + 1000, 2 * n, replace=False), taken)
    ids = np.concatenate([rng.choice(taken[taken % 2 == odd], min(n_shared, n), replace=False), free])[:n]
    return rng.permutation(ids)


def _lists(links: IdLists, ids: Ints) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(links.lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(ids[links.flat]))


def _names(made: GeneratedCatalog, albums: Ints, artist_ids: Ints, rng: np.random.Generator) -> pa.Table:
    russian = {place for place, name in enumerate(made.genres.names) if (name or "").startswith("rus")}
    native = np.array([*(not russian.isdisjoint(style) for style in made.genres.style_genres), False])[made.style]
    native_album, native_artist = (_of_first_track(links, native) for links in (made.albums, made.artists))
    track_titles = titles(_numbered(native, figures.REPEATED_TITLES, rng), native).to_pylist()
    track_titles[0] = "None"
    named = [(place, name) for place, name in enumerate(made.genres.names) if name is not None]
    unused = [(int(number), f"style{number}") for number in np.setdiff1d(np.arange(1, 400), [*made.genres.ids, *figures.UNNAMED_GENRES])]
    genre_rows = [(int(made.genres.ids[place]), name) for place, name in named] + unused[: figures.N_NAMED_GENRES - len(named)]
    parts = [
        ("track", made.ids, pa.array(track_titles)),
        ("album", albums, titles(_numbered(native_album, figures.REPEATED_ALBUMS, rng), native_album)),
        ("artist", artist_ids, artists(_numbered(native_artist, figures.REPEATED_ARTISTS, rng), native_artist)),
        ("genre", np.array([number for number, _ in genre_rows]), pa.array([name for _, name in genre_rows])),
    ]
    return pa.concat_tables(pa.table({"id": ids, "type": [kind] * len(ids), "name": names}) for kind, ids, names in parts)


def _of_first_track(links: IdLists, native: Flags) -> Flags:
    first = first_of(links)
    found = np.zeros(links.size, bool)
    found[first[first >= 0]] = native[first >= 0]
    return found


def _numbered(native: Flags, repeated: float, rng: np.random.Generator) -> Ints:
    """Numbers of names, (n,); a share `repeated` of them occurs more than once within its script, with a long tail."""
    numbers = np.empty(len(native), np.int64)
    for script in (native, ~native):
        n = int(script.sum())
        n_repeated = round(n * repeated)
        pool = max(min(_SHARED_POOL, n_repeated // 6), 1)
        twice = np.resize(np.arange(pool), min(2 * pool, n_repeated))
        often = np.minimum(rng.pareto(0.6, n_repeated - len(twice)), pool - 1).astype(np.int64)
        numbers[script] = rng.permutation(np.concatenate([twice, often, pool + np.arange(n - n_repeated)]))
    return numbers
