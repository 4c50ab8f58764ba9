"""Turns on the event loop, so that long work of some requests does not hold up the short work of others."""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
SLICE_S = 0.002


class Turns:
    """Requests with long work take turns: at most one slice of SLICE_S runs between two rounds of the event loop, whoever's it is."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def each(self, work: Callable[[T], R], values: Iterable[T]) -> list[R]:
        """What `work` gives for each value, in order, in as many turns as it takes. One value is never split over two turns."""
        found: list[R] = []
        todo = iter(values)
        while True:
            async with self._turn:
                end = time.perf_counter() + SLICE_S
                for value in todo:
                    found.append(work(value))
                    if time.perf_counter() > end:
                        break
                else:
                    return found
                # Everybody else on the loop comes in between; the turn is kept meanwhile, so that nobody else's slice follows at once.
                await asyncio.sleep(0)
