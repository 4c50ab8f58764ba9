"""Parts answered ahead: in order, bounded, and honest about failures."""

import threading
import time

import pytest

from musicrec.pipeline.ahead import answered_ahead


def test_answers_come_in_the_order_of_their_parts() -> None:
    """A part that takes longer than those behind it is still answered first."""
    assert list(answered_ahead(lambda wait: time.sleep(wait) or wait, [0.05, 0.0, 0.02, 0.0], 2)) == [0.05, 0.0, 0.02, 0.0]


def test_parts_are_answered_at_the_same_time() -> None:
    """Two threads meet in the middle of two parts, which one after the other never could."""
    meeting = threading.Barrier(2, timeout=5)
    assert len(list(answered_ahead(lambda _: meeting.wait(), range(4), 2))) == 4


def test_no_more_answers_than_asked_wait() -> None:
    """Before the first answer is taken, parts beyond threads + 1 are not begun."""
    begun: list[int] = []
    answers = answered_ahead(begun.append, range(100), 2)
    next(answers)
    time.sleep(0.05)
    assert len(begun) <= 3
    answers.close()


def test_a_failure_is_raised_at_its_turn() -> None:
    """Answers before the failed part arrive, then its error does, and nothing after it."""
    answers = answered_ahead(lambda n: 1 // (2 - n), range(50), 2)
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(answers)
    assert list(answers) == []
