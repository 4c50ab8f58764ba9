"""The short way of a request to its endpoint: FastAPI documents the routes, and is passed by where the path alone says which is meant.

Its router, exit stacks and middlewares were more than half of what a put cost.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from musicrec.serving.gate import route_path
from musicrec.serving.responses import failed

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class PlainRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response: FastAPI documents it, and adds nothing at run time."""

    def get_route_handler(self) -> Endpoint:
        """The endpoint itself."""
        endpoint: Endpoint = self.endpoint
        return endpoint


class Direct:
    """ASGI app: a path without parameters goes straight to its endpoint, everything else (docs, wrong methods) to `app`."""

    def __init__(self, app: ASGIApp, routes: dict[tuple[str, str], PlainRoute]) -> None:
        self.app, self.routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a failure becomes an answer as well."""
        route = self.routes.get((scope["method"], route_path(scope))) if scope["type"] == "http" else None
        if route is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await route.endpoint(request)
        except Exception as cause:
            response = failed(request, cause)
        await response(scope, receive, send)


class Service(FastAPI):
    """A FastAPI app whose requests come in through `guarded`: middlewares around the short way, and around FastAPI behind it."""

    def __init__(self, guarded: Callable[[ASGIApp], ASGIApp], **described: Any) -> None:
        super().__init__(**described)
        self.router.route_class = PlainRoute
        self._direct: dict[tuple[str, str], PlainRoute] = {}
        self._entrance = guarded(Direct(super().__call__, self._direct))

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **described: Any) -> None:
        """As FastAPI's own; a path without parameters also gets the short way."""
        super().add_api_route(path, endpoint, **described)
        route = self.router.routes[-1]
        if isinstance(route, PlainRoute) and "{" not in path:
            self._direct |= {(method, path): route for method in route.methods or ()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request in."""
        await self._entrance(scope, receive, send)
