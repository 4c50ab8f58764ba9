"""Small train sets with a known right answer."""

import numpy as np
from scipy import sparse

from musicrec.dataset import DAY, Catalog, TrainSet, interactions


def links(n_items: int, n_names: int, of_item: list[list[int]]) -> sparse.csr_matrix:
    """A binary item x name matrix from one list of names per item."""
    rows = [row for row, names in enumerate(of_item) for _ in names]
    columns = [name for names in of_item for name in names]
    return sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_items, n_names))


def train_set(rows: list[tuple[int, int, int]], n_items: int, genres: list[list[int]] | None = None,
              artists: list[list[int]] | None = None, albums: list[list[int]] | None = None, cutoff_day: int = 1000) -> TrainSet:
    """A TrainSet from rows (user_id, item index, day); item ids are 10, 20, 30 ... so that an id is never its index."""
    def names(of_item: list[list[int]] | None) -> sparse.csr_matrix:
        of_item = of_item or [[0]] * n_items
        return links(n_items, 1 + max((max(n, default=0) for n in of_item), default=0), of_item)

    catalog = Catalog(np.arange(1, n_items + 1, dtype=np.int32) * 10, names(genres), names(artists), names(albums))
    users, items, days = (np.array(column, np.int64) for column in zip(*rows)) if rows else (np.empty(0, np.int64),) * 3
    made = interactions(users, items, days * DAY, None, n_items)
    return TrainSet(made.user_ids, made.matrix, made.last_played, made.repeats, catalog=catalog, cutoff=cutoff_day * DAY)


def checkerboard(n_users: int = 40, n_items: int = 40) -> TrainSet:
    """Even users have played the even items and odd users the odd ones, each except item (user + 2) % n_items.

    A personalized model recommends the missing item first, before any item of the other kind.
    """
    rows = [(user, item, item) for user in range(n_users) for item in range(user % 2, n_items, 2) if item != (user + 2) % n_items]
    genres = [[item % 2] for item in range(n_items)]
    return train_set(rows, n_items, genres, [[item // 4 * 2 + item % 2] for item in range(n_items)], genres)


def random_world(seed: int = 0, n_users: int = 60, n_items: int = 80, n_plays: int = 900) -> TrainSet:
    """Plays of popular and rare items by active and less active users, with random genres, artists and albums."""
    rng = np.random.default_rng(seed)
    users = np.minimum(rng.geometric(0.06, n_plays), n_users) * 7
    items = np.minimum(rng.geometric(0.05, n_plays), n_items) - 1
    rows = list(zip(users.tolist(), items.tolist(), rng.integers(0, 1000, n_plays).tolist()))
    names = [sorted(set(rng.integers(0, 9, rng.integers(0, 4)).tolist())) for _ in range(n_items)]
    return train_set(rows, n_items, names, [[int(rng.integers(0, 20))] for _ in range(n_items)], [[i // 3] for i in range(n_items)])
