"""Lists that kernels fill, a block of rows at a time: by the threads of this machine, or by whatever `filled_by` names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from musicrec.dataset import Float32, Int32
from musicrec.lists import empty
from musicrec.models.top_k import parallel_for

# kernel(*inputs, items, scores, start, stop) fills the rows from start to stop of items and scores.
Kernel = Callable[..., None]


class Fill(Protocol):
    """Fills lists (n, k) by a kernel that is a function of a module, from inputs of arrays, numbers and tuples of these."""

    def __call__(self, kernel: Kernel, inputs: tuple[Any, ...], n: int, k: int, title: str) -> tuple[Int32, Float32]:
        """Items int32 and scores float32, both (n, k); a row is the same whichever block it is in."""
        ...


def filled(kernel: Kernel, inputs: tuple[Any, ...], n: int, k: int, title: str) -> tuple[Int32, Float32]:
    """Items int32 and scores float32, both (n, k), whose rows the kernel fills: -1 and -inf where it writes nothing. title: of a progress
    bar."""
    return _fill.get()(kernel, inputs, n, k, title)


def filled_here(kernel: Kernel, inputs: tuple[Any, ...], n: int, k: int, title: str) -> tuple[Int32, Float32]:
    """`filled` by the threads of this machine."""
    items, scores = empty(n, k)
    parallel_for(n, lambda start, stop: kernel(*inputs, items, scores, start, stop), title)
    return items, scores


@contextmanager
def filled_by(fill: Fill) -> Iterator[None]:
    """Let `fill` do the work of `filled` in this block."""
    token = _fill.set(fill)
    try:
        yield
    finally:
        _fill.reset(token)


_fill: ContextVar[Fill] = ContextVar("fill", default=filled_here)
