"""The screen of one listener: history and taste, what is served now beside each list, and plays that change it."""

import asyncio
from collections import Counter
from functools import partial
from typing import Any

from markupsafe import Markup
from nicegui import ui

from musicrec.errors import ServiceError
from musicrec.page import style, texts
from musicrec.page.names import TRACK, Hit
from musicrec.page.site import Asked, Site
from musicrec.serving.keys import Key

K, _BARS, _HISTORY = 10, 8, 1000


async def show(site: Site, asked: Asked) -> None:
    """The screen of the user with the key in the address; only the choice of one without."""
    user = asked.query.get("user", "")
    _choice(site, user)
    if not user.strip():
        style.text(texts.NO_USER, "m-quiet")
        return
    key = site.run.key(user)
    user_id = site.run.lookup.users.id_of(key)
    history = asyncio.create_task(asyncio.to_thread(site.run.history, user_id))
    lists, explained = await asyncio.gather(asyncio.to_thread(site.run.lists, user_id, K),
                                            asyncio.to_thread(site.run.contributions, user_id))
    listener = _Listener(site, key, lists, explained, asked.read_only)
    with style.box("m-cards m-gap"):
        with style.box(""):
            with style.card(texts.SERVED):
                await listener.served()
            await asked.show()
            plays = await history
            if not plays and not asked.read_only:
                with style.card(texts.START):
                    style.text(texts.START_HINT, "m-quiet")
                    site.search(listener.started)
        with style.box(""):
            with style.card(texts.WHO.format(key=key)):
                _taste(site, plays)
            if plays:
                with style.card(texts.HISTORY):
                    _history(site, plays)
    with style.card(texts.LISTS):
        listener.lists()


def _choice(site: Site, user: str) -> None:
    async def go(key: object) -> None:
        await style.go("/", user=key)
    with style.box("m-row m-gap"):
        key = ui.input(texts.USER, value=user).props("outlined dense")
        key.on("keydown.enter", lambda: go(key.value))
        ui.button(texts.SHOW, on_click=lambda: go(key.value)).props("outline no-caps")
        for segment in site.run.segments:
            pick = ui.button(texts.PICK[segment], on_click=lambda segment=segment: go(site.run.random_user(segment)))
            pick.props("outline no-caps").tooltip(texts.PICK_HINT.format(*site.run.segments[segment]))


class _Listener:
    """What changes on the screen when the listener plays."""

    def __init__(self, site: Site, key: Key, lists: Any, explained: Any, read_only: bool) -> None:
        self.site, self.key, self._lists, self.explained, self.read_only, self._now = site, key, lists, explained, read_only, list[int]()

    @ui.refreshable_method
    async def served(self) -> None:
        """The list that is served, each track with its reason and what one can do with it."""
        services, id_of = self.site.services, self.site.run.lookup.items.id_of
        try:
            answer, played = await asyncio.gather(
                services.ask("recommendations", "/recommendations", user_id=self.key, k=K, verbose=True),
                services.ask("events", "/get", user_id=self.key, k=K))
        except ServiceError as cause:
            style.text(cause, "m-bad")
            return
        for sentence in answer.get("degraded", ()):
            style.text(sentence, "m-bad", "p")
        if played["events"]:
            style.text(texts.LATEST + ", ".join(self.site.name(id_of(item)) for item in played["events"]), "m-quiet", "p")
        style.text(texts.EXPLAINED if self.explained else texts.NOT_EXPLAINED, "m-quiet", "p")
        most = max((abs(value) for values in self.explained.values() for _, value in values), default=0) or 1
        before, self._now = self._now, [id_of(item["item_id"]) for item in answer["items"]]
        for place, (item_id, item) in enumerate(zip(self._now, answer["items"]), 1):
            with style.box("m-line"):
                style.text(place, "m-quiet")
                with style.box(""):
                    style.html(self.site.track(item_id))
                    style.text(item["reason"], "m-quiet", "div")
                    if item_id in self.explained:
                        style.parts(self.explained[item_id], most)
                with style.box("m-actions"):
                    if before and item_id not in before:
                        style.text(texts.NEW, "m-bad")
                    for kind in () if self.read_only else texts.ACTIONS:
                        style.icon(kind, self.site.name(item_id), partial(self.act, kind, item_id))
        if before:
            self.lists.refresh()

    async def act(self, kind: str, item_id: int) -> None:
        """Tell the events service, and show what is served then."""
        try:
            await self.site.services.put(self.key, self.site.run.lookup.items.key_of(item_id), kind)
        except ServiceError as cause:
            ui.notify(str(cause), type="warning")
            return
        ui.notify(f"{texts.ACTIONS[kind][1]}: {self.site.name(item_id)}")
        await self.served.refresh()

    async def started(self, hit: Hit) -> None:
        """Begin the history of an empty user with a track, or with the most popular one of an artist."""
        for item_id in [hit.id] if hit.kind == TRACK else self.site.run.items_of(hit.id, 1):
            await self.act("play", item_id)

    @ui.refreshable_method
    def lists(self) -> None:
        """The lists side by side; what is served now is bold."""
        style.text(texts.LISTS_HINT, "m-quiet")
        with style.box("m-lists"):
            for name, items in self._lists.items():
                with style.box(""):
                    style.text(texts.LIST_NAMES.get(name, name), tag="h3")
                    style.html(style.joined(
                        Markup('<li class="{}">{}</li>').format("m-strong" if item_id in self._now else "",
                                                                style.link(self.site.title(item_id), "/track", item=item_id))
                        for item_id in items.tolist()), tag="ol")


def _taste(site: Site, plays: list[dict[str, Any]]) -> None:
    if not plays:
        style.text(texts.NO_PLAYS, "m-quiet")
        return
    counts, genres, artists = Counter(play["item_id"] for play in plays), Counter[str](), Counter[str]()
    first, last = plays[-1]["started_at"], plays[0]["started_at"]
    style.text(texts.PLAYED.format(plays=len(plays), tracks=len(counts), first=first, last=last), "m-quiet")
    for item_id, count in counts.items():
        item = site.run.lookup.catalog.item(item_id)
        genres.update(dict.fromkeys(item.genres, count))
        artists.update(dict.fromkeys(item.artists, count))
    style.bars(texts.BY_GENRE, genres.most_common(_BARS))
    style.bars(texts.BY_ARTIST, artists.most_common(_BARS))
    style.text(texts.BY_MONTH, tag="h3")
    style.months(texts.BY_MONTH, Counter(f"{play['started_at']:%Y-%m}" for play in plays))


def _history(site: Site, plays: list[dict[str, Any]]) -> None:
    names = [name for name in texts.HISTORY_HEAD if name == "track" or name in plays[0]]
    rows = [{**play, "track": site.title(play["item_id"]), "started_at": f"{play['started_at']:%Y-%m-%d %H:%M}"}
            for play in plays[:_HISTORY]]
    style.paged(rows, {name: texts.HISTORY_HEAD[name] for name in names})
