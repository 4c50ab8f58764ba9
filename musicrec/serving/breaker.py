"""A circuit breaker: a neighbour that keeps failing is left alone for a while, then tried with one call."""

from collections.abc import Callable


class Breaker:
    """Closed at first. Opens after `failures` in a row; after `pause_s` one call is let through, whose outcome closes or reopens it.

    Calls that were under way together fail together, so they count once: a neighbour that stands still for a moment under load
    is not left alone for long. `clock` returns seconds that only grow.

    >>> now = [1.0]
    >>> breaker = Breaker(failures=2, pause_s=2, clock=lambda: now[0])
    >>> breaker.failed(began=0.8); breaker.failed(began=0.9); breaker.allows()
    True
    >>> breaker.failed(began=1.0); breaker.allows()
    False
    >>> now[0] = 3.5; (breaker.allows(), breaker.allows())
    (True, False)
    >>> breaker.succeeded(); breaker.allows()
    True
    """

    def __init__(self, failures: int, pause_s: float, clock: Callable[[], float]) -> None:
        self.failures, self.pause_s, self.clock = failures, pause_s, clock
        self._in_a_row, self._counted_at, self._shut_until = 0, 0.0, 0.0

    @property
    def open(self) -> bool:
        """Whether calls are held back."""
        return self._in_a_row >= self.failures

    def allows(self) -> bool:
        """Whether a call may be made now. While open, a yes counts as the trial, so that no second one follows at once."""
        if not self.open:
            return True
        if self.clock() < self._shut_until:
            return False
        self._shut_until = self.clock() + self.pause_s
        return True

    def succeeded(self) -> None:
        """A call went well."""
        self._in_a_row = 0

    def failed(self, began: float) -> None:
        """A call that was made at the moment `began` failed."""
        if began >= self._counted_at:
            self._in_a_row += 1
            self._counted_at = self.clock()
            self._shut_until = self._counted_at + self.pause_s
