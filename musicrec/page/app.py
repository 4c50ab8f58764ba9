"""The page as an app for uvicorn, in a process of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.types import ASGIApp

from musicrec.page import health, listener, radio, runs, texts, track
from musicrec.page.access import READ_ONLY, BasicAuth
from musicrec.page.published import Published
from musicrec.page.services import Services
from musicrec.page.site import Site
from musicrec.serving.app import background
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch
from musicrec.serving.recommendations import PARTS
from musicrec.settings import Settings
from musicrec.storage import storage

_POLL_S = 10.0


def create_app(settings: Settings, environment: Mapping[str, str]) -> ASGIApp:
    """The app over the current run. `environment` holds the S3 secrets.

    Raises ArtifactError while nothing is published, StorageError when the storage does not answer.
    """
    artifacts = settings.artifacts
    place = storage(artifacts.location, environment)
    store: ModelStore[Published] = ModelStore(artifacts, environment, PARTS,
                                              lambda run_id, folders: Published.opened(place, artifacts.cache_folder, run_id, folders))
    store.refresh()
    site = Site(settings, place, store, Watch(store, Metrics("page")))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        site.services = Services(settings)
        async with background(site.watch.look_for_ever(settings.service.poll_s or _POLL_S)), background(site.follow_names()):
            yield
        await site.services.http.close()

    _add_screens(site)
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    ui.run_with(app, title=texts.TITLE, dark=None, tailwind=False, show_welcome_message=False, storage_secret=None, favicon="🎵")
    return BasicAuth(app, settings.service)


def _add_screens(site: Site) -> None:
    @ui.page("/")
    async def _listener(request: Request, user: str = "") -> None:
        with site.frame("/", read_only := _read_only(request)):
            await listener.show(site, user, read_only)

    @ui.page("/track")
    async def _track(request: Request, item: int = -1, artist: int = -1) -> None:
        with site.frame("/track", _read_only(request)):
            await track.show(site, item, artist)

    @ui.page("/radio")
    async def _radio(request: Request, item: int = -1, artist: int = -1) -> None:
        with site.frame("/radio", _read_only(request)):
            await radio.show(site, item, artist)

    @ui.page("/runs")
    async def _runs(request: Request, run: str = "") -> None:
        with site.frame("/runs", _read_only(request)):
            await runs.show(site, run)

    @ui.page("/health")
    async def _health(request: Request) -> None:
        with site.frame("/health", _read_only(request)):
            await health.show(site)


def _read_only(request: Request) -> bool:
    return bool(request.scope.get(READ_ONLY))
