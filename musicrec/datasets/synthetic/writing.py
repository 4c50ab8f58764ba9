"""Generated logs of any size as three files."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from musicrec.datasets.generated import INDEX, writers
from musicrec.datasets.synthetic import figures
from musicrec.datasets.synthetic.catalogue import Catalogue, catalogue
from musicrec.datasets.synthetic.labels import tables
from musicrec.datasets.synthetic.listening import listens
from musicrec.datasets.synthetic.people import People, part_bounds, people
from musicrec.datasets.synthetic.spread import Ints
from musicrec.datasets.synthetic.tickets import Tickets
from musicrec.progress import progress

_LISTENS_PER_PART, _THREADS, _ROW_GROUP = 7_000_000, 2, 1 << 20
_MICROSECONDS_PER_DAY = 86_400_000_000


def write(folder: Path, scale: float, seed: int = 0, order: str = "id") -> int:
    """Write tracks, catalog_names and interactions of scale x 1,373,221 users into `folder`; the number of listens.

    order "id": a user's listens are dated in ascending track id, as in the real files. "taste": by sessions, drifting taste,
    album runs and new releases. Both have the same users, the same tracks and the same listeners of each track.
    Deterministic in scale, seed and order. Full size: 222.6 million listens.
    Raises SourceError when the folder cannot be written.
    """
    how = f"musicrec datasets make synthetic --scale {scale} --seed {seed} --order {order}"
    with writers(folder, how) as (tracks, names, interactions):
        rng = np.random.default_rng(seed)
        n_users = max(round(figures.N_USERS * scale), 1)
        n_events = int(figures.HISTORY_LENGTHS.sample(n_users, figures.MEAN_HISTORY).sum())
        n_parts = -(-n_events // _LISTENS_PER_PART)
        made, crowd = catalogue(n_users, n_events, rng), people(n_users, n_parts, rng)
        for file, table in zip((tracks, names), tables(made, rng)):
            file.write_table(table.cast(file.schema.remove_metadata()))
        with progress(title="listens", total=n_events, unit=" rows") as bar:
            for table in _parts(made, crowd, Tickets(made, n_users, n_parts, rng), n_parts, seed, order):
                interactions.write_table(table, row_group_size=_ROW_GROUP)
                bar.update(table.num_rows)
    return n_events


def _parts(made: Catalogue, crowd: People, tickets: Tickets, n_parts: int, seed: int, order: str) -> Iterator[pa.Table]:
    """The interactions of one range of users after the other, made by two threads, at most two parts ahead."""
    bounds = part_bounds(len(crowd.ids), n_parts)

    def part(number: int) -> pa.Table:
        low, high = int(bounds[number]), int(bounds[number + 1])
        track, day = listens(crowd, low, high, tickets, number, 1000 * (seed + 1) + 10 * number)
        ids, length = made.ids[track].astype(np.int32), crowd.length[low:high]
        if order == "id":
            _sort_each(ids, length)
        return _table(crowd.ids[low:high], length, ids, day)

    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = [pool.submit(part, number) for number in range(min(_THREADS, n_parts))]
        for number in range(n_parts):
            table = waiting.pop(0).result()
            if number + _THREADS < n_parts:
                waiting.append(pool.submit(part, number + _THREADS))
            yield table


@njit(cache=True, nogil=True)
def _sort_each(values: NDArray[np.int32], length: Ints) -> None:
    at = 0
    for n in length:
        values[at: at + n].sort()
        at += n


def _table(users: Ints, length: Ints, track: NDArray[np.int32], day: NDArray[np.int16]) -> pa.Table:
    place = np.arange(len(track)) - np.repeat(np.cumsum(length) - length, length)
    start = np.datetime64("2022-01-01", "us").astype(np.int64)
    columns = {
        "user_id": np.repeat(users.astype(np.int32), length), "track_id": track, "track_seq": (place + 1).astype(np.int16),
        "started_at": pa.array(start + day.astype(np.int64) * _MICROSECONDS_PER_DAY).cast(pa.timestamp("us")), INDEX: place,
    }
    return pa.table(columns)
