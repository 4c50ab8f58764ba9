"""How long generators take for every user of a history, how much memory, and how that compares with a reference on the same machine.

    python -m benchmarks.generators --data FOLDER --cutoff 2022-12-16 [--generators als popular ...] [--users N] [--k 100]
                                    [--every 1] [--model als_model.npz] [--save als_model.npz] [--asked 512]

FOLDER holds items.parquet and events.parquet as `prepare` writes them. Each generator runs in a process of its own, with its settings
from config.ini; peak memory is that of this process and includes the history. Speeds are of the wall clock and, for machines that do
other things as well, per second of processor time over all threads. --users asks about that many users, evenly spread
over all; without it everybody is asked. --every N keeps every Nth user of the history, and all tracks. --save keeps the trained ALS
factors, --model takes saved ones instead of training.
Reference of als: `implicit`'s own recommend with the same factors, for --asked users, in the same process; lists are compared.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec import settings, split
from musicrec.candidates import GENERATORS, als
from musicrec.matrix import Catalogue, History, catalogue

ARRAYS = ("user_ids", "indptr", "indices", "data", "minutes")


def stored(history: History, folder: Path) -> None:
    """Write a history as plain arrays, which the processes of the generators read."""
    matrix, links = history.matrix, history.catalogue
    for name, array in zip(ARRAYS, (history.user_ids, matrix.indptr, matrix.indices, matrix.data, history.minutes)):
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "item_ids.npy", links.item_ids)
    np.save(folder / "cutoff.npy", history.cutoff)
    for name in ("genres", "artists", "albums"):
        sparse.save_npz(folder / f"{name}.npz", getattr(links, name), compressed=False)


def loaded(folder: Path) -> History:
    """The history written by `stored`."""
    user_ids, indptr, indices, data, minutes = (np.load(folder / f"{name}.npy") for name in ARRAYS)
    names = (sparse.load_npz(folder / f"{name}.npz") for name in ("genres", "artists", "albums"))
    links = Catalogue(np.load(folder / "item_ids.npy"), *names)
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(len(user_ids), len(links)))
    return History(user_ids, matrix, minutes, links, int(np.load(folder / "cutoff.npy")))


def thinned(history: History, every: int) -> History:
    """The history of every Nth user."""
    if every == 1:
        return history
    rows = np.arange(0, len(history.user_ids), every)
    matrix = history.matrix[rows]
    kept = np.repeat(np.arange(len(history.user_ids)) % every == 0, np.diff(history.matrix.indptr))
    return History(history.user_ids[rows], matrix, history.minutes[kept], history.catalogue, history.cutoff)


def measured(name: str, folder: Path, options: argparse.Namespace) -> dict[str, float | str]:
    """Seconds, users a second and peak memory of one generator, and the ratio to its reference."""
    history = loaded(folder)
    kind = settings.load().component(f"candidates.{name}", GENERATORS[name])
    start = time.perf_counter()
    fitted = als.load(options.model, history, kind) if name == "als" and options.model else kind.fit(history)
    fit = time.perf_counter() - start
    if name == "als" and options.save:
        fitted.save(options.save)
    n = len(history.user_ids)
    rows = np.linspace(0, n - 1, min(options.users or n, n)).astype(np.int32)
    fitted.recommend(rows[:64], options.k)
    start, cpu, served = time.perf_counter(), time.process_time(), 0
    for first in range(0, len(rows), options.batch):
        items, _ = fitted.recommend(rows[first:first + options.batch], options.k)
        served += int((items[:, 0] >= 0).sum())
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    note = against_implicit(fitted, history, rows[:: max(1, len(rows) // options.asked)], options) if name == "als" else ""
    return {"name": name, "fit": fit, "users": len(rows), "served": served, "seconds": seconds, "speed": len(rows) / seconds,
            "lean": len(rows) / cpu, "peak": peak, "note": note}


def against_implicit(fitted: als.AlsRecommender, history: History, rows: np.ndarray, options: argparse.Namespace) -> str:
    """How ours compares with implicit's recommend with the same factors (one thread a core), and how far lists are alike."""
    with threadpool_limits(1, user_api="blas"):
        model = AlternatingLeastSquares(fitted.item_factors.shape[1])
    model.user_factors, model.item_factors = fitted.user_factors, fitted.item_factors
    clocks = {side: np.zeros(3) for side in ("ours", "implicit", "implicit, BLAS threads")}
    everybody = np.arange(len(history.user_ids), dtype=np.int32)
    # In turns, so that whatever else the machine does slows both sides alike. implicit's batches call BLAS; which number of BLAS threads
    # suits it better is tried, and the better one counts.
    for turn, part in enumerate(np.array_split(rows, 4)):
        for side, threads in (("implicit", 1), ("implicit, BLAS threads", None)):
            with threadpool_limits(threads, user_api="blas"):
                clocks[side] += clock(lambda part=part: model.recommend(part, history.matrix[part], N=options.k), len(part))
        wide = everybody[turn::4][: options.batch]
        clocks["ours"] += clock(lambda wide=wide: fitted.recommend(wide, options.k), len(wide))
    speed, lean = ({side: spent[0] / spent[column] for side, spent in clocks.items()} for column in (1, 2))
    items, scores = model.recommend(rows, history.matrix[rows], N=options.k)
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
    """Measure one generator after the other and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cutoff", type=date.fromisoformat, required=True)
    parser.add_argument("--generators", nargs="+", default=list(GENERATORS), choices=list(GENERATORS))
    parser.add_argument("--users", type=int)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--asked", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.data) as temporary:
        folder, start = Path(temporary), time.perf_counter()
        items = catalogue(pq.read_table(options.data / "items.parquet", columns=["item_id", "genre_ids", "artist_ids", "album_ids"]))
        history = split.history(options.data / "events.parquet", items, options.cutoff)
        history = thinned(history, options.every)
        stored(history, folder)
        print(f"{len(history.user_ids):,} users, {len(items):,} tracks, {history.matrix.nnz:,} pairs, k = {options.k}; "
              f"read in {time.perf_counter() - start:.0f} s", flush=True)
        del history, items
        print(f"{'generator':18s} {'fit s':>8s} {'users':>10s} {'served':>10s} {'seconds':>8s} {'users/s':>10s} {'per cpu s':>10s} "
              f"{'peak GB':>8s}",
              flush=True)
        for name in options.generators:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                line = pool.submit(measured, name, folder, options).result()
            print(f"{line['name']:18s} {line['fit']:8.1f} {line['users']:10,d} {line['served']:10,d} {line['seconds']:8.1f} "
                  f"{line['speed']:10,.0f} {line['lean']:10,.0f} {line['peak']:8.2f} {line['note']}", flush=True)


if __name__ == "__main__":
    main()
