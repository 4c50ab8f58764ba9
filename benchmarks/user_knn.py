"""User-based CF: the dense formula of the reference notebook against mode "all", and how many true neighbors the bounded search finds.

    python -m benchmarks.user_knn formula [--plays FOLDER]
    python -m benchmarks.user_knn search [--data FOLDER --cutoff 2022-12-16] [--asked 300] [--budgets 10000 30000 100000]

formula: FOLDER holds JSON lines of a playback service (user, track, time), also gzipped; without it a train set of the same size is
generated. Both sides read the same arrays, answer for every user (100 tracks, seen ones left out), and write their lists; each is
a process of its own. search: FOLDER holds items.parquet and events.parquet as `prepare` writes them; without it 100,000 users are
generated. For users drawn at random, the neighbors of the default settings without a budget are the truth.
"""

import argparse
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks import children

USERS, TRACKS, K = 8_676, 16_195, 100


def write_plays(source: str, folder: Path) -> None:
    """Save the pairs of a playback log, or of a generated history, as arrays; a pair's weight is the mean share of its plays."""
    if source:
        import pandas as pd

        files = sorted(path for path in Path(source).rglob("*.json*") if path.name.startswith("data"))
        plays = pd.concat([pd.read_json(path, lines=True) for path in files]).groupby(["user", "track"])["time"].mean().reset_index()
        users, tracks = np.unique(plays["user"], return_inverse=True)[1], np.unique(plays["track"], return_inverse=True)[1]
        matrix = sparse.csr_matrix((plays["time"].astype(np.float32), (users, tracks)))
    else:
        from benchmarks.worlds import train_set

        matrix = train_set(USERS, TRACKS, median_length=17, mean_length=20, shares=True).matrix
    sparse.save_npz(folder / "plays.npz", matrix, compressed=False)


def dense(folder: Path) -> None:
    """The seed: centre by user, fill with 0, cosine of all pairs of users, product, best 100 of each row; seen tracks left out."""
    from sklearn.metrics.pairwise import cosine_similarity

    matrix = sparse.load_npz(folder / "plays.npz")
    values, seen = np.zeros(matrix.shape), np.zeros(matrix.shape, bool)
    for user in range(matrix.shape[0]):
        row = slice(matrix.indptr[user], matrix.indptr[user + 1])
        values[user, matrix.indices[row]] = matrix.data[row] - matrix.data[row].astype(np.float64).mean()
        seen[user, matrix.indices[row]] = True
    similarity = cosine_similarity(values)
    np.fill_diagonal(similarity, 0)
    scores = similarity @ values
    scores[seen] = -np.inf
    items = np.array([np.argsort(-row, kind="stable")[:K] for row in scores])
    np.savez(folder / "dense.npz", items=items, scores=np.take_along_axis(scores, items, 1))


def ours(folder: Path) -> None:
    """Mode "all" over the same arrays."""
    from musicrec.dataset import Catalog, TrainSet
    from musicrec.models.user_knn import UserKNN

    matrix = sparse.load_npz(folder / "plays.npz")
    nothing = sparse.csr_matrix((matrix.shape[1], 1), dtype=np.float32)
    tracks = Catalog(np.arange(matrix.shape[1], dtype=np.int32), nothing, nothing, nothing)
    train = TrainSet(np.arange(matrix.shape[0], dtype=np.int32), matrix, np.zeros(matrix.nnz, np.int32), catalog=tracks, cutoff=1)
    fitted = UserKNN(mode="all").fit(train)
    items, scores = fitted.recommend(train.user_ids, K)
    np.savez(folder / "ours.npz", items=items, scores=scores)


def same_lists(folder: Path) -> str:
    """How far the two sides agree: places with the same positive score, and with the same track."""
    theirs, mine = np.load(folder / "dense.npz"), np.load(folder / "ours.npz")
    # The dense side fills lists with tracks of score 0 or less, which ours leaves out; below 1e-6 the sign is rounding.
    filled = theirs["scores"] > 1e-6
    close = np.isclose(mine["scores"], theirs["scores"], rtol=1e-4, atol=1e-6)[filled].mean()
    same = (mine["items"] == theirs["items"])[filled].mean()
    return f"{filled.sum():,} places with a positive score: same score {close:.4%}, same track {same:.4%} (the rest are equal scores)"


