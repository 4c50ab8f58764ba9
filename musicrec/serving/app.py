"""What the three services have in common: how operations become routes, health routes, middlewares, plain start-up messages."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicrec.errors import ExcludedUserError, MisdirectedError, MusicRecError
from musicrec.serving.access_control import HEALTH, Auth, RateLimiting, TooManyRequestsError, too_many
from musicrec.serving.access_log import AccessLog, RequestsLog, failure, log, log_as_json
from musicrec.serving.descriptors import raise_descriptor_limit
from musicrec.serving.metrics import CONTENT_TYPE, Metrics
from musicrec.serving.parameters import documented
from musicrec.serving.schemas import Failure, Health, Parameters, Refusal
from musicrec.settings.sections import ServiceSettings

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


class Readiness(NamedTuple):
    """Why a service cannot answer now, and what it lacks although it answers."""

    problem: str | None = None
    degraded: str | None = None


@dataclass(frozen=True)
class Operation:
    """What a service does at a path: the endpoint, its parameters and answer, the methods, and the parameters that stand in the path.

    A `hot` one is itself the ASGI app of a Starlette route, which costs a request a fraction of what FastAPI's own routes do. One that
    `writes` may answer 403, and is not for the key that is for reading. `media` are the types of its answers beside JSON.
    """

    path: str
    endpoint: Callable[[Request], Coroutine[Any, Any, Response]]
    request_model: type[Parameters]
    response_model: type[BaseModel]
    methods: tuple[str, ...] = ("POST", "GET")
    in_path: tuple[str, ...] = ()
    hot: bool = False
    writes: bool = False
    media: tuple[str, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    def add_to(self, router: APIRouter) -> None:
        """Add it to a router of FastAPI, once a method, documented."""
        answer = {"model": self.response_model, "content": {kind: {} for kind in self.media}}
        responses: dict[int | str, dict[str, Any]] = {200: answer, 422: {"model": Refusal}}
        responses |= {status: {"model": Failure} for status in (401, *((403,) if self.writes else ()), 429, 503)}
        for method in self.methods:
            extra = documented(method, self.request_model, self.in_path)
            router.add_api_route(self.path, self.endpoint, methods=[method], response_model=None, responses=responses,
                                 openapi_extra=extra, generate_unique_id_function=_operation_id)


class Json(JSONResponse):
    """A JSON response of pydantic's encoder, several times faster than Python's; bytes are JSON already."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return content if isinstance(content, bytes) else to_json(content)


