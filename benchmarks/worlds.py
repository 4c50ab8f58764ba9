"""Generated interactions of users of any size for benchmarks: long tails as in listening logs, and listeners who keep to a few genres."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Catalog, Int32, TrainSet

GENRES = 170
DAY = 24 * 60
DAYS = 350
FOLLOWED = 0.8


def catalog(n_items: int, seed: int = 0) -> Catalog:
    """Tracks with one to three genres out of 170 (some 2,000 distinct lists), an artist of about seven tracks, an album of about two."""
    rng = np.random.default_rng(seed)
    popularity = (1 / np.arange(1, GENRES + 1)) / (1 / np.arange(1, GENRES + 1)).sum()
    first = rng.choice(GENRES, n_items, p=popularity)
    # The second and third genre are one of a few companions of the first, so that lists repeat.
    more = [np.where(rng.random(n_items) < chance, (first * 7 + rng.integers(1, 4, n_items) * step) % GENRES, first)
            for chance, step in ((0.6, 11), (0.15, 29))]
    genres = _links(np.stack([first, *more], axis=1), GENRES)
    artists = rng.integers(0, max(n_items // 7, 1), (n_items, 1))
    albums = artists * 4 + rng.integers(0, 4, (n_items, 1))
    item_ids = np.arange(1, n_items + 1, dtype=np.int32)
    return Catalog(item_ids, genres, _links(artists, artists.max() + 1), _links(albums, albums.max() + 1))


def train_set(n_users: int, n_items: int, median_length: float = 55, mean_length: float = 162, shares: bool = False,
            seed: int = 0) -> TrainSet:
    """A train set whose lengths are log-normal with this median and mean; four of five plays are of four genres a user keeps to.

    Popularity within a genre is log-normal too (median 19 and mean 223 listeners in the real data). shares: weights are played shares.
    """
    rng = np.random.default_rng(seed + 1)
    tracks = catalog(n_items, seed)
    spread = np.sqrt(2 * np.log(mean_length / median_length))
    lengths = np.clip(np.exp(rng.normal(np.log(median_length), spread, n_users)), 5, n_items / 3).astype(np.int64)
    weight = np.exp(rng.normal(0, np.sqrt(2 * np.log(223 / 19)), n_items))
    group = np.asarray(tracks.genres.indices[tracks.genres.indptr[:-1]])
    order = np.argsort(group, kind="stable").astype(np.int32)
    bounds = np.concatenate([[0], np.cumsum(weight[order])])
    edges = bounds[np.searchsorted(group[order], np.arange(GENRES + 1))]
    favourites = np.searchsorted(edges, rng.random((n_users, 4)) * edges[-1], side="right") - 1
    parts = [_rows(start, lengths[start:start + 50_000], favourites[start:start + 50_000], edges, bounds, order, n_items, rng)
             for start in range(0, n_users, 50_000)]
    indptr = np.concatenate([[0], np.cumsum(np.concatenate([counts for counts, _ in parts]))]).astype(np.int64)
    items = np.concatenate([columns for _, columns in parts])
    data = rng.integers(0, 101, len(items)).astype(np.float32) / 100 if shares else np.ones(len(items), np.float32)
    times = rng.integers(0, DAYS, len(items), dtype=np.int32) * DAY
    matrix = sparse.csr_matrix((data, items, indptr), shape=(n_users, n_items))
    return TrainSet(np.arange(1, n_users + 1, dtype=np.int32), matrix, times, catalog=tracks, cutoff=DAYS * DAY)


def _rows(start: int, lengths: NDArray[np.int64], favourites: NDArray[np.int64], edges: NDArray[np.float64], bounds: NDArray[np.float64],
          order: Int32, n_items: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Int32]:
    users = np.repeat(np.arange(len(lengths)), lengths)
    genre = favourites[users, rng.integers(0, 4, len(users))]
    everywhere = rng.random(len(users)) > FOLLOWED
    low, high = np.where(everywhere, 0, edges[genre]), np.where(everywhere, edges[-1], edges[genre + 1])
    place = np.searchsorted(bounds, low + rng.random(len(users)) * (high - low), side="right") - 1
    pairs = np.unique(users * np.int64(n_items) + order[np.minimum(place, n_items - 1)])
    return np.bincount(pairs // n_items, minlength=len(lengths)), (pairs % n_items).astype(np.int32)


def _links(names: NDArray[np.integer], n_names: int) -> sparse.csr_matrix:
    rows = np.repeat(np.arange(len(names)), names.shape[1])
    matrix = sparse.csr_matrix((np.ones(names.size, np.float32), (rows, names.ravel())), shape=(len(names), int(n_names)))
    matrix.data[:] = 1
    return matrix
