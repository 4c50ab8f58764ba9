"""The screen of a radio: a queue that begins with a track or an artist and goes on with what is similar to the plays."""

from collections.abc import Callable, Sequence
from functools import partial

from nicegui import ui

from musicrec.errors import ServiceError
from musicrec.page import style, texts
from musicrec.page.site import Asked, Site
from musicrec.serving.playlists import PlaylistTrack, jspf, m3u
from musicrec.serving.stations import playlist_tracks

K, _QUEUE, _SEEDS = 20, 20, 5


async def show(site: Site, asked: Asked) -> None:
    """The radio of a track or an artist, or the search for one."""
    style.text(texts.RADIO_HINT, "m-quiet", "p")
    with style.box("m-gap"):
        site.search("/radio")
    if seeds := [item_id] if (item_id := asked.id("item")) >= 0 else site.run.items_of(asked.id("artist"), _SEEDS):
        with style.card(texts.QUEUE):
            await _Radio(site, seeds).show()


class _Radio:
    """A queue; what was played or skipped does not come back."""

    def __init__(self, site: Site, seeds: list[int]) -> None:
        self.site, self.queue, self.gone, self.like = site, seeds, set[int](), seeds

    @ui.refreshable_method
    async def show(self) -> None:
        """The queue, filled up with what is similar to the latest plays, and its exports."""
        try:
            await self._fill()
        except ServiceError as cause:
            style.text(cause, "m-bad", "p")
        for place, item_id in enumerate(self.queue, 1):
            with style.box("m-line"):
                style.text(place, "m-quiet")
                with style.box(""):
                    self.site.track(item_id)
                with style.box("m-actions"):
                    for kind in ("play", "skip"):
                        style.icon(kind, self.site.name(item_id), partial(self._act, kind, item_id))
        with style.box("m-row"):
            for label, write, file in ((texts.M3U, m3u, "radio.m3u8"), (texts.JSPF, jspf, "radio.jspf")):
                ui.button(label, on_click=partial(self._download, write, file)).props("flat dense no-caps")

    async def _fill(self) -> None:
        items = self.site.run.lookup.items
        keys = [items.key_of(item_id) for item_id in self.like]
        found = (await self.site.services.ask("features", "/similar_items/batch", item_ids=keys, k=K))["similar"]
        for _, item_id in sorted(((score, items.id_of(item)) for one in found for item, score in zip(one["item_id_2"], one["score"])),
                                 reverse=True):
            if len(self.queue) < _QUEUE and item_id not in {*self.gone, *self.queue}:
                self.queue.append(item_id)

    async def _act(self, kind: str, item_id: int) -> None:
        """A play leads on to what is similar to it; a skip only leaves."""
        self.gone.add(item_id)
        self.queue.remove(item_id)
        if kind == "play":
            self.like, self.queue = [item_id], self.queue[:_QUEUE // 4]
        await self.show.refresh()

    def _download(self, write: Callable[[str, Sequence[PlaylistTrack]], bytes], file: str) -> None:
        tracks = playlist_tracks(self.site.run.lookup, self.queue, True, f"{self.site.services.urls['recommendations']}/")
        ui.download.content(write(texts.RADIO, tracks), file)
