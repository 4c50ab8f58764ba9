"""Who may call a service, and how often."""

import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from musicrec.serving.client_address import client_address
from musicrec.settings.addresses import Networks
from musicrec.settings.sections import keys_in

# What a load balancer must be able to ask without a key.
HEALTH = ("/", "/health", "/healthy")
OPEN = frozenset({*HEALTH, "/ready"})
_MAX_CLIENTS = 10_000
_LIMIT = "musicrec.rate_limit"


class Auth:
    """ASGI middleware: 401 without one of the keys in the header X-API-Key or Authorization: Bearer; health routes need none.

    One of `read_key` is enough for GET and for POST to the paths `reading`, and answered 403 elsewhere.
    """

    def __init__(self, app: ASGIApp, key: SecretStr, read_key: SecretStr, reading: frozenset[str]) -> None:
        self.app, self.key, self.read_key, self.reading = app, key, read_key, reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        if scope["type"] != "http" or route_path(scope) in OPEN or has_key(headers := Headers(scope=scope), self.key):
            await self.app(scope, receive, send)
        elif not has_key(headers, self.read_key):
            await JSONResponse({"detail": "send the key of this service in the header X-API-Key"}, 401)(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD") or (scope["method"] == "POST" and route_path(scope) in self.reading):
            await self.app(scope, receive, send)
        else:
            await JSONResponse({"detail": "this key is for reading; send the key that may write (api_key)"}, 403)(scope, receive, send)


class RateLimiting:
    """ASGI middleware: 429 for a client that asks for more than `per_second`; health routes and our own machines do not count.

    Our own machines are those in `trusted`, when they do not ask on behalf of somebody else.
    """

    def __init__(self, app: ASGIApp, per_second: float, trusted: Networks) -> None:
        self.app, self.limit, self.trusted = app, RateLimit(per_second, time.monotonic), trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is allowed."""
        client = None if scope["type"] != "http" or route_path(scope) in OPEN else client_address(scope, self.trusted)
        if client is None:
            await self.app(scope, receive, send)
        elif self.limit.allows(client):
            scope[_LIMIT] = self.limit, client
            await self.app(scope, receive, send)
        else:
            await too_many(self.limit, client)(scope, receive, send)


class TooManyRequestsError(Exception):
    """A batch of a client that has used up what it may ask for."""

    def __init__(self, limit: "RateLimit", client: str) -> None:
        super().__init__(client)
        self.limit, self.client = limit, client


def charge(request: Request, batch: int) -> None:
    """Count a batch of `batch` as that many requests; the request itself has been counted as one.

    A batch may be larger than the burst: the client then waits until the rest is paid off. Raises TooManyRequestsError, which answers
    429, for a client that owes something already.
    """
    if _LIMIT in request.scope:
        limit, client = request.scope[_LIMIT]
        if not limit.charges(client, batch - 1):
            raise TooManyRequestsError(limit, client)


def too_many(limit: "RateLimit", client: str) -> Response:
    """The answer 429, with the seconds after which the client may ask again."""
    detail = f"more than {limit.per_second:g} requests a second, where a batch counts as its length; slow down"
    return JSONResponse({"detail": detail}, 429, {"Retry-After": str(limit.wait_s(client))})


class RateLimit:
    """A token bucket per client: `per_second` requests, bursts of twice as many. Remembers the last 10,000 clients, no more.

    >>> limit = RateLimit(1, clock=lambda: 0.0)
    >>> [limit.allows("a") for _ in range(3)], limit.wait_s("a")
    ([True, True, False], 1)
    >>> limit.allows("b"), limit.charges("b", 9), limit.charges("b", 1), limit.wait_s("b")
    (True, True, False, 9)
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self.per_second, self.clock = per_second, clock
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Whether this client may send one more request now; if so it is counted."""
        return self._takes(client, 1, 1)

    def charges(self, client: str, cost: int) -> bool:
        """Count `cost` further requests of a client that owes nothing; returns whether it did. Afterwards it may owe some."""
        return self._takes(client, cost, 0)

    def wait_s(self, client: str) -> int:
        """Whole seconds, at least one, until the client may send the next request."""
        return max(1, math.ceil((1 - self._left(client)) / self.per_second))

    def _takes(self, client: str, cost: int, least: int) -> bool:
        tokens = self._left(client)
        allowed = tokens >= least
        self._tokens[client] = (tokens - cost * allowed, self.clock())
        self._tokens.move_to_end(client)
        if len(self._tokens) > _MAX_CLIENTS:
            self._tokens.popitem(last=False)
        return allowed

    def _left(self, client: str) -> float:
        now, burst = self.clock(), max(1.0, 2 * self.per_second)
        tokens, since = self._tokens.get(client, (burst, now))
        return min(burst, tokens + (now - since) * self.per_second)


def route_path(scope: Scope) -> str:
    """The path of a request below `--root-path`, which uvicorn puts in front of it.

    >>> route_path({"path": "/music/ready", "root_path": "/music"}), route_path({"path": "/musical", "root_path": "/music"})
    ('/ready', '/musical')
    """
    path: str = scope["path"]
    below = path.removeprefix(scope.get("root_path", ""))
    return below if below.startswith("/") else path


def has_key(headers: Headers, keys: SecretStr, name: str = "x-api-key") -> bool:
    """Whether the request carries one of `keys` in the header `name` or as bearer; compared in constant time."""
    given = (headers.get(name) or headers.get("authorization", "").removeprefix("Bearer ")).encode()
    return any(hmac.compare_digest(given, key.encode()) for key in keys_in(keys))


def not_administrator(headers: Headers, keys: SecretStr) -> str | None:
    """Why a request may not administrate: `keys` are not set, or it carries none of them."""
    if not keys_in(keys):
        return "set reload_key in [service], the key for administration, to do this by request"
    return None if has_key(headers, keys, "x-reload-key") else "send the key for administration in the header X-Reload-Key"