def formula(options: argparse.Namespace) -> None:
    """Print time and memory of both sides and their ratio."""
    with tempfile.TemporaryDirectory() as temporary:
        children.measured("benchmarks.user_knn", "plays", temporary, options.plays or "")
        children.measured("benchmarks.user_knn", "ours", temporary)  # compiles kernels where this was never done
        mine = children.measured("benchmarks.user_knn", "ours", temporary)
        theirs = children.measured("benchmarks.user_knn", "dense", temporary)
        matrix = sparse.load_npz(Path(temporary) / "plays.npz")
        print(f"{matrix.shape[0]:,} users x {matrix.shape[1]:,} tracks, {matrix.nnz:,} pairs, {K} tracks a user; {children.machine()}")
        print(f"dense formula   {theirs}\nmode all        {mine}\ndense / ours    {children.ratios(theirs, mine)}")
        print(same_lists(Path(temporary)))


def recall(truth: NDArray[np.int32], found: NDArray[np.int32]) -> float:
    """Mean share of each row's true neighbors that were found."""
    shares = [np.isin(row[row >= 0], other).mean() for row, other in zip(truth, found) if (row >= 0).any()]
    return float(np.mean(shares))


def search(options: argparse.Namespace) -> None:
    """Print, for each budget, time and recall of the true neighbors, and agreement of the lists that come of them."""
    from benchmarks.worlds import train_set as generated
    from musicrec.dataset import Dataset, second
    from musicrec.models.user_knn import FittedUserKNN, UserKNN

    if options.data:
        train = Dataset(options.data / "events.parquet", split_catalog(options.data)).train_set(second(options.cutoff))
    else:
        train = generated(100_000, 73_000)
    print(f"{len(train.user_ids):,} users x {len(train.catalog):,} tracks, {train.matrix.nnz:,} pairs; {children.machine()}")
    asked = np.random.default_rng(0).choice(len(train.user_ids), options.asked, replace=False).astype(np.int32)
    fitted = UserKNN().fit(train)
    truth, lists = np.empty(0), np.empty(0)
    print(f"{'search_budget':>15s} {'users/s':>9s} {'per cpu s':>10s} {'recall of neighbors':>21s} {'same tracks in lists of 100':>28s}")
    for budget in (10**12, *options.budgets):
        bounded = FittedUserKNN.__new__(FittedUserKNN)
        bounded.__dict__.update(fitted.__dict__, settings=UserKNN(search_budget=budget))
        bounded.recommend(asked[:8], K)
        start, cpu = time.perf_counter(), time.process_time()
        items, _ = bounded.recommend(asked, K)
        speed, lean = options.asked / (time.perf_counter() - start), options.asked / (time.process_time() - cpu)
        users, _ = bounded.nearest(asked)
        truth, lists = (users, items) if budget == 10**12 else (truth, lists)
        name = "none (exact)" if budget == 10**12 else f"{budget:,}"
        print(f"{name:>15s} {speed:9,.0f} {lean:10,.0f} {recall(truth, users):21.3f} {recall(lists, items):28.3f}", flush=True)


def split_catalog(folder: Path):
    """The catalog of FOLDER/items.parquet."""
    import pyarrow.parquet as pq

    from musicrec.dataset import catalog

    return catalog(pq.read_table(folder / "items.parquet", columns=["item_id", "genre_ids", "artist_ids", "album_ids"]))


def main() -> None:
    """Run the comparison asked for, or, as a child of `formula`, one side of it."""
    steps = {"dense": dense, "ours": ours}
    if len(sys.argv) > 2 and sys.argv[1] in steps:
        steps[sys.argv[1]](Path(sys.argv[2]))
        return
    if len(sys.argv) > 3 and sys.argv[1] == "plays":
        write_plays(sys.argv[3], Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("formula")
    first.add_argument("--plays")
    first.set_defaults(run=formula)
    second = commands.add_parser("search")
    second.add_argument("--data", type=Path)
    second.add_argument("--cutoff", type=datetime.fromisoformat, default=datetime(2022, 12, 16))
    second.add_argument("--asked", type=int, default=300)
    second.add_argument("--budgets", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    second.set_defaults(run=search)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
