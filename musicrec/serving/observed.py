"""A request id, a count and a log line for every request."""

import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicrec.serving.logs import REQUEST_ID, Answered, RequestLog, log
from musicrec.serving.metrics import Metrics

_SAFE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Observed:
    """ASGI middleware around everything else. A request id that the caller sends in X-Request-Id is kept if it is short and plain."""

    def __init__(self, app: ASGIApp, metrics: Metrics, requests: RequestLog) -> None:
        self.app, self.metrics, self.requests = app, metrics, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then count and log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        REQUEST_ID.set(request_id.decode())
        status, began = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id)]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self._answered(scope, status, time.perf_counter() - began)

    def _answered(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.answered(route, status, seconds)
        if log.isEnabledFor(logging.INFO):
            self.requests.waiting.append(Answered(time.time(), REQUEST_ID.get(), self.metrics.service, scope["method"], route, status,
                                                  seconds))


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SAFE.fullmatch(value):
            return bytes(value)
    # It need not be unguessable, only rare, and is made without asking the kernel.
    return b"%016x" % random.getrandbits(64)