class PlainStart:
    """ASGI middleware: a start that fails says so in one sentence instead of a traceback, for failures that we raise on purpose."""

    def __init__(self, app: ASGIApp, refusals: list[str]) -> None:
        self.app, self.refusals = app, refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, with the message of a failed start replaced."""
        async def send_plainly(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and self.refusals:
                message = {**message, "message": self.refusals[-1]}
            await send(message)

        await self.app(scope, receive, send_plainly if scope["type"] == "lifespan" else send)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` until the block ends, then cancel it and wait for its end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def application(metrics: Metrics, description: str, options: ServiceSettings, operations: Sequence[Operation], lifespan: Lifespan,
                state: Callable[[], Mapping[str, Any]], readiness: Callable[[], Awaitable[Readiness]],
                routers: Sequence[APIRouter] = ()) -> Starlette:
    """An app with these operations, health routes, metrics, access log, auth, rate limiting and one-sentence start-up failures.

    `state` gives what /stats shows beside the counts of requests, `readiness` what /ready answers, `routers` further routes of FastAPI.
    Hot operations are routes of Starlette; what is not one of them goes on to a FastAPI app, whose documentation has all of them.
    """
    refusals: list[str] = []
    requests = RequestsLog()
    log_as_json(options.log_requests)

    @asynccontextmanager
    async def plain(app: Starlette) -> AsyncIterator[None]:
        raise_descriptor_limit()
        try:
            async with lifespan(app), background(requests.write_regularly()), background(metrics.settle_regularly()):
                yield
        except MusicRecError as cause:
            refusals.append(str(cause))
            raise
        finally:
            requests.write()

    app = Starlette(routes=[Route(operation.path, operation, methods=operation.methods) for operation in operations if operation.hot],
                    lifespan=plain, exception_handlers=_ANSWERS)
    api = FastAPI(title=f"musicrec {metrics.service}", description=description, version="1", exception_handlers=_ANSWERS,
                  generate_unique_id_function=_operation_id,
                  # Whoever wants spans adds OpenTelemetry's own middleware; FastAPI's would ask the environment at every request.
                  telemetry={"tracing": False, "metrics": False, "logs": False})
    app.router.default = api
    for operation in operations:
        operation.add_to(api.router)
    for router in routers:
        api.include_router(router)
    _add_health(api, metrics, state, readiness)
    app.add_middleware(PlainStart, refusals=refusals)
    # The last one added is the first that a request meets. A browser asks for permission (CORS) without a key.
    if options.rate_limit:
        app.add_middleware(RateLimiting, per_second=options.rate_limit, trusted=options.trusted_addresses)
    if options.api_key:
        reading = frozenset(operation.path for operation in operations if not operation.writes)
        app.add_middleware(Auth, key=options.api_key, read_key=options.read_key, reading=reading)
    if options.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(options.cors_origins), allow_methods=["GET", "POST"], allow_headers=["*"])
    app.add_middleware(AccessLog, metrics=metrics, requests=requests)
    return app


def _operation_id(route: APIRoute) -> str:
    return f"{route.name}_{min(route.methods or {'GET'}).lower()}"


async def _unavailable(request: Request, cause: Exception) -> Response:
    log.error("%s", cause)
    return Json({"detail": str(cause)}, 503)


def _refused(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, cause: Exception) -> Response:
        return Json({"detail": str(cause)}, status)
    return answer


async def _failed(request: Request, cause: Exception) -> Response:
    return failure()


async def _too_many(request: Request, cause: Exception) -> Response:
    assert isinstance(cause, TooManyRequestsError)
    return too_many(cause.limit, cause.client)


_ANSWERS: dict[Any, Any] = {
    HTTPException: http_exception_handler, RequestValidationError: request_validation_exception_handler, ExcludedUserError: _refused(403),
    MisdirectedError: _refused(421), MusicRecError: _unavailable, TooManyRequestsError: _too_many, Exception: _failed}


def _add_health(app: FastAPI, metrics: Metrics, state: Callable[[], Mapping[str, Any]],
                readiness: Callable[[], Awaitable[Readiness]]) -> None:
    name, started = metrics.service, time.time()

    async def health() -> Any:
        return {"service": name, "status": "ok"}

    async def ready() -> Any:
        found = await readiness()
        if found.problem:
            return Json({"detail": found.problem}, 503)
        return {"service": name, "status": "degraded" if found.degraded else "ready", "detail": found.degraded}

    async def stats() -> Any:
        return {"service": name, "uptime_s": round(time.time() - started, 1), "requests": metrics.counts(), **state()}

    async def exposition() -> Any:
        return PlainTextResponse(metrics.exposition(), media_type=CONTENT_TYPE)

    for path, endpoint in (*((path, health) for path in HEALTH), ("/ready", ready)):
        responses: dict[int | str, dict[str, Any]] = {503: {"model": Failure}} if endpoint is ready else {}
        for method in ("GET", "HEAD"):
            app.add_api_route(path, endpoint, methods=[method], response_model=Health, response_model_exclude_none=True,
                              responses=responses, name=path.strip("/") or "root", include_in_schema=method == "GET")
    app.add_api_route("/stats", stats, response_model=dict[str, Any])
    app.add_api_route("/metrics", exposition, response_class=PlainTextResponse, name="metrics")
