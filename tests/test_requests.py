"""The way of a request through a service, inside one process: what cannot be caused from outside."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from musicrec.serving.application import application
from musicrec.serving.gate import Guards
from musicrec.serving.logs import Answered, RequestLog
from musicrec.serving.metrics import Metrics
from musicrec.serving.parameters import Refused, sent
from musicrec.serving.readiness import Readiness


def request(query: bytes = b"", *messages: dict[str, Any]) -> Request:
    """A POST with this query, whose body comes in `messages`."""
    left = iter(messages or ({"type": "http.request", "body": b""},))

    async def receive() -> dict[str, Any]:
        return next(left)
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": []}, receive)


@given(st.lists(st.tuples(st.text("abk_=+% 0", max_size=4), st.text("12=+%20\xe9", max_size=4)), max_size=4))
def test_query_as_starlette_reads_it(pairs: list[tuple[str, str]]) -> None:
    """Any query string means what it means to Starlette."""
    query = "&".join(f"{name}={value}" for name, value in pairs).encode("latin-1")
    assert asyncio.run(sent(request(query))) == dict(QueryParams(query))


def test_body_in_pieces() -> None:
    """A body that comes in pieces is one body; one whose sender goes away is refused."""
    pieces = [{"type": "http.request", "body": b'{"k"', "more_body": True}, {"type": "http.request", "body": b": 3}"}]
    assert asyncio.run(sent(request(b"n=4", *pieces))) == {"k": 3, "n": "4"}
    with pytest.raises(Refused):
        asyncio.run(sent(request(b"", pieces[0], {"type": "http.disconnect"})))


def test_a_fault_of_ours_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that fails answers 500 with a sentence and a request id; the log holds the traceback, the metrics the count."""
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    async def ready() -> Readiness:
        return Readiness()

    metrics = Metrics("trial")
    app = application(metrics, "A trial.", lifespan, dict, ready, Guards(SecretStr(""), 0, ()))
    app.add_api_route("/broken", broken, methods=["POST"], response_model=None)
    answered: list[Any] = []

    async def send(message: Any) -> None:
        answered.append(message)
    asked = request()
    with caplog.at_level(logging.ERROR):
        asyncio.run(app({**asked.scope, "path": "/broken", "root_path": "", "server": ("x", 1)}, asked.receive, send))
    assert answered[0]["status"] == 500
    assert len(dict(answered[0]["headers"])[b"x-request-id"]) == 16
    assert json.loads(answered[1]["body"]) == {"detail": "the service failed; its log says why"}
    assert "ZeroDivisionError" in caplog.text
    assert metrics.counts() == {"/broken 500": 1}


def test_request_log_is_bounded_and_written_at_the_end() -> None:
    """Of more requests than it may hold the latest are written, each as one JSON line, when the service stops at the latest."""
    written: list[str] = []

    async def steps() -> None:
        log = RequestLog(written.append, pause_s=60, most=3)
        async with log.written():
            for number in range(5):
                log.waiting.append(Answered(1.5, "id", "events", "POST", "/put", 200 + number, 0.0012))
    asyncio.run(steps())
    lines = [json.loads(line) for line in "".join(written).splitlines()]
    assert [line["status"] for line in lines] == [202, 203, 204]
    assert lines[0] == {"time": "1970-01-01T00:00:01.500+00:00", "level": "INFO", "message": "answered", "request_id": "id",
                        "service": "events", "method": "POST", "route": "/put", "status": 202, "ms": 1.2}


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """A closed or full log is not an error of the service."""
    def full(text: str) -> None:
        raise OSError(28, "No space left on device")

    async def steps() -> None:
        log = RequestLog(full, pause_s=0.01)
        async with log.written():
            log.waiting.append(Answered(1.5, "id", "events", "POST", "/put", 200, 0.0012))
            await asyncio.sleep(0.05)
    asyncio.run(steps())
