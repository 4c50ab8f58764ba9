"""Logs as JSON lines on stderr, one for every request, each with the request's id."""

import asyncio
import contextlib
import json
import logging
import random
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicrec.serving.metrics import Metrics

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
log = logging.getLogger("musicrec.serving")
requests_log = logging.getLogger("musicrec.serving.requests")
_PLAIN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, message, request id, and the record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"), "level": record.levelname,
                "message": record.getMessage(), "request_id": REQUEST_ID.get(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class BufferedHandler(logging.StreamHandler[TextIO]):
    """Keeps records until `flush` writes them together, so that no answer waits for a slow log; of more than `most` the oldest go."""

    def __init__(self, stream: TextIO, most: int = 50_000) -> None:
        self._waiting: deque[logging.LogRecord] = deque(maxlen=most)
        super().__init__(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self._waiting.append(record)

    def flush(self) -> None:
        """Write what waits; a log that cannot be written stops no service."""
        lines = [self.format(self._waiting.popleft()) + self.terminator for _ in range(len(self._waiting))]
        with contextlib.suppress(OSError, ValueError):
            self.stream.write("".join(lines))
            self.stream.flush()

    async def flush_regularly(self, pause_s: float = 0.1) -> None:
        """Flush in a thread every `pause_s` seconds, for ever."""
        while True:
            await asyncio.sleep(pause_s)
            if self._waiting:
                await asyncio.to_thread(self.flush)


def log_as_json(requests: bool) -> BufferedHandler:
    """Write our logs to stderr: warnings and errors at once, `requests` (if wanted) whenever the returned handler is flushed.

    uvicorn's own access log is silenced.
    """
    buffered = BufferedHandler(sys.stderr)
    for logger, handler in ((log, logging.StreamHandler(sys.stderr)), (requests_log, buffered)):
        handler.setFormatter(JsonLines())
        logger.handlers, logger.propagate = [handler], False
    requests_log.setLevel(logging.INFO if requests else logging.WARNING)
    uvicorn = logging.getLogger("uvicorn.access")
    uvicorn.handlers, uvicorn.propagate = [], False
    return buffered


class AccessLog:
    """ASGI middleware: a request id, a count and a log line for every request, and status 500 for one that failed.

    A request id that the caller sends in X-Request-Id is kept if it is short and plain. `paths` names the routes of endpoints
    for which the scope holds no route.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Mapping[Any, str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then count and log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        REQUEST_ID.set(request_id.decode())
        status, began = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            await JSONResponse({"detail": "the service failed; its log says why"}, 500)(scope, receive, send_with_id)
        finally:
            self._answered(scope, status or 500, time.perf_counter() - began)

    def _answered(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or self.paths.get(scope.get("endpoint"), "other")
        self.metrics.answered(route, status, seconds)
        if requests_log.isEnabledFor(logging.INFO):
            fields = {"request_id": REQUEST_ID.get(), "service": self.metrics.service, "method": scope["method"], "route": route,
                      "status": status, "ms": round(seconds * 1000, 2)}
            requests_log.info("answered", extra={"fields": fields})


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _PLAIN_ID.fullmatch(value):
            return bytes(value)
    # It need not be unguessable, only rare, and is made without asking the kernel.
    return b"%016x" % random.getrandbits(64)
