"""The screen of a radio: a queue around a track, an artist or a genre that goes on with what one plays, likes and skips."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from musicrec.errors import ServiceError
from musicrec.page import style, texts
from musicrec.page.names import GENRE
from musicrec.page.site import Asked, Site
from musicrec.serving.playlists import PlaylistTrack, jspf, m3u
from musicrec.serving.stations import playlist_tracks

_QUEUE, _STATIONS = 20, 5


async def show(site: Site, asked: Asked) -> None:
    """The radio of a track, an artist or a genre, or the search for one."""
    style.text(texts.RADIO_HINT, "m-quiet", "p")
    with style.box("m-gap"):
        site.search("/radio", GENRE)
    item_id, artist, genre = (asked.id(name) for name in ("item", "artist", "genre"))
    around: dict[str, list[Any]] = {"track": [site.run.lookup.items.key_of(item_id)] if item_id >= 0 else []}
    around |= {"artist": [name]} if (name := site.run.artist(artist)) is not None else {}
    around |= {"genre": [site.run.genres[genre]]} if genre in site.run.genres else {}
    if any(around.values()):
        radio = _Radio(site, asked, around, [item_id] if item_id >= 0 else [])
        with style.card(texts.QUEUE):
            radio.controls()
            await radio.show()


class _Radio:
    """A queue; what was played or skipped does not come back."""

    def __init__(self, site: Site, asked: Asked, around: dict[str, list[Any]], queue: list[int]) -> None:
        self.site, self.read_only, self.around, self.queue, self.gone = site, asked.read_only, around, queue, set[int]()
        self.user, self.mode, self.difficulty = asked.query.get("user", ""), next(iter(texts.MODES)), next(iter(texts.DIFFICULTIES))
        self._seed = asked.id("seed") if asked.id("seed") >= 0 else secrets.randbelow(1 << 31)

    def controls(self) -> None:
        """Difficulty, and the listener, to whom tracks are new or familiar."""
        async def changed() -> None:
            self.queue = []
            await self.show.refresh()

        def choice(name: str, label: str, options: dict[str, str]) -> None:
            with style.box("m-row").props(f'role=group aria-label="{label}"'):
                style.text(label, "m-quiet")
                one = ui.toggle(options, value=next(iter(options)), on_change=changed).bind_value_to(self, name)
                one.props("no-caps unelevated padding='2px 10px' toggle-color=grey-9")
        with style.box("m-row m-gap"):
            choice("difficulty", texts.DIFFICULTY, texts.DIFFICULTIES)
            ui.input(texts.RADIO_USER, value=self.user, on_change=changed).props("outlined dense debounce=400").bind_value_to(self, "user")
            choice("mode", texts.MODE, texts.MODES)

    @ui.refreshable_method
    async def show(self) -> None:
        """The queue, filled up, and its exports."""
        try:
            await self._fill()
        except ServiceError as cause:
            style.text(cause, "m-bad", "p")
        style.text("" if self.queue else texts.NO_TRACKS, "m-quiet")
        for place, item_id in enumerate(self.queue, 1):
            with style.box("m-line"):
                style.text(place, "m-quiet")
                style.html(self.site.track(item_id))
                with style.box("m-actions"):
                    for kind in ("play", "like", "skip"):
                        style.icon(kind, self.site.name(item_id), partial(self._act, kind, item_id))
        with style.box("m-row"):
            for label, write, file in ((texts.M3U, m3u, "radio.m3u8"), (texts.JSPF, jspf, "radio.jspf")):
                ui.button(label, on_click=partial(self._download, write, file)).props("flat dense no-caps")

    async def _fill(self) -> None:
        run, out = self.site.run, {*self.gone, *self.queue}
        asked: dict[str, Any] = {**self.around, "k": _QUEUE, "seed": self._seed, "difficulty": self.difficulty,
                                 "exclude": [run.lookup.items.key_of(one) for one in out]}
        asked |= {"user_id": run.key(self.user), "mode": self.mode} if self.user.strip() else {}
        found = await self.site.services.ask("recommendations", "/radio", "GET", **asked)
        self.queue = [*self.queue, *map(run.lookup.items.id_of, found["recs"])][:_QUEUE]

    async def _act(self, kind: str, item_id: int) -> None:
        """A play leads on to what is similar to it, a like adds that, and a skip only leaves. All are stored for a listener."""
        key = self.site.run.lookup.items.key_of(item_id)
        if self.user.strip() and not self.read_only:
            try:
                await self.site.services.put(self.site.run.key(self.user), key, kind)
            except ServiceError as cause:
                ui.notify(str(cause), type="warning")
        if kind == "like":
            self.around["track"] = [key, *self.around.get("track", [])][:_STATIONS]
            self.queue = self.queue[:self.queue.index(item_id) + 1]
        else:
            self.gone.add(item_id)
            self.queue.remove(item_id)
        if kind == "play":
            self.around, self.queue = {"track": [key]}, self.queue[:_QUEUE // 4]
        await self.show.refresh()

    def _download(self, write: Callable[[str, Sequence[PlaylistTrack]], bytes], file: str) -> None:
        tracks = playlist_tracks(self.site.run.lookup, self.queue, True, f"{self.site.services.urls['recommendations']}/")
        ui.download.content(write(texts.RADIO, tracks), file)
