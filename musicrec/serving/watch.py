"""Later runs taken up while the service answers: by looking every few seconds, or when asked with POST /reload."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, SecretStr
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import ArtifactError, MusicRecError, SchemaError
from musicrec.serving.background import background
from musicrec.serving.gate import has_key
from musicrec.serving.logs import log
from musicrec.serving.metrics import Metrics
from musicrec.serving.readiness import Readiness
from musicrec.serving.responses import Failure, answer
from musicrec.serving.served import Served

_LONGEST_PAUSE_S = 60.0


class Reloaded(BaseModel):
    """The run that is served now, and whether this request brought it."""

    run_id: str
    swapped: bool


class Watch:
    """Looks for later runs. Whatever fails while it looks, the served run stays and the next look comes.

    `problem` says why the current run is not the served one, or cannot be looked up; it is logged when it changes.
    """

    def __init__(self, served: Served[Any], metrics: Metrics) -> None:
        self.served, self.metrics = served, metrics
        self.problem: str | None = None
        self._failures, self._looked_at = 0, time.monotonic()

    @contextlib.asynccontextmanager
    async def kept(self, poll_s: float) -> AsyncIterator[None]:
        """Load the current run, raising what that raises; then look for later ones every `poll_s` seconds (0: never)."""
        await self.look(again=True)
        async with background(self._for_ever(poll_s)) if poll_s else contextlib.nullcontext():
            yield

    async def look(self, again: bool) -> bool:
        """Take up the current run, as Served.refresh does, and say what changed."""
        try:
            swapped = await asyncio.to_thread(self.served.refresh, again)
        except Exception as cause:
            self._failures += 1
            self.metrics.loads.labels(self.metrics.service, "refused" if isinstance(cause, ArtifactError | SchemaError) else "failed").inc()
            # At the start there is nothing to go on with: the sentence is said by the start that fails.
            if self.served.run:
                self._tell(str(cause) if isinstance(cause, MusicRecError) else f"{type(cause).__name__}: {cause}"[:300], cause)
            raise
        finally:
            self._looked_at = time.monotonic()
        self._failures = 0
        self._tell(self.served.refused and self.served.refused[1])
        if swapped and self.served.run:
            self.metrics.loads.labels(self.metrics.service, "loaded").inc()
            self.metrics.published.labels(self.metrics.service).set(datetime.fromisoformat(self.served.run.created_at).timestamp())
            log.warning("run %s is served", self.served.run.run_id)
        return swapped

    async def readiness(self) -> Readiness:
        """Ready with a run; degraded while the current run is another one or unknown."""
        return Readiness(None if self.served.run else "no run is loaded yet", self.problem)

    def state(self) -> dict[str, Any]:
        """For /stats: the run that was refused and why; why the served run may be out of date, since how many looks, and the last one."""
        return {"refused": self.served.refused,
                "watch": {"problem": self.problem, "failures": self._failures, "last_look_s": round(time.monotonic() - self._looked_at, 1)}}

    def _tell(self, problem: str | None, cause: Exception | None = None) -> None:
        if problem and problem != self.problem:
            log.error("the served run stays: %s", problem, exc_info=None if isinstance(cause, MusicRecError) else cause)
        elif self.problem and not problem:
            log.warning("the current run is served again, or can be looked up again")
        self.problem = problem

    async def _for_ever(self, poll_s: float) -> None:
        while True:
            await asyncio.sleep(max(poll_s, min(poll_s * 2 ** min(self._failures, 10), _LONGEST_PAUSE_S)))
            # Nothing may end the watch; look has counted and logged what failed.
            with contextlib.suppress(Exception):
                await self.look(again=False)


def add_reload(app: FastAPI, watch: Watch, key: SecretStr) -> None:
    """Serve POST /reload, which needs `key` in the header X-Reload-Key; without a key set it refuses."""
    async def reload(request: Request) -> Response:
        """Load the current run now. A run that cannot be loaded is refused with 503, and the served one stays."""
        if not key:
            return answer({"detail": "set reload_key in [service] to reload by request"}, 403)
        if not has_key(request.headers, key, "x-reload-key"):
            return answer({"detail": "send the reload key in the header X-Reload-Key"}, 403)
        swapped = await watch.look(again=True)
        return answer({"run_id": watch.served.run and watch.served.run.run_id, "swapped": swapped})

    app.add_api_route("/reload", reload, methods=["POST"], response_model=None,
                      responses={200: {"model": Reloaded}, 403: {"model": Failure}, 503: {"model": Failure}})
