"""How long models take for every user of a train set, how much memory, and how that compares with a reference on the same machine.

    python -m benchmarks.models --data FOLDER --cutoff 2022-12-16 [--models als popular ...] [--users N] [--k 100]
                                [--every 1] [--asked 512]

FOLDER holds items.parquet and events.parquet as `prepare` writes them. Each model runs in a process of its own, with its settings
from config.ini; peak memory is that of this process and includes the train set. Speeds are of the wall clock and, for machines that do
other things as well, per second of processor time over all threads. --users asks about that many users, evenly spread
over all; without it everybody is asked. --every N keeps every Nth user of the train set, and all tracks.
Reference of als: `implicit`'s own recommend with the same factors, for --asked users, in the same process; lists are compared.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec import settings
from musicrec.dataset import Catalog, Dataset, TrainSet, catalog, second, train_set_of_users
from musicrec.models import MODELS, als

ARRAYS = ("user_ids", "indptr", "indices", "data", "last_played")


def stored(train: TrainSet, folder: Path) -> None:
    """Write a train set as plain arrays, which the processes of the models read."""
    matrix, links = train.matrix, train.catalog
    for name, array in zip(ARRAYS, (train.user_ids, matrix.indptr, matrix.indices, matrix.data, train.last_played)):
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "item_ids.npy", links.item_ids)
    np.save(folder / "cutoff.npy", train.cutoff)
    for name in ("genres", "artists", "albums"):
        sparse.save_npz(folder / f"{name}.npz", getattr(links, name), compressed=False)


def loaded(folder: Path) -> TrainSet:
    """The train set written by `stored`."""
    user_ids, indptr, indices, data, times = (np.load(folder / f"{name}.npy") for name in ARRAYS)
    names = (sparse.load_npz(folder / f"{name}.npz") for name in ("genres", "artists", "albums"))
    links = Catalog(np.load(folder / "item_ids.npy"), *names)
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(user_ids), len(links)))
    return TrainSet(user_ids, matrix, times, catalog=links, cutoff=int(np.load(folder / "cutoff.npy")))


def thinned(train: TrainSet, every: int) -> TrainSet:
    """The train set of every Nth user."""
    return train if every == 1 else train_set_of_users(train, train.user_ids[::every])


def measured(name: str, folder: Path, options: argparse.Namespace) -> dict[str, float | str]:
    """Seconds, users a second and peak memory of one model, and the ratio to its reference."""
    train = loaded(folder)
    kind = settings.load().component(f"candidates.{name}", MODELS[name])
    start = time.perf_counter()
    fitted = kind.fit(train)
    fit = time.perf_counter() - start
    n = len(train.user_ids)
    rows = np.linspace(0, n - 1, min(options.users or n, n)).astype(np.int32)
    fitted.recommend(rows[:64], options.k)
    start, cpu, served = time.perf_counter(), time.process_time(), 0
    for first in range(0, len(rows), options.batch):
        items, _ = fitted.recommend(rows[first:first + options.batch], options.k)
        served += int((items[:, 0] >= 0).sum())
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    note = against_implicit(fitted, train, rows[:: max(1, len(rows) // options.asked)], options) if name == "als" else ""
    return {"name": name, "fit": fit, "users": len(rows), "served": served, "seconds": seconds, "speed": len(rows) / seconds,
            "lean": len(rows) / cpu, "peak": peak, "note": note}


def against_implicit(fitted: als.FittedALS, train: TrainSet, rows: np.ndarray, options: argparse.Namespace) -> str:
    """How ours compares with implicit's recommend with the same factors (one thread a core), and how far lists are alike."""
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(fitted.item_factors.shape[1])
    model.user_factors, model.item_factors = fitted.user_factors, fitted.item_factors
    clocks = {side: np.zeros(3) for side in ("ours", "implicit", "implicit, BLAS threads")}
    everybody = np.arange(len(train.user_ids), dtype=np.int32)
    # In turns, so that whatever else the machine does slows both sides alike. implicit's batches call BLAS; which number of BLAS threads
    # suits it better is tried, and the better one counts.
    for turn, part in enumerate(np.array_split(rows, 4)):
        for side, threads in (("implicit", 1), ("implicit, BLAS threads", None)):
            with threadpool_limits(threads, user_api="blas"):
                clocks[side] += clock(lambda part=part: model.recommend(part, train.matrix[part], N=options.k), len(part))
        wide = everybody[turn::4][: options.batch]
        clocks["ours"] += clock(lambda wide=wide: fitted.recommend(wide, options.k), len(wide))
    speed, lean = ({side: spent[0] / spent[column] for side, spent in clocks.items()} for column in (1, 2))
    items, scores = model.recommend(rows, train.matrix[rows], N=options.k)
    ours, our_scores = fitted.recommend(rows, options.k)
    alike = np.mean([len(np.intersect1d(one, other)) / options.k for one, other in zip(ours, items)])
    return (f"in turns {speed['ours'] / max(speed['implicit'], speed['implicit, BLAS threads']):.1f}x implicit "
            f"({speed['ours']:,.0f} against {speed['implicit']:.0f} users/s, with BLAS threads {speed['implicit, BLAS threads']:.0f}), "
            f"per processor second {lean['ours'] / max(lean['implicit'], lean['implicit, BLAS threads']):.1f}x; "
            f"same items {alike:.4%}, scores apart at most {np.abs(our_scores - scores).max():.1e}")


def clock(work: Callable[[], object], users: int) -> np.ndarray:
    """Users, seconds and processor seconds of calling `work`."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return np.array([users, time.perf_counter() - start, time.process_time() - cpu])


def main() -> None:
    """Measure one model after the other and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cutoff", type=datetime.fromisoformat, required=True)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--users", type=int)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--asked", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as temporary:
        folder, start = Path(temporary), time.perf_counter()
        items = catalog(pq.read_table(options.data / "items.parquet", columns=["item_id", "genre_ids", "artist_ids", "album_ids"]))
        train = Dataset(options.data / "events.parquet", items).train_set(second(options.cutoff))
        train = thinned(train, options.every)
        stored(train, folder)
        print(f"{len(train.user_ids):,} users, {len(items):,} tracks, {train.matrix.nnz:,} pairs, k = {options.k}; "
              f"read in {time.perf_counter() - start:.0f} s", flush=True)
        del train, items
        print(f"{'model':18s} {'fit s':>8s} {'users':>10s} {'served':>10s} {'seconds':>8s} {'users/s':>10s} {'per cpu s':>10s} "
              f"{'peak GB':>8s}",
              flush=True)
        for name in options.models:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                line = pool.submit(measured, name, folder, options).result()
            print(f"{line['name']:18s} {line['fit']:8.1f} {line['users']:10,d} {line['served']:10,d} {line['seconds']:8.1f} "
                  f"{line['speed']:10,.0f} {line['lean']:10,.0f} {line['peak']:8.2f} {line['note']}", flush=True)


if __name__ == "__main__":
    main()
