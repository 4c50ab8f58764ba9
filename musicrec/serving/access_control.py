"""Who may call a service, and how often."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# What a load balancer must be able to ask without a key.
HEALTH = ("/", "/health", "/healthy")
OPEN = frozenset({*HEALTH, "/ready"})
_MAX_CLIENTS = 10_000


class Auth:
    """ASGI middleware: 401 without `key` in the header X-API-Key or Authorization: Bearer; health routes need none."""

    def __init__(self, app: ASGIApp, key: SecretStr) -> None:
        self.app, self.key = app, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        if scope["type"] != "http" or route_path(scope) in OPEN or has_key(Headers(scope=scope), self.key):
            await self.app(scope, receive, send)
        else:
            await JSONResponse({"detail": "send the key of this service in the header X-API-Key"}, 401)(scope, receive, send)


class RateLimiting:
    """ASGI middleware: 429 for an address that sends more than `per_second` requests; health routes do not count."""

    def __init__(self, app: ASGIApp, per_second: float) -> None:
        self.app, self.limit = app, RateLimit(per_second, time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        if scope["type"] != "http" or route_path(scope) in OPEN or self.limit.allows((scope.get("client") or ("unknown",))[0]):
            await self.app(scope, receive, send)
        else:
            detail = f"more than {self.limit.per_second:g} requests a second; slow down"
            await JSONResponse({"detail": detail}, 429, {"Retry-After": "1"})(scope, receive, send)


class RateLimit:
    """A token bucket per client: `per_second` requests, bursts of twice as many. Remembers the last 10,000 clients, no more.

    >>> limit = RateLimit(1, clock=lambda: 0.0)
    >>> [limit.allows("a") for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self.per_second, self.clock = per_second, clock
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Whether this client may send one more request now."""
        now, burst = self.clock(), max(1.0, 2 * self.per_second)
        tokens, since = self._tokens.pop(client, (burst, now))
        tokens = min(burst, tokens + (now - since) * self.per_second)
        allowed = tokens >= 1
        self._tokens[client] = (tokens - allowed, now)
        if len(self._tokens) > _MAX_CLIENTS:
            self._tokens.popitem(last=False)
        return allowed


def route_path(scope: Scope) -> str:
    """The path of a request below `--root-path`, which uvicorn puts in front of it.

    >>> route_path({"path": "/music/ready", "root_path": "/music"}), route_path({"path": "/musical", "root_path": "/music"})
    ('/ready', '/musical')
    """
    path: str = scope["path"]
    below = path.removeprefix(scope.get("root_path", ""))
    return below if below.startswith("/") else path


def has_key(headers: Headers, key: SecretStr, name: str = "x-api-key") -> bool:
    """Whether the request carries `key` in the header `name` or as bearer; compared in constant time."""
    given = headers.get(name) or headers.get("authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(given.encode(), key.get_secret_value().encode())
