"""The way of a request through a service, inside one process: what cannot be caused from outside."""

import asyncio
import contextlib
import io
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from musicrec import settings
from musicrec.serving.access_log import RequestsLog, log_as_json
from musicrec.serving.app import Operation, Readiness, application
from musicrec.serving.metrics import Metrics
from musicrec.serving.parameters import read
from musicrec.serving.schemas import Parameters, Stored
from tests.service_world import PROJECT


class Anything(Parameters, extra="allow"):
    """Whatever a request names."""


def request(query: bytes = b"", *messages: dict[str, Any]) -> Request:
    """A POST with this query, whose body comes in `messages`."""
    pieces = iter(messages or ({"type": "http.request", "body": b""},))

    async def receive() -> dict[str, Any]:
        return next(pieces)
    return Request({"type": "http", "method": "POST", "path": "/", "query_string": query,
                    "headers": [(b"transfer-encoding", b"chunked")] if messages else []}, receive)


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
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield

    async def broken(request: Request) -> Response:
        raise ZeroDivisionError

    async def ready() -> Readiness:
        return Readiness()

    metrics, service = Metrics("trial"), settings.load(PROJECT / "config.ini", {}).service
    operation = Operation("/broken", broken, Parameters, Stored, ("POST",), hot=hot)
    app = application(metrics, "A trial.", service, [operation], lifespan, dict, ready)
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


def test_requests_log_is_bounded_and_written_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Of more requests than it may hold the latest are written, each as one JSON line, and not before they are asked to be."""
    log_as_json(requests=True)
    requests = RequestsLog(most=3)
    for number in range(5):
        requests.waiting.append((1.5, "id", "events", "POST", "/put", 200 + number, 0.0012))
    assert capsys.readouterr().err == ""
    requests.write()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["status"] for line in lines] == [202, 203, 204]
    assert lines[0] == {"time": "1970-01-01T00:00:01.500+00:00", "level": "INFO", "message": "answered", "request_id": "id",
                        "service": "events", "method": "POST", "route": "/put", "status": 202, "ms": 1.2}


def test_the_last_write_waits_for_one_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that ends while a thread writes to a slow log has written every line before it ends."""
    begun, written = threading.Event(), io.StringIO()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            begun.set()
            time.sleep(0.3)
            return written.write(text)

    monkeypatch.setattr(sys, "stderr", Slow())
    log_as_json(requests=True)
    requests = RequestsLog()
    requests.waiting.append((1.5, "id", "events", "POST", "/put", 200, 0.0012))
    thread = threading.Thread(target=requests.write)
    thread.start()
    assert begun.wait(5)
    requests.write()
    assert '"status": 200' in written.getvalue()
    thread.join()


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed or full log is not an error of the service."""
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    async def steps() -> None:
        requests = RequestsLog()
        work = asyncio.create_task(requests.write_regularly(0.001))
        for _ in range(3):
            requests.waiting.append((1.5, "id", "events", "POST", "/put", 200, 0.0012))
            while requests.waiting:
                await asyncio.sleep(0.001)
        assert not work.done()
        work.cancel()
    monkeypatch.setattr(sys, "stderr", Full())
    log_as_json(requests=True)
    asyncio.run(steps())
