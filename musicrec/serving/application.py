"""What the three services have in common: failures as HTTP, health routes, plain start-up messages."""

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicrec.errors import MusicRecError
from musicrec.serving.gate import Gate, Guards
from musicrec.serving.metrics import CONTENT_TYPE, Metrics
from musicrec.serving.observed import Observed, log
from musicrec.serving.parameters import Parameter, Refused, documented

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Failure(BaseModel):
    """Why there is no answer."""

    detail: str


class Reason(BaseModel):
    """One parameter that cannot be used."""

    loc: list[str]
    msg: str
    input: str | None


class Refusal(BaseModel):
    """Why the request cannot be answered as asked."""

    detail: list[Reason]


class Health(BaseModel):
    """A service that is up."""

    service: str
    status: str


def answer(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; NaN and infinity become null."""
    return Response(to_json(content), status, headers, "application/json")


class PlainStart:
    """ASGI middleware: a start that fails is said in one sentence instead of a traceback, for failures that we raise on purpose."""

    def __init__(self, app: ASGIApp, said: dict[str, str]) -> None:
        self.app, self.said = app, said

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, with the message of a failed start replaced."""
        async def plainly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and "refusal" in self.said:
                message = {**message, "message": self.said["refusal"]}
            await send(message)
        await self.app(scope, receive, plainly if scope["type"] == "lifespan" else send)


class PlainRoute(APIRoute):
    """A route whose endpoint takes the request and gives the response: FastAPI documents it, and adds nothing at run time."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint itself."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def application(metrics: Metrics, description: str, lifespan: Lifespan, state: Callable[[], Mapping[str, Any]],
                problem: Callable[[], str | None], guards: Guards) -> FastAPI:
    """A FastAPI app with health routes, metrics, request log, guards, failure handlers and one-sentence start-up failures.

    `state` gives what /stats shows beside the counts of requests; `problem` says why the service cannot answer now, or None.
    """
    name = metrics.service
    said: dict[str, str] = {}

    @asynccontextmanager
    async def plain(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with lifespan(app):
                yield
        except MusicRecError as cause:
            said["refusal"] = str(cause)
            raise

    app = FastAPI(title=f"musicrec {name}", description=description, version="1", lifespan=plain,
                  generate_unique_id_function=lambda route: f"{route.name}_{min(route.methods or {'GET'}).lower()}")
    app.router.route_class = PlainRoute
    app.add_middleware(PlainStart, said=said)
    app.add_middleware(Gate, guards=guards, clock=time.monotonic)
    # Outside the gate: a browser asks for permission without the key.
    if guards.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(guards.cors_origins), allow_methods=["GET", "POST"], allow_headers=["*"])
    app.add_middleware(Observed, metrics=metrics)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(MusicRecError, _unavailable)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    _add_health(app, metrics, state, problem)
    return app


def add(app: FastAPI, path: str, endpoint: Callable[..., Any], answers: type[BaseModel], *parameters: Parameter,
        methods: tuple[str, ...] = ("POST", "GET"), in_path: tuple[str, ...] = ()) -> None:
    """Serve `endpoint` at `path`, once per method, documented with what it reads and answers."""
    responses: dict[int | str, dict[str, Any]] = {200: {"model": answers}, 422: {"model": Refusal}}
    responses |= {status: {"model": Failure} for status in (401, 429, 503)}
    for method in methods:
        app.add_api_route(path, endpoint, methods=[method], response_model=None, responses=responses,
                          openapi_extra=documented(method, parameters, in_path))


def _add_health(app: FastAPI, metrics: Metrics, state: Callable[[], Mapping[str, Any]], problem: Callable[[], str | None]) -> None:
    name, started = metrics.service, time.time()

    async def health(request: Request) -> Response:
        return answer({"service": name, "status": "ok"})

    async def ready(request: Request) -> Response:
        wrong = problem()
        return answer({"detail": wrong}, 503) if wrong else answer({"service": name, "status": "ready"})

    async def stats(request: Request) -> Response:
        return answer({"service": name, "uptime_s": round(time.time() - started, 1), "requests": metrics.counts(), **state()})

    async def exposition(request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    for path in ("/", "/health", "/healthy"):
        app.add_api_route(path, health, methods=["GET"], response_model=None, name=f"health{path.strip('/') and '_' + path.strip('/')}",
                          responses={200: {"model": Health}})
    app.add_api_route("/ready", ready, methods=["GET"], response_model=None, responses={200: {"model": Health}, 503: {"model": Failure}})
    app.add_api_route("/stats", stats, methods=["GET"], response_model=None)
    app.add_api_route("/metrics", exposition, methods=["GET"], response_class=PlainTextResponse, name="metrics",
                      responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})


def _refused(request: Request, cause: Exception) -> Response:
    assert isinstance(cause, Refused)
    return answer({"detail": cause.reasons}, 422)


def _unavailable(request: Request, cause: Exception) -> Response:
    log.error("%s", cause)
    return answer({"detail": str(cause)}, 503)


def _http(request: Request, cause: Exception) -> Response:
    assert isinstance(cause, HTTPException)
    return answer({"detail": cause.detail}, cause.status_code, cause.headers)


def _failed(request: Request, cause: Exception) -> Response:
    return answer({"detail": "the service failed; its log says why"}, 500)
