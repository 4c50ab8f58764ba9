"""Fits on the executors of Spark: the lists that kernels fill, such as the neighbors of all items, a block of rows a task.

The arrays that a kernel reads are written once, mapped once by each Python worker, and never sent through Spark; a task leaves its rows as
one file, which a task that is tried again, or twice, replaces with the same rows.
"""

import io
import pickle
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from musicrec.dataset import Float32, Int32
from musicrec.lists import EMPTY
from musicrec.models.blocks import Kernel, filled_by, filled_here
from musicrec.models.top_k import limit_threads, parallel_for
from musicrec.runners.executors import emptied, fetched, near, one_sentence, run_tasks
from musicrec.settings import node_folder, s3_environment
from musicrec.storage import Storage, storage

# Costs of rows differ, so there are several tasks a core. A job takes longer than the few rows that this machine fills itself.
TASKS_A_CORE, FEWEST = 8, 20_000
INPUTS = "inputs.pickle"
# An empty array, whose file is this long, cannot be mapped.
_HEADER = 128


def fits_on_executors(place: Storage) -> AbstractContextManager[None]:
    """Let the executors of the active session of Spark fill the lists of fits inside. place: where parts lie meanwhile, and nothing else;
    all machines reach it. Raises EngineError when a job fails."""
    def fill(kernel: Kernel, inputs: tuple[Any, ...], n: int, k: int, title: str) -> tuple[Int32, Float32]:
        if n < FEWEST:
            return filled_here(kernel, inputs, n, k, title)
        with emptied(place), one_sentence(f"fit {title}", place.location):
            return _filled(place, kernel, inputs, n, k)

    return filled_by(fill)


def _filled(place: Storage, kernel: Kernel, inputs: tuple[Any, ...], n: int, k: int) -> tuple[Int32, Float32]:
    from pyspark.sql import SparkSession

    session = SparkSession.active()
    context = session.sparkContext
    size = -(-n // (TASKS_A_CORE * context.defaultParallelism))
    threads = int(context.getConf().get("spark.task.cpus", "1"))
    blocks = Blocks(place.location, uuid.uuid4().hex, kernel.__module__, kernel.__name__, n, k, size, threads)
    blocks.hand_over(place, inputs)
    tasks = -(-n // size)
    run_tasks(session, tasks, blocks.done)
    items, scores = zip(*(blocks.rows(place, number) for number in range(tasks)))
    return np.concatenate(items), np.concatenate(scores)


@dataclass(frozen=True)
class Blocks:
    """What an executor is told: where files are handed over and below which prefix, the kernel by its module and name, the shape of the
    lists, and how many rows and threads a task has."""

    scratch: str
    prefix: str
    module: str
    name: str
    n: int
    k: int
    size: int
    threads: int

    def hand_over(self, place: Storage, inputs: tuple[Any, ...]) -> None:
        """Write what the kernel reads: each array as a file, and how they belong together."""
        with TemporaryDirectory() as folder:
            with Path(folder, INPUTS).open("wb") as content:
                _Writer(content, Path(folder)).dump(inputs)
            for path in Path(folder).iterdir():
                place.upload(path, f"{self.prefix}/given/{path.name}")

    def done(self, numbers: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The numbers of the tasks (column `id`), each when its rows are written."""
        place, kernel = storage(self.scratch, s3_environment()), getattr(import_module(self.module), self.name)
        limit_threads(self.threads)
        given = f"{self.prefix}/given"
        inputs = _inputs(place.file(given) or fetched(place, f"{given}/", node_folder() / f"musicrec-{self.prefix}"))
        for batch in numbers:
            for number in batch.column("id").to_pylist():
                items, scores = self._filled(kernel, inputs, slice(number * self.size, min(self.n, (number + 1) * self.size)))
                with TemporaryDirectory(dir=node_folder()) as folder:
                    np.savez(Path(folder, "rows.npz"), items=items, scores=scores)
                    place.upload(Path(folder, "rows.npz"), self._key(number))
            yield batch

    def rows(self, place: Storage, number: int) -> tuple[Int32, Float32]:
        """The rows that the task has written."""
        with near(place, self._key(number)) as path, np.load(path) as found:
            return found["items"], found["scores"]

    def _filled(self, kernel: Kernel, inputs: tuple[Any, ...], rows: slice) -> tuple[Int32, Float32]:
        # Whole, because kernels know rows by their number; what is not filled takes no memory.
        items, scores = np.empty((self.n, self.k), np.int32), np.empty((self.n, self.k), np.float32)
        items[rows], scores[rows] = EMPTY, -np.inf
        parallel_for(rows.stop - rows.start,
                     lambda start, stop: kernel(*inputs, items, scores, rows.start + start, rows.start + stop))
        return items[rows], scores[rows]

    def _key(self, number: int) -> str:
        return f"{self.prefix}/rows/{number}.npz"


class _Writer(pickle.Pickler):
    def __init__(self, content: BinaryIO, folder: Path) -> None:
        super().__init__(content)
        self.folder, self.n = folder, 0

    def persistent_id(self, obj: Any) -> str | None:
        """The file of an array; None for all else."""
        if not isinstance(obj, np.ndarray):
            return None
        self.n += 1
        np.save(self.folder / f"{self.n}.npy", obj)
        return f"{self.n}.npy"


class _Reader(pickle.Unpickler):
    def __init__(self, folder: Path) -> None:
        super().__init__(io.BytesIO((folder / INPUTS).read_bytes()))
        self.folder = folder

    def persistent_load(self, pid: str) -> Any:
        """The array of a file, mapped; it may be written to in memory, so that kernels compiled for arrays need not be compiled again."""
        path = self.folder / pid
        return np.asarray(np.load(path, mmap_mode="c")) if path.stat().st_size > _HEADER else np.load(path)


@lru_cache(maxsize=1)
def _inputs(folder: Path) -> Any:
    return _Reader(folder).load()
