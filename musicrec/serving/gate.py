"""Who may call, and how often."""

import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr
from pydantic_core import to_json
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

# What a load balancer must be able to ask without a key.
HEALTH = ("/", "/health", "/healthy")
OPEN = frozenset({*HEALTH, "/ready"})
_MOST_CLIENTS = 10_000


@dataclass(frozen=True)
class Guards:
    """Limits of one service: a key that callers must send (empty: none), requests a second from one address (0: any), web origins."""

    api_key: SecretStr
    rate_limit: float
    cors_origins: tuple[str, ...]


class RateLimit:
    """A token bucket per client: `per_second` requests, bursts of twice as many. Remembers the last 10,000 clients, no more.

    >>> limit = RateLimit(1, clock=lambda: 0.0)
    >>> [limit.allows("a") for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self.per_second, self.clock = per_second, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Whether this client may send one more request now."""
        now, burst = self.clock(), max(1.0, 2 * self.per_second)
        left, since = self._left.pop(client, (burst, now))
        left = min(burst, left + (now - since) * self.per_second)
        allowed = left >= 1
        self._left[client] = (left - allowed, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return allowed


class Gate:
    """ASGI middleware: 401 without the key (X-API-Key, or Authorization: Bearer), 429 beyond the rate limit."""

    def __init__(self, app: ASGIApp, guards: Guards, clock: Callable[[], float]) -> None:
        self.app, self.guards = app, guards
        self.limit = RateLimit(guards.rate_limit, clock) if guards.rate_limit else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        if scope["type"] != "http" or route_path(scope) in OPEN:
            await self.app(scope, receive, send)
        elif self.guards.api_key and not has_key(Headers(scope=scope), self.guards.api_key):
            await _no(401, "send the key of this service in the header X-API-Key")(scope, receive, send)
        elif self.limit and not self.limit.allows((scope.get("client") or ("unknown",))[0]):
            await _no(429, f"more than {self.guards.rate_limit:g} requests a second; slow down")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


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
    sent = headers.get(name) or headers.get("authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(sent.encode(), key.get_secret_value().encode())


def _no(status: int, said: str) -> Response:
    headers = {"Retry-After": "1"} if status == 429 else {}
    return Response(to_json({"detail": said}), status, headers, "application/json")
