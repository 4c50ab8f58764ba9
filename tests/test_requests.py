"""The way of a request through a service, inside one process: what cannot be caused from outside."""

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from musicrec import settings
from musicrec.serving.access_log import BufferedHandler, JsonLines
from musicrec.serving.app import Operation, Readiness, application
from musicrec.serving.metrics import Metrics
from musicrec.serving.parameters import read
from musicrec.serving.schemas import Asked, Stored
from tests.service_world import PROJECT


class Anything(Asked, extra="allow"):
    """Whatever a request names."""


def request(query: bytes = b"", *messages: dict[str, Any]) -> Request:
    """A POST with this query, whose body comes in `messages`."""
    pieces = iter(messages or ({"type": "http.request", "body": b""},))

    async def receive() -> dict[str, Any]:
        return next(pieces)
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": []}, receive)


def values(asked: Request) -> dict[str, Any]:
    """What the request names."""
    return asyncio.run(read(asked, Anything)).model_dump()


@given(st.lists(st.tuples(st.text("abk_=+% 0", max_size=4), st.text("12=+%20\xe9", max_size=4)), max_size=4))
def test_query_as_starlette_reads_it(pairs: list[tuple[str, str]]) -> None:
    """Any query string means what it means to Starlette."""
    query = "&".join(f"{name}={value}" for name, value in pairs).encode("latin-1")
    assert values(request(query)) == dict(QueryParams(query))


def test_body_in_pieces() -> None:
    """A body that comes in pieces is one body; one whose sender goes away is refused."""
    pieces = [{"type": "http.request", "body": b'{"k"', "more_body": True}, {"type": "http.request", "body": b": 3}"}]
    assert values(request(b"n=4", *pieces)) == {"k": 3, "n": "4"}
    with pytest.raises(RequestValidationError):
        values(request(b"", pieces[0], {"type": "http.disconnect"}))


@pytest.mark.parametrize("hot", [True, False])
def test_a_fault_of_ours_is_told(hot: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint that fails answers 500 with a sentence and a request id; the log holds the traceback, the metrics the count."""
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield

    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    async def ready() -> Readiness:
        return Readiness()

    metrics, service = Metrics("trial"), settings.load(PROJECT / "config.ini", {}).service
    app = application(metrics, "A trial.", service, [Operation("/broken", broken, Asked, Stored, ("POST",), hot=hot)], lifespan, dict, ready)
    answered: list[Any] = []

    async def send(message: Any) -> None:
        answered.append(message)
    asked = request()
    asyncio.run(app({**asked.scope, "path": "/broken", "root_path": "", "server": ("x", 1)}, asked.receive, send))
    assert answered[0]["status"] == 500
    assert len(dict(answered[0]["headers"])[b"x-request-id"]) == 16
    assert json.loads(answered[1]["body"]) == {"detail": "the service failed; its log says why"}
    line = json.loads(capsys.readouterr().err.splitlines()[0])
    assert "ZeroDivisionError" in line["exception"]
    assert line["message"] == "POST /broken failed"
    assert metrics.counts() == {"/broken 500": 1}


def record(fields: dict[str, Any]) -> logging.LogRecord:
    """A log record as the access log makes it."""
    return logging.makeLogRecord({"created": 1.5, "levelname": "INFO", "msg": "answered", "fields": fields})


def test_requests_log_is_bounded_and_written_when_flushed() -> None:
    """Of more requests than it may hold the latest are written, each as one JSON line, and not before it is flushed."""
    stream = io.StringIO()
    handler = BufferedHandler(stream, most=3)
    handler.setFormatter(JsonLines())
    for number in range(5):
        handler.handle(record({"request_id": "id", "service": "events", "status": 200 + number}))
    assert stream.getvalue() == ""
    handler.flush()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["status"] for line in lines] == [202, 203, 204]
    assert lines[0] == {"time": "1970-01-01T00:00:01.500+00:00", "level": "INFO", "message": "answered", "request_id": "id",
                        "service": "events", "status": 202}


def test_a_log_that_cannot_be_written_stops_nothing() -> None:
    """A closed or full log is not an error of the service."""
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    handler = BufferedHandler(Full())
    handler.handle(record({}))
    handler.flush()
    handler.flush()
