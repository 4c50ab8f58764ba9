"""What all screens share: the run, the services, the names to search, and the frame around a screen."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from markupsafe import Markup
from nicegui import PageArguments, events, ui

from musicrec.page import style, texts
from musicrec.page.names import ARTIST, GENRE, TRACK, Hit, Names
from musicrec.page.published import Published
from musicrec.page.services import Services
from musicrec.registry import Manifest
from musicrec.serving.model_store import ModelStore, Watch
from musicrec.settings import Settings
from musicrec.storage import Storage

# What a screen does not have by then follows over the websocket, which a browser opens last.
_MOST_S = 0.5


@dataclass(frozen=True)
class Asked:
    """What a visitor asks of a screen, and whether nothing may be stored. begun: whether the first part of the screen is there."""

    query: Mapping[str, str]
    read_only: bool
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def id(self, name: str) -> int:
        """The id of that name in the address; -1 without one."""
        text = self.query.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() else -1

    async def show(self) -> None:
        """Let the browser have what is drawn so far while the rest is made."""
        self.begun.set()
        await asyncio.sleep(0.01)


@dataclass
class Site:
    """The page while it runs. names: None until those of the first run are read. reports: the latest of each experiment. manifests: of
    runs, which do not change."""

    settings: Settings
    place: Storage
    store: ModelStore[Published]
    watch: Watch
    services: Services = field(init=False)
    names: Names | None = None
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)

    @property
    def run(self) -> Published:
        """The run that is current."""
        return self.store.mapped

    async def follow_names(self) -> None:
        """Read the names of each run that is taken up."""
        named: Published | None = None
        while True:
            if self.run is not named:
                named = self.run
                self.names = await asyncio.to_thread(Names, named)
            await asyncio.sleep(0.5)

    def name(self, item_id: int) -> str:
        """What a track is called."""
        return self.run.lookup.catalog.item(item_id).name or texts.UNNAMED.format(id=item_id)

    def title(self, item_id: int) -> str:
        """A track and its artists, as text."""
        return " · ".join((self.name(item_id), *self.run.lookup.catalog.item(item_id).artists))

    def track(self, item_id: int) -> Markup:
        """A track and its artists, as links."""
        return style.joined((style.link(self.name(item_id), "/track", item=item_id), *self.artists(item_id)),
                            '<span class="m-quiet"> · </span>')

    def artists(self, item_id: int) -> list[Markup]:
        """The artists of a track, as links."""
        item = self.run.lookup.catalog.item(item_id)
        return [style.link(name, "/track", artist=artist) for artist, name in zip(item.artist_ids, item.artists)]

    def search(self, picked: Callable[[Hit], object] | str, *more: str) -> None:
        """A field that finds tracks, artists and `more` as one types; a button for each hit calls `picked` or goes to that screen."""
        async def go(hit: Hit) -> None:
            await style.go(str(picked), **{"item" if hit.kind == TRACK else hit.kind: hit.id})

        def show(typed: events.ValueChangeEventArguments[str | None]) -> None:
            found = [hit for hit in (self.names.find(typed.value or "") if self.names else []) if hit.kind in (TRACK, ARTIST, *more)]
            hits.clear()
            with hits:
                for hit in found:
                    style.hit(self._label(hit), partial(picked if callable(picked) else go, hit))
                if typed.value and not found:
                    style.text(texts.NO_HIT if self.names else texts.INDEXING, "m-quiet")
        field = ui.input(texts.SEARCH_ALL if more else texts.SEARCH, on_change=show)
        field.props("outlined dense clearable debounce=100").style("width: 100%")
        hits = style.box("").props("aria-live=polite")

    def _label(self, hit: Hit) -> str:
        if hit.kind == GENRE:
            return texts.GENRE.format(name=self.run.genres.get(hit.id, ""))
        return self.title(hit.id) if hit.kind == TRACK else texts.ARTIST.format(name=self.run.artist(hit.id) or "")

    async def frame(self, read_only: bool, draw: Callable[[str, Asked], Awaitable[None]]) -> None:
        """The head with links to all screens, and below it the one in the address as `draw` draws it; its first part is there then."""
        ui.add_css(style.CSS)
        ui.colors(primary="#2f5f93")
        with style.box("m-head", "header"):
            ui.link(texts.SKIP, "#content").classes("m-skip")
            style.text(texts.TITLE, "m-strong")
            with style.box("m-row", "nav"):
                links = {path: ui.link(name, path) for path, name in texts.SCREENS.items()}
            run = style.text("", "m-quiet")

        begun = asyncio.Event()

        async def screen(at: PageArguments) -> None:
            for path, link in links.items():
                if "aria-current" in link.props:
                    link.props(remove="aria-current")
                    ui.run_javascript('document.getElementById("content").focus({preventScroll: true})')
                if path == at.path:
                    link.props("aria-current=page")
            run.set_text(texts.RUN.format(run=self.run.manifest.run_id))
            ui.page_title(f"{texts.SCREENS[at.path]} · {texts.TITLE}")
            style.text(texts.SCREENS[at.path], "m-unseen", "h1")
            if read_only:
                style.text(texts.READ_ONLY, "m-bad", "p")
            try:
                await draw(at.path, Asked(at.query_parameters, read_only, begun))
            finally:
                begun.set()
        with style.box("m-main").props("id=content tabindex=-1"):
            ui.sub_pages(dict.fromkeys(texts.SCREENS, screen))
        with suppress(TimeoutError):
            await asyncio.wait_for(begun.wait(), _MOST_S)
