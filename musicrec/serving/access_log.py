"""Logs as JSON lines on stderr, one for every request, each with the request's id."""

import asyncio
import json
import logging
import random
import re
import sys
import threading
import time
from collections import deque
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicrec.serving.metrics import Metrics

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
log = logging.getLogger("musicrec.serving")
requests_log = logging.getLogger("musicrec.serving.requests")
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, message and request id."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {"time": _text(record.created), "level": record.levelname, "message": record.getMessage(), "request_id": REQUEST_ID.get()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class RequestsLog:
    """Requests that wait to be written together, so that no answer waits for a slow log; of more than `most` the oldest go."""

    def __init__(self, most: int = 50_000) -> None:
        self.waiting: deque[tuple[float, str, str, str, str, int, float]] = deque(maxlen=most)
        self._writing = threading.Lock()

    def write(self) -> None:
        """Log what waits, one JSON object a line; when this returns, what another thread was writing is written too."""
        with self._writing:  # else the process could end between another thread's taking lines and its writing them
            self._write()

    def _write(self) -> None:
        lines = []
        for _ in range(len(self.waiting)):
            at, request_id, service, method, route, status, seconds = self.waiting.popleft()
            # No field holds a character that JSON escapes: methods and routes are those that are served, ids are plain.
            lines.append(f'{{"time": "{_text(at)}", "level": "INFO", "message": "answered", "request_id": "{request_id}", '
                         f'"service": "{service}", "method": "{method}", "route": "{route}", "status": {status}, '
                         f'"ms": {round(seconds * 1000, 2)}}}')
        if lines:
            requests_log.info("\n".join(lines))

    async def write_regularly(self, pause_s: float = 0.1) -> None:
        """Write in a thread every `pause_s` seconds, for ever."""
        while True:
            await asyncio.sleep(pause_s)
            if self.waiting:
                await asyncio.to_thread(self.write)


def log_as_json(requests: bool) -> None:
    """Write our logs to stderr, those of `requests` if wanted, and silence uvicorn's own access log."""
    for logger, formatter in ((log, JsonLines()), (requests_log, logging.Formatter("%(message)s"))):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(formatter)
        logger.handlers, logger.propagate = [handler], False
    requests_log.setLevel(logging.INFO if requests else logging.WARNING)
    uvicorn = logging.getLogger("uvicorn.access")
    uvicorn.handlers, uvicorn.propagate = [], False


class AccessLog:
    """ASGI middleware: a request id, a count and a log line for every request, and status 500 for one that failed.

    A request id that the caller sends in X-Request-Id is kept if it is short and plain.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, requests: RequestsLog) -> None:
        self.app, self.metrics, self.requests = app, metrics, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then count and log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        REQUEST_ID.set(request_id.decode())
        status, ended, began = 0, False, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            else:
                ended = not message.get("more_body")
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                await failure()(scope, receive, send_with_id)
            elif not ended:  # FastAPI raises again what it has answered to the end
                raise
        finally:
            self._answered(scope, status or 500, time.perf_counter() - began)

    def _answered(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.answered(route, status, seconds)
        if requests_log.isEnabledFor(logging.INFO):
            self.requests.waiting.append((time.time(), REQUEST_ID.get(), self.metrics.service, scope["method"], route, status, seconds))


def failure() -> Response:
    """The answer to a request that failed by a fault of ours."""
    return JSONResponse({"detail": "the service failed; its log says why"}, 500)


def _text(seconds: float) -> str:
    return f"{_whole_second(int(seconds))}.{int(seconds % 1 * 1000):03}+00:00"


@lru_cache(2)
def _whole_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _PLAIN_ID.fullmatch(value):
            return bytes(value)
    # It need not be unguessable, only rare, and is made without asking the kernel.
    return b"%016x" % random.getrandbits(64)
