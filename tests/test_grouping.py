"""Questions that are asked together."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from musicrec.errors import ServiceError
from musicrec.serving.grouping import GroupedCalls


def test_each_question_gets_its_own_answer_in_few_calls() -> None:
    """Of ten questions at once, at most four a call, each gets its own answer, and calls begin at least the pause apart."""
    calls = list[tuple[float, int]]()

    async def ask(questions: Sequence[int], deadline: float) -> list[int]:
        calls.append((asyncio.get_running_loop().time(), len(questions)))
        return [question * 2 for question in questions]

    async def steps() -> list[int]:
        grouped = GroupedCalls(ask, 4, apart_s=0.02)
        return await asyncio.gather(*(grouped.answer(question, 0.0) for question in range(10)))
    assert asyncio.run(steps()) == [question * 2 for question in range(10)]
    assert [size for _, size in calls] == [4, 4, 2]
    assert all(later - earlier > 0.015 for (earlier, _), (later, _) in pairwise(calls))


def test_a_question_alone_does_not_wait() -> None:
    """The first question is asked at once, however long the pause between calls."""
    async def ask(questions: Sequence[int], deadline: float) -> Sequence[int]:
        return questions

    async def steps() -> float:
        grouped, loop = GroupedCalls(ask, 4, apart_s=60), asyncio.get_running_loop()
        began = loop.time()
        await grouped.answer(1, 0.0)
        return loop.time() - began
    assert asyncio.run(steps()) < 30


def test_a_failed_call_fails_its_questions_alone() -> None:
    """What a call raises is raised in each of its questions, and the next call is made all the same."""
    async def ask(questions: Sequence[int], deadline: float) -> Sequence[int]:
        if 0 in questions:
            raise ServiceError("no")
        return questions

    async def steps() -> None:
        grouped = GroupedCalls(ask, 2)
        found = await asyncio.gather(*(grouped.answer(question, 0.0) for question in range(4)), return_exceptions=True)
        assert [isinstance(one, ServiceError) for one in found[:2]] == [True, True]
        assert found[2:] == [2, 3]
        with pytest.raises(ServiceError):
            await grouped.answer(0, 0.0)
    asyncio.run(steps())
