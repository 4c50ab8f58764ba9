"""Work on the next parts while the present one is judged and written."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Answer = TypeVar("Answer")


def answered_ahead(answer: Callable[[Part], Answer], parts: Iterable[Part], threads: int) -> Iterator[Answer]:
    """answer(part) for every part, in the order of the parts, computed by so many threads at a time.

    One answer more than there are threads waits at most, so memory is bounded by threads + 1 answers. `answer` gains where it leaves
    Python's lock. What it raises is raised at its turn; parts that nobody began are dropped then, as when the caller stops early.

    >>> list(answered_ahead(str, [3, 1, 2], 2))
    ['3', '1', '2']
    """
    waiting: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(answer, part))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
