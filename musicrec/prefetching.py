"""Results that threads compute ahead of their use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


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


def ahead(values: Iterable[Result]) -> Iterator[Result]:
    """The same values, of which a thread makes up to two while one is used. It pays where making them releases the GIL.

    >>> list(ahead(n * n for n in range(3)))
    [0, 1, 4]
    """
    iterator, end = iter(values), object()
    for value in prefetched(lambda _: next(iterator, end), repeat(None), 1):
        if value is end:
            return
        yield value  # type: ignore[misc]  # all but the last object come from `values`
