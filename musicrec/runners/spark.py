"""Lists for many users on the executors of Spark.

Nothing of the recommender is sent through Spark: each Python worker maps the saved one, from a folder that all machines reach or from a
copy that the first worker of a machine fetches from S3, and answers ranges of users with the code of the local runner. Each task leaves its
rows as one parquet file, which appears when it is complete, and which a task that is tried again, or twice, replaces with the same rows;
then the files are read in order.
"""

import io
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from musicrec.dataset import Int32, index_of
from musicrec.lists import Lists, empty, table
from musicrec.models.top_k import limit_threads
from musicrec.recommender import TwoStageRecommender
from musicrec.recommender.saving import DESCRIPTION
from musicrec.recommender.two_stage import batches
from musicrec.runners import local
from musicrec.runners.executors import emptied, fetched, near, one_sentence, run_tasks
from musicrec.runners.protocol import Shared
from musicrec.schema import PERSONAL
from musicrec.settings import node_folder, s3_environment
from musicrec.storage import Storage, storage

SCHEMA = PERSONAL.arrow.append(pa.field("list", pa.int8()))
# Several tasks a core even out their differences; more users than LARGEST in one would be much to do again, and to hold, at a time.
TASKS_A_CORE, SMALLEST, LARGEST = 4, 512, 32_768
USERS, RECOMMENDER = "users.npy", "recommender"


def recommended(recommender: TwoStageRecommender, user_ids: Int32, k: int, orders: Collection[str], batch_memory: int, threads: int,
                shared: Shared) -> Iterator[dict[str, Lists]]:
    """See runners.Runner. The number of threads of a task is spark.task.cpus. Raises EngineError when the job fails."""
    from pyspark.sql import SparkSession

    shared.connection()
    session, saved, names, place = SparkSession.active(), shared.saved().resolve(), tuple(orders), shared.scratch
    cores = session.sparkContext.defaultParallelism
    size = int(np.clip(-(-len(user_ids) // (TASKS_A_CORE * cores)), SMALLEST, LARGEST))
    tasks = -(-len(user_ids) // size)
    cpus = int(session.sparkContext.getConf().get("spark.task.cpus", "1"))
    # A folder of its own for each job: a task of an earlier one may still be running somewhere.
    work = Work(place.location, uuid.uuid4().hex, saved, (saved / DESCRIPTION).stat().st_mtime_ns, size, k, names, batch_memory, cpus)
    with emptied(place):
        work.hand_over(place, user_ids)
        with one_sentence("answer the users", str(saved) if place.file(work.prefix) else place.location):
            run_tasks(session, tasks, work.done)
        for number, part in enumerate(batches(user_ids, size)):
            yield _lists(work.rows(place, number), part, recommender.fitted.train.item_ids, k, names)


@dataclass(frozen=True)
class Work:
    """What an executor is told: where files are handed over and below which prefix, where the recommender is saved and when that was, how
    many users a task has, and what is asked."""

    scratch: str
    prefix: str
    saved: Path
    version: int
    size: int
    k: int
    orders: tuple[str, ...]
    batch_memory: int
    threads: int

    def hand_over(self, place: Storage, user_ids: Int32) -> None:
        """Write what all tasks need: the users, and the recommender where its folder is not reached by all."""
        content = io.BytesIO()
        np.save(content, user_ids)
        place.write(f"{self.prefix}/given/{USERS}", content.getvalue())
        if place.file(self.prefix) is None:
            for path in self.saved.iterdir():
                place.upload(path, f"{self.prefix}/given/{RECOMMENDER}/{path.name}")

    def done(self, numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The numbers of the tasks (column `id`), each when its rows are written."""
        place = storage(self.scratch, s3_environment())
        limit_threads(self.threads)
        with threadpool_limits(1):
            shared = place.file(f"{self.prefix}/given")
            given = shared or fetched(place, f"{self.prefix}/given/", node_folder() / f"musicrec-{self.prefix}")
            made, users = _loaded(self.saved if shared else given / RECOMMENDER, self.version), np.load(given / USERS, mmap_mode="r")
            for batch in numbers:
                for number in batch.column("id").to_pylist():
                    self._write(place, number, made, np.array(users[number * self.size:(number + 1) * self.size]))
                yield batch

    def rows(self, place: Storage, number: int) -> pa.Table:
        """What the task has written: rows of SCHEMA; `list` is the place of an order in `orders`."""
        with near(place, self._key(number)) as path:
            return pq.read_table(path, memory_map=False)

    def _write(self, place: Storage, number: int, made: TwoStageRecommender, users: Int32) -> None:
        with TemporaryDirectory(dir=node_folder()) as folder:
            path = Path(folder, "rows.parquet")
            with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
                for lists in local.recommended(made, users, self.k, self.orders, self.batch_memory, self.threads):
                    for at, order in enumerate(self.orders):
                        rows = table(lists[order], made.fitted.train.item_ids)
                        writer.write_table(rows.append_column(SCHEMA.field("list"), pa.array(np.full(len(rows), at, np.int8))))
            place.upload(path, self._key(number))

    def _key(self, number: int) -> str:
        return f"{self.prefix}/lists/{number}.parquet"


@lru_cache(maxsize=1)
def _loaded(folder: Path, version: int) -> TwoStageRecommender:
    return TwoStageRecommender.load(folder)


def _lists(stored: pa.Table, user_ids: Int32, item_ids: Int32, k: int, orders: tuple[str, ...]) -> dict[str, Lists]:
    """The lists that one task has written, empty ones for users who are not among its rows."""
    ascending = np.argsort(user_ids)
    found = {}
    for place, order in enumerate(orders):
        items, scores = empty(len(user_ids), k)
        rows = stored.filter(pc.equal(stored["list"], place))
        at = ascending[index_of(user_ids[ascending], rows["user_id"].to_numpy())], rows["rank"].to_numpy() - 1
        items[at], scores[at] = index_of(item_ids, rows["item_id"].to_numpy()), rows["score"].to_numpy()
        found[order] = Lists(user_ids, items, scores)
    return found
