"""Lists for many users on the threads of this machine: the next batches are computed while the present one is written."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from musicrec.dataset import Int32
from musicrec.lists import Lists
from musicrec.progress import progress
from musicrec.recommender import TwoStageRecommender
from musicrec.recommender.two_stage import batches
from musicrec.runners.protocol import Shared

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def recommended(recommender: TwoStageRecommender, user_ids: Int32, k: int, orders: Collection[str], batch_memory: int,
                threads: int, shared: Shared | None = None) -> Iterator[dict[str, Lists]]:
    """See runners.Runner; users may be there twice. Up to threads + 1 batches are in memory. Shows a progress bar.
    """
    parts = batches(user_ids, recommender.batch_users(batch_memory))
    with threadpool_limits(1, user_api="blas"), \
            progress(title="recommend", total=len(user_ids), unit="user") as bar:
        for lists in prefetched(lambda part: recommender.lists(part, k, orders), parts, threads):
            yield lists
            bar.update(len(next(iter(lists.values()))))


def prefetched(function: Callable[[Argument], Result], arguments: Iterable[Argument], threads: int) -> Iterator[Result]:
    """function(argument) for every argument, in their order, computed ahead by so many threads.

    At most threads + 1 results are in memory. An error is raised in the place of its result; calls that have not begun are cancelled then,
    and when the caller stops early. It pays where `function` releases the GIL.

    >>> list(prefetched(str, [3, 1, 2], 2))
    ['3', '1', '2']
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for argument in arguments:
                pending.append(pool.submit(function, argument))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
