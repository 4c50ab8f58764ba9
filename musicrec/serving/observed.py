"""A request id, a count and a log line for every request."""

import json
import logging
import re
import sys
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicrec.serving.metrics import Metrics

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("musicrec.serving")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, message, request id, and the fields given as extra={"fields": ...}."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"), "level": record.levelname,
                "message": record.getMessage(), "request_id": REQUEST_ID.get(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_as_json(level: int) -> None:
    """Write our log to stderr as JSON lines, and silence uvicorn's own access log: every request is in ours already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    log.handlers, log.propagate = [handler], False
    log.setLevel(level)
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False


class Observed:
    """ASGI middleware around everything else. A request id that the caller sends in X-Request-Id is kept if it is short and plain."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then count and log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        token = REQUEST_ID.set(sent if _SAFE.fullmatch(sent) else uuid.uuid4().hex[:16])
        status, began = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = REQUEST_ID.get()
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.answered(route, status, seconds)
            if log.isEnabledFor(logging.INFO):
                fields = {"service": self.metrics.service, "method": scope["method"], "route": route, "status": status,
                          "ms": round(seconds * 1000, 2)}
                log.info("answered", extra={"fields": fields})
            REQUEST_ID.reset(token)
