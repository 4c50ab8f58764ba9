"""The run that a service answers from, and its replacement by a later one: every few seconds looked for, or asked with POST /reload."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from fastapi import APIRouter, Depends
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse

from musicrec import registry
from musicrec.errors import ArtifactError, MusicRecError, SchemaError, StorageError
from musicrec.registry import Manifest
from musicrec.serving import cache
from musicrec.serving.access_control import not_administrator
from musicrec.serving.access_log import log
from musicrec.serving.app import Readiness
from musicrec.serving.cache_space import ServedRun
from musicrec.serving.metrics import Metrics
from musicrec.serving.schemas import Failure, Reloaded
from musicrec.settings.sections import ArtifactSettings, bytes_of
from musicrec.storage import Storage, storage

T = TypeVar("T")
_LONGEST_PAUSE_S = 60.0
# A refused run is tried again after so many seconds, then after twice as many, up to the longest.
_RETRY_S, _LONGEST_RETRY_S = 1.0, 600.0


class ModelStore(Generic[T]):
    """Holds the mapped form of one run; `opened` makes it from the run id and the folders of `parts`, ready to answer.

    `environment` holds the secrets of the storage. Readers take `mapped` once per request: a swap in the middle of a request
    changes nothing for it.
    """

    def __init__(self, artifacts: ArtifactSettings, environment: Mapping[str, str], parts: tuple[str, ...],
                 opened: Callable[[str, dict[str, Path]], T]) -> None:
        self.artifacts, self.environment, self.parts, self.opened = artifacts, environment, parts, opened
        self.refused: tuple[str, str] | None = None
        self._refusals, self._retry_at = 0, 0.0
        self._now: tuple[Manifest, T] | None = None
        self._note = ServedRun.of(artifacts.cache_folder, artifacts.location, parts)
        self.restored = False
        self._one_at_a_time = threading.Lock()
        self._place: Storage | None = None

    @property
    def mapped(self) -> T:
        """What `opened` made of the served run. Raises ArtifactError before the first refresh."""
        if self._now is None:
            raise ArtifactError("no run is loaded yet; wait until the service is ready.")
        return self._now[1]

    @property
    def run(self) -> Manifest | None:
        """The manifest of the served run; None before the first refresh."""
        return self._now and self._now[0]

    def refresh(self, again: bool = True) -> bool:
        """Load the current run if it is another than the served one; returns whether it was. Blocks: call it from a thread.

        Raises ArtifactError, SchemaError or StorageError when the run cannot be loaded; the served run then stays, and `refused`
        holds run id and sentence. A run that was refused is tried again at once with `again`, else after a pause that grows: what was in
        the way may have been a full disk or a killed process.
        """
        location = self.artifacts.location
        with self._one_at_a_time:
            run = self._current()
            self.restored = False
            if self._now is not None and self._now[0].run_id == run.run_id:
                self.refused = None
                self._note.touch()
                return False
            same = self.refused is not None and self.refused[0] == run.run_id
            if same and not again and time.monotonic() < self._retry_at:
                return False
            try:
                folders = cache.ready(location, self.environment, run, self.parts, self.artifacts.cache_folder,
                                      bytes_of(self.artifacts.cache_limit))
                self._now = run, self.opened(run.run_id, folders)
            except (ArtifactError, SchemaError) as cause:
                self.refused, self._refusals = (run.run_id, str(cause)), self._refusals + 1 if same else 0
                self._retry_at = time.monotonic() + min(_RETRY_S * 2.0 ** self._refusals, _LONGEST_RETRY_S)
                raise
            self.refused = None
            self._note.write(run)
            return True

    def _current(self) -> Manifest:
        """The manifest of the current run. A client of S3 takes a tenth of a second of the core that answers requests, so it is kept, and
        made anew after a failure, when keys may have changed."""
        place, self._place = self._place or storage(self.artifacts.location, self.environment), None
        run = registry.current(place)
        self._place = place
        return run

    async def named(self, run_id: str) -> T:
        """What `opened` makes of any run, beside the served one; a second call checks and notes it again.

        Raises ArtifactError, SchemaError or StorageError when the run cannot be loaded.
        """
        def load() -> T:
            location = self.artifacts.location
            with self._one_at_a_time:
                run = registry.manifest(storage(location, self.environment), run_id)
                folders = cache.ready(location, self.environment, run, self.parts, self.artifacts.cache_folder,
                                      bytes_of(self.artifacts.cache_limit))
                ServedRun.of(self.artifacts.cache_folder, location, (*self.parts, run_id)).write(run)
                return self.opened(run_id, folders)

        return await _in_daemon_thread(load)

    def restore(self) -> None:
        """Load the run that was loaded last from the same location, from the cache alone. Blocks: call it from a thread.

        Raises ArtifactError when the cache does not hold all of it undamaged.
        """
        with self._one_at_a_time:
            run = self._note.read()
            self._now = run, self.opened(run.run_id, cache.warm(run, self.parts, self.artifacts.cache_folder))
            self.restored = True


class Watch:
    """Looks for later runs. Whatever fails while it looks, the served run stays and the next look comes.

    `problem` says why the current run is not the served one, or cannot be looked up; it is logged when it changes.
    """

    def __init__(self, store: ModelStore[Any], metrics: Metrics) -> None:
        self.store, self.metrics = store, metrics
        self.problem: str | None = None
        self._failures, self._looked_at = 0, time.monotonic()

    async def start(self) -> None:
        """The first look. While the storage does not answer, the run that was served last is taken from the cache; the looks go on.

        Raises what the look raised when there is no such run.
        """
        try:
            await self.look(again=True)
        except StorageError as cause:
            try:
                await _in_daemon_thread(self.store.restore)
            except MusicRecError as reason:
                log.error("the run served last cannot be taken from the cache: %s", reason)
                raise cause from None
            self._taken_up()
            self._tell(str(cause), cause)

    async def look(self, again: bool) -> bool:
        """Take up the current run, as ModelStore.refresh does, and tell what changed."""
        try:
            swapped = await _in_daemon_thread(lambda: self.store.refresh(again))
        except Exception as cause:
            self._failures += 1
            self.metrics.loads.labels(self.metrics.service, "refused" if isinstance(cause, ArtifactError | SchemaError) else "failed").inc()
            # At the start there is nothing to go on with: the sentence is said by the start that fails.
            if self.store.run:
                self._tell(str(cause) if isinstance(cause, MusicRecError) else f"{type(cause).__name__}: {cause}"[:300], cause)
            raise
        finally:
            self._looked_at = time.monotonic()
        self._failures = 0
        self._tell(self.store.refused and self.store.refused[1])
        if swapped:
            self._taken_up()
        return swapped

    async def look_for_ever(self, poll_s: float) -> None:
        """Look every `poll_s` seconds, more rarely after failures in a row; with 0 never."""
        while poll_s:
            await asyncio.sleep(max(poll_s, min(poll_s * 2 ** min(self._failures, 10), _LONGEST_PAUSE_S)))
            # Nothing may end the watch; look has counted and logged what failed.
            with contextlib.suppress(Exception):
                await self.look(again=False)

    async def readiness(self) -> Readiness:
        """Ready with a run; degraded while the current run is another one or unknown."""
        return Readiness(None if self.store.run else "no run is loaded yet", self.problem)

    def state(self) -> dict[str, Any]:
        """For /stats: the served run; the run that was refused and why; what the looks met and when the last one was."""
        run = self.store.run
        return {"run_id": run and run.run_id, "published_at": run and run.created_at, "from_cache": self.store.restored,
                "refused": self.store.refused,
                "watch": {"problem": self.problem, "failures": self._failures, "last_look_s": round(time.monotonic() - self._looked_at, 1)}}

    def _taken_up(self) -> None:
        if self.store.run:
            self.metrics.loads.labels(self.metrics.service, "loaded").inc()
            self.metrics.published.labels(self.metrics.service).set(datetime.fromisoformat(self.store.run.created_at).timestamp())
            log.warning("run %s is served%s", self.store.run.run_id, " from the cache" if self.store.restored else "")

    def _tell(self, problem: str | None, cause: Exception | None = None) -> None:
        if problem and problem != self.problem:
            log.error("the served run stays: %s", problem, exc_info=None if isinstance(cause, MusicRecError) else cause)
        elif self.problem and not problem:
            log.warning("the current run is served again, or can be looked up again")
        self.problem = problem


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """What `work` gives or raises. Unlike asyncio.to_thread, a stop of the process does not wait for it: a storage may hang for minutes."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(give: Callable[[], None]) -> None:
        if not outcome.done():
            give()

    def run() -> None:
        give: Callable[[], None]
        try:
            found = work()
        except BaseException as cause:
            give = partial(outcome.set_exception, cause)
        else:
            give = partial(outcome.set_result, found)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, give)

    threading.Thread(target=run, daemon=True).start()
    return await outcome


def reload_router(watch: Watch, key: SecretStr) -> APIRouter:
    """The route POST /reload, which needs `key` in the header X-Reload-Key; without a key set it refuses."""
    router, header = APIRouter(), Depends(APIKeyHeader(name="X-Reload-Key", description="[service] reload_key", auto_error=False))

    @router.post("/reload", response_model=Reloaded, responses={403: {"model": Failure}, 503: {"model": Failure}}, dependencies=[header])
    async def reload(request: Request) -> Any:
        """Load the current run now. A run that cannot be loaded is refused with 503, and the served one stays."""
        if refusal := not_administrator(request.headers, key):
            return JSONResponse({"detail": refusal}, 403)
        swapped = await watch.look(again=True)
        return {"run_id": watch.store.run and watch.store.run.run_id, "swapped": swapped}
    return router
