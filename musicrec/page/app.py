"""The page as an app for uvicorn, in a process of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.types import ASGIApp

from musicrec.errors import MusicRecError
from musicrec.page import experiments, health, listener, radio, runs, style, texts, track
from musicrec.page.access import READ_ONLY, BasicAuth
from musicrec.page.published import Published
from musicrec.page.services import Services
from musicrec.page.site import Asked, Site
from musicrec.serving.app import background
from musicrec.serving.metrics import Metrics
from musicrec.serving.model_store import ModelStore, Watch
from musicrec.serving.recommendations import PARTS
from musicrec.settings import Settings
from musicrec.storage import storage

SCREENS = {"/": listener.show, "/track": track.show, "/radio": radio.show, "/runs": runs.show, "/experiments": experiments.show,
           "/health": health.show}
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

    async def page(request: Request) -> None:
        """All screens, so that going from one to another does not load a page anew."""
        async def draw(path: str, asked: Asked) -> None:
            try:
                await SCREENS[path](site, asked)
            except MusicRecError as cause:
                style.text(cause, "m-bad", "p")
        await site.frame(bool(request.scope.get(READ_ONLY)), draw)

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    ui.run_with(app, root=page, title=texts.TITLE, language=texts.LANGUAGE, favicon="🎵", dark=None, tailwind=False,
                show_welcome_message=False)
    return BasicAuth(app, settings.service)
