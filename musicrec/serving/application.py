"""What the three services have in common: the way of a request, health routes, plain start-up messages."""

import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from musicrec.errors import MusicRecError
from musicrec.serving.direct import Service
from musicrec.serving.gate import HEALTH, Gate, Guards
from musicrec.serving.logs import RequestLog, to_stderr
from musicrec.serving.metrics import CONTENT_TYPE, Metrics
from musicrec.serving.observed import Observed
from musicrec.serving.parameters import Parameter, documented
from musicrec.serving.readiness import Readiness
from musicrec.serving.responses import FAILURES, Failure, Refusal, answer

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
_SWITCH_S = 0.0005
_YOUNG_OBJECTS = 10_000


class Health(BaseModel):
    """A service that is up; `detail` says what a degraded one lacks."""

    service: str
    status: str
    detail: str | None = None


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


def application(metrics: Metrics, description: str, lifespan: Lifespan, state: Callable[[], Mapping[str, Any]],
                readiness: Callable[[], Awaitable[Readiness]], guards: Guards) -> FastAPI:
    """A FastAPI app with health routes, metrics, request log, guards, failure handlers and one-sentence start-up failures.

    `state` gives what /stats shows beside the counts of requests, `readiness` what /ready answers.
    """
    said: dict[str, str] = {}
    requests = RequestLog(to_stderr)

    @asynccontextmanager
    async def plain(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with lifespan(app), requests.written():
                _settle()
                yield
        except MusicRecError as cause:
            said["refusal"] = str(cause)
            raise

    def guarded(app: ASGIApp) -> ASGIApp:
        app = Gate(PlainStart(app, said), guards, clock=time.monotonic)
        # Outside the gate: a browser asks for permission without the key.
        if guards.cors_origins:
            app = CORSMiddleware(app, allow_origins=list(guards.cors_origins), allow_methods=["GET", "POST"], allow_headers=["*"])
        return Observed(app, metrics, requests)

    app = Service(guarded, title=f"musicrec {metrics.service}", description=description, version="1", lifespan=plain,
                  exception_handlers=FAILURES,
                  generate_unique_id_function=lambda route: f"{route.name}_{min(route.methods or {'GET'}).lower()}")
    _add_health(app, metrics, state, readiness)
    return app


def add(app: FastAPI, path: str, endpoint: Callable[..., Any], answers: type[BaseModel], *parameters: Parameter,
        methods: tuple[str, ...] = ("POST", "GET"), in_path: tuple[str, ...] = ()) -> None:
    """Serve `endpoint` at `path`, once per method, documented with what it reads and answers."""
    responses: dict[int | str, dict[str, Any]] = {200: {"model": answers}, 422: {"model": Refusal}}
    responses |= {status: {"model": Failure} for status in (401, 429, 503)}
    for method in methods:
        app.add_api_route(path, endpoint, methods=[method], response_model=None, responses=responses,
                          openapi_extra=documented(method, parameters, in_path))


def _settle() -> None:
    """What exists at the start stays: later collections pass it by, and so are short. A writing thread gets its turn sooner."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
    sys.setswitchinterval(_SWITCH_S)


def _add_health(app: FastAPI, metrics: Metrics, state: Callable[[], Mapping[str, Any]],
                readiness: Callable[[], Awaitable[Readiness]]) -> None:
    name, started = metrics.service, time.time()

    async def health(request: Request) -> Response:
        return answer({"service": name, "status": "ok"})

    async def ready(request: Request) -> Response:
        found = await readiness()
        if found.problem:
            return answer({"detail": found.problem}, 503)
        return answer({"service": name, "status": "degraded", "detail": found.degraded} if found.degraded else
                      {"service": name, "status": "ready"})

    async def stats(request: Request) -> Response:
        return answer({"service": name, "uptime_s": round(time.time() - started, 1), "requests": metrics.counts(), **state()})

    async def exposition(request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    for path in HEALTH:
        app.add_api_route(path, health, methods=["GET"], response_model=None, name=f"health{path.strip('/') and '_' + path.strip('/')}",
                          responses={200: {"model": Health}})
    app.add_api_route("/ready", ready, methods=["GET"], response_model=None, responses={200: {"model": Health}, 503: {"model": Failure}})
    for path, endpoint in (*((path, health) for path in HEALTH), ("/ready", ready)):
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    app.add_api_route("/stats", stats, methods=["GET"], response_model=None)
    app.add_api_route("/metrics", exposition, methods=["GET"], response_class=PlainTextResponse, name="metrics",
                      responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
