"""Later runs taken up while the service answers: by looking every few seconds, or when asked with POST /reload."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import MusicRecError
from musicrec.serving.background import background
from musicrec.serving.gate import has_key
from musicrec.serving.logs import log
from musicrec.serving.metrics import Metrics
from musicrec.serving.responses import Failure, answer
from musicrec.serving.served import Served


class Reloaded(BaseModel):
    """The run that is served now, and whether this request brought it."""

    run_id: str
    swapped: bool


@contextlib.asynccontextmanager
async def kept_fresh(served: Served[Any], poll_s: float, metrics: Metrics) -> AsyncIterator[None]:
    """Load the current run, raising what it raises; then look for a later one every `poll_s` seconds (0: never) until the block ends."""
    await _refreshed(served, metrics, again=True)
    async with background(_polled(served, poll_s, metrics)) if poll_s else contextlib.nullcontext():
        yield


def add_reload(app: FastAPI, served: Served[Any], key: SecretStr, metrics: Metrics) -> None:
    """Serve POST /reload, which needs `key` in the header X-Reload-Key; without a key set it refuses."""
    async def reload(request: Request) -> Response:
        """Load the current run now. A run that cannot be loaded is refused with 503, and the served one stays."""
        if not key:
            return answer({"detail": "set reload_key in [service] to reload by request"}, 403)
        if not has_key(request.headers, key, "x-reload-key"):
            return answer({"detail": "send the reload key in the header X-Reload-Key"}, 403)
        swapped = await _refreshed(served, metrics, again=True)
        return answer({"run_id": served.run and served.run.run_id, "swapped": swapped})

    app.add_api_route("/reload", reload, methods=["POST"], response_model=None,
                      responses={200: {"model": Reloaded}, 403: {"model": Failure}, 503: {"model": Failure}})


async def _refreshed(served: Served[Any], metrics: Metrics, again: bool) -> bool:
    before = served.refused
    try:
        swapped = await asyncio.to_thread(served.refresh, again)
    except MusicRecError as cause:
        metrics.loads.labels(metrics.service, "refused").inc()
        # At the start there is nothing to go on with: the sentence is said by the start that fails.
        if served.run and (served.refused is None or served.refused != before):
            log.error("run refused: %s", cause)
        raise
    if swapped and served.run:
        metrics.loads.labels(metrics.service, "loaded").inc()
        metrics.published.labels(metrics.service).set(datetime.fromisoformat(served.run.created_at).timestamp())
        log.warning("run %s is served", served.run.run_id)
    return swapped


async def _polled(served: Served[Any], poll_s: float, metrics: Metrics) -> None:
    while True:
        await asyncio.sleep(poll_s)
        with contextlib.suppress(MusicRecError):
            await _refreshed(served, metrics, again=False)
