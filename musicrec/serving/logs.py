"""Logs as JSON lines on stderr: warnings and errors at once, the lines of requests in batches, so that no answer waits for them."""

import asyncio
import contextlib
import json
import logging
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple

from musicrec.serving.background import background

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
log = logging.getLogger("musicrec.serving")


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, message and request id."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {"time": _text(record.created), "level": record.levelname, "message": record.getMessage(), "request_id": REQUEST_ID.get()}
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


class Answered(NamedTuple):
    """One request that was answered, for the log."""

    at: float
    request_id: str
    service: str
    method: str
    route: str
    status: int
    seconds: float

    def line(self) -> str:
        """As JSON."""
        return json.dumps({"time": _text(self.at), "level": "INFO", "message": "answered", "request_id": self.request_id,
                           "service": self.service, "method": self.method, "route": self.route, "status": self.status,
                           "ms": round(self.seconds * 1000, 2)})


class RequestLog:
    """Requests waiting to be written. When the log is written more slowly than requests come, the oldest of `most` go first."""

    def __init__(self, write: Callable[[str], object], pause_s: float = 0.1, most: int = 50_000) -> None:
        self.write, self.pause_s = write, pause_s
        self.waiting: deque[Answered] = deque(maxlen=most)

    @contextlib.asynccontextmanager
    async def written(self) -> AsyncIterator[None]:
        """Write in the background until the block ends, then write what still waits."""
        try:
            async with background(self._for_ever()):
                yield
        finally:
            self._write_all()

    async def _for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.pause_s)
            if self.waiting:
                await asyncio.to_thread(self._write_all)

    def _write_all(self) -> None:
        lines = [self.waiting.popleft().line() + "\n" for _ in range(len(self.waiting))]
        # A log that cannot be written must not stop the answers.
        with contextlib.suppress(OSError, ValueError):
            self.write("".join(lines))


def to_stderr(text: str) -> None:
    """Write and flush."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
