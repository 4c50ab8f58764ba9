"""Content recommendations: users a second against the second seed's function over the same catalog, in one process.

    python -m benchmarks.content [--items 1000000] [--users 20000] [--asked 20] [--k 100]

The catalog and the interactions of users are generated. The seed's function looks up the user's events and tracks in pandas tables,
averages their genre rows, takes scikit-learn's cosine with the whole catalog and sorts it. Its tables hold the generated events only, not
the 222 million of the real data, which suits it. Both sides use genres alone; a further line shows ours with artists and albums.
"""

import argparse
import time

import numpy as np
import pandas as pd
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

from benchmarks import children
from benchmarks.worlds import train_set as generated
from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.models.content import Content


class Seed:
    """The second seed's tables and its function."""

    def __init__(self, train: TrainSet) -> None:
        matrix = train.matrix
        users = np.repeat(train.user_ids, np.diff(matrix.indptr))
        self.events = pd.DataFrame({"user_id": users, "item_id": train.item_ids[matrix.indices]})
        self.items = pd.DataFrame({"item_id": train.item_ids, "place": np.arange(len(train.item_ids))})
        self.genres = normalize(train.catalog.genres, norm="l1", axis=1)

    def cosines(self, user_id: int) -> Float32:
        """Cosine of the user's mean track with every track."""
        seen = self.events[self.events["user_id"] == user_id]
        places = self.items.loc[self.items["item_id"].isin(seen["item_id"]), "place"]
        return cosine_similarity(self.genres, np.asarray(self.genres[places.to_numpy()].mean(axis=0)).reshape(1, -1)).ravel()

    def recommended(self, user_id: int, k: int) -> Int32:
        """Its k places, seen tracks included, ties in any order."""
        return np.argsort(-self.cosines(user_id))[:k].astype(np.int32)


def speed(work, users: np.ndarray) -> tuple[float, float]:  # type: ignore[no-untyped-def]
    """Users a second on the clock and per second of a core while `work` runs."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return len(users) / (time.perf_counter() - start), len(users) / (time.process_time() - cpu)


def farthest(seed: Seed, train: TrainSet, items: Int32, rows: Int32) -> float:
    """Largest difference between the seed's k best unseen cosines and its cosines of the items that ours chose."""
    worst = 0.0
    for row, chosen in zip(rows, items):
        cosines = seed.cosines(int(train.user_ids[row]))
        fresh = cosines.copy()
        fresh[train.matrix.indices[train.matrix.indptr[row]:train.matrix.indptr[row + 1]]] = -1
        worst = max(worst, float(np.abs(-np.sort(-fresh)[:len(chosen)] - -np.sort(-cosines[chosen])).max()))
    return worst


def main() -> None:
    """Print both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--asked", type=int, default=20)
    parser.add_argument("--k", type=int, default=100)
    options = parser.parse_args()
    train = generated(options.users, options.items)
    everybody, few = np.arange(options.users, dtype=np.int32), np.arange(options.asked, dtype=np.int32)
    print(f"{options.users:,} users x {options.items:,} tracks, {train.matrix.nnz:,} pairs, k = {options.k}; {children.machine()}")
    seed = Seed(train)
    theirs = speed(lambda: [seed.recommended(int(train.user_ids[row]), options.k) for row in few], few)
    print(f"{'the seed, ' + str(options.asked) + ' users':34s} {theirs[0]:10,.1f} users/s {theirs[1]:10,.1f} per second of a core")
    for name, settings in (("genres", Content(1, 0, 0)), ("genres, artists, albums", Content())):
        start = time.perf_counter()
        fitted = settings.fit(train)
        fit = time.perf_counter() - start
        found, _ = fitted.recommend(few, options.k)
        mine = speed(lambda: [fitted.recommend(everybody[a:a + 4096], options.k) for a in range(0, options.users, 4096)], everybody)  # noqa: B023
        print(f"{name:34s} {mine[0]:10,.1f} users/s {mine[1]:10,.1f} per second of a core  "
              f"({mine[0] / theirs[0]:,.0f}x, {mine[1] / theirs[1]:,.0f}x; fitted in {fit:.1f} s)")
        if name == "genres":
            print(f"{'':34s} cosines of its lists and of the seed's best unseen: at most {farthest(seed, train, found, few):.5f} apart")


if __name__ == "__main__":
    main()
