"""Lists for many users on the executors of Spark.

Nothing of the recommender is sent: each Python worker maps the saved one and answers ranges of users with the code of the local runner.
Each task writes its rows as parquet, which Spark commits once a task, whatever was tried again or twice; then the parts are read in order.
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from musicrec.dataset import Int32, index_of
from musicrec.errors import EngineError
from musicrec.files import make_folder, writable
from musicrec.lists import Lists, empty, table
from musicrec.models.top_k import limit_threads
from musicrec.recommender import TwoStageRecommender
from musicrec.recommender.saving import DESCRIPTION
from musicrec.recommender.two_stage import batches
from musicrec.runners import local
from musicrec.runners.protocol import Shared

SCHEMA = "user_id int, item_id int, score float, rank int, list tinyint"
# Several tasks a core even out their differences; more users than LARGEST in one would be much to do again, and to hold, at a time.
TASKS_A_CORE, SMALLEST, LARGEST = 4, 512, 32_768


def recommended(recommender: TwoStageRecommender, user_ids: Int32, k: int, orders: Collection[str], batch_memory: int, threads: int,
                shared: Shared) -> Iterator[dict[str, Lists]]:
    """See runners.Runner. The number of threads of a task is spark.task.cpus. Raises EngineError when the job fails."""
    from pyspark.sql import SparkSession

    shared.connection()
    session, folder, names = SparkSession.active(), shared.saved().resolve(), tuple(orders)
    cores = session.sparkContext.defaultParallelism
    size = int(np.clip(-(-len(user_ids) // (TASKS_A_CORE * cores)), SMALLEST, LARGEST))
    tasks = -(-len(user_ids) // size)
    with _scratch(shared.scratch.resolve()) as scratch:
        np.save(scratch / "users.npy", user_ids)
        cpus = int(session.sparkContext.getConf().get("spark.task.cpus", "1"))
        work = Work(folder, (folder / DESCRIPTION).stat().st_mtime_ns, scratch / "users.npy", size, k, names, batch_memory, cpus)
        with _one_sentence(folder):
            numbers = session.range(0, tasks, 1, tasks)
            numbers.mapInArrow(work.rows, SCHEMA).write.parquet((scratch / "lists").as_uri(), compression="zstd")
        parts = {int(path.name.split("-")[1]): path for path in (scratch / "lists").glob("part-*.parquet")}
        for number, part in enumerate(batches(user_ids, size)):
            yield _lists(parts.get(number), part, recommender.fitted.train.item_ids, k, names)


@dataclass(frozen=True)
class Work:
    """What an executor is told: where the saved recommender and the file of users are, how many users a task has, and what is asked."""

    saved: Path
    version: int
    users: Path
    size: int
    k: int
    orders: tuple[str, ...]
    batch_memory: int
    threads: int

    def rows(self, numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of SCHEMA for the tasks with these numbers (column `id`); `list` is the place of an order in `orders`."""
        limit_threads(self.threads)
        with threadpool_limits(1):
            made, users = _loaded(self.saved, self.version), np.load(self.users, mmap_mode="r")
            for number in (one for batch in numbers for one in batch.column("id").to_pylist()):
                ids = np.array(users[number * self.size:(number + 1) * self.size])
                for lists in local.recommended(made, ids, self.k, self.orders, self.batch_memory, self.threads):
                    for place, order in enumerate(self.orders):
                        rows = table(lists[order], made.fitted.train.item_ids)
                        yield from rows.append_column("list", pa.array(np.full(len(rows), place, np.int8))).to_batches()


@lru_cache(maxsize=1)
def _loaded(folder: Path, version: int) -> TwoStageRecommender:
    return TwoStageRecommender.load(folder)


def _lists(path: Path | None, user_ids: Int32, item_ids: Int32, k: int, orders: tuple[str, ...]) -> dict[str, Lists]:
    """The lists that one task has written, empty ones for users who are not in its file; a task without any rows has none."""
    stored = pq.read_table(path) if path else None
    ascending = np.argsort(user_ids)
    found = {}
    for place, order in enumerate(orders):
        items, scores = empty(len(user_ids), k)
        if stored is not None:
            rows = stored.filter(pc.equal(stored["list"], place))
            at = ascending[index_of(user_ids[ascending], rows["user_id"].to_numpy())], rows["rank"].to_numpy() - 1
            items[at], scores[at] = index_of(item_ids, rows["item_id"].to_numpy()), rows["score"].to_numpy()
        found[order] = Lists(user_ids, items, scores)
    return found


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder that is removed at the end."""
    with writable(folder):
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _one_sentence(folder: Path) -> Iterator[None]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as cause:
        lines = [line.strip() for line in str(cause).splitlines() if "Error" in line or "Exception" in line]
        raise EngineError(f"Spark could not answer the users: {(lines[-1] if lines else str(cause))[:300].rstrip('.')}; check that every "
                          f"executor has this version of musicrec and reaches {folder}.") from cause
