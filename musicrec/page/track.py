"""The screen of tracks and artists: names, popularity, similar tracks, plays over time, and for whom a track is recommended."""

import asyncio
from collections.abc import Sequence

from musicrec.page import style, texts
from musicrec.page.site import Asked, Site
from musicrec.serving.arrays import place

K, _TRACKS, _USERS = 10, 50, 12


async def show(site: Site, asked: Asked) -> None:
    """The screen of a track, of an artist, or of the search for one, above the most popular tracks."""
    item_id, artist_id = asked.id("item"), asked.id("artist")
    with style.box("m-gap"):
        site.search("/track")
    if place(site.run.lookup.catalog.item_ids, item_id) >= 0:
        await _show_track(site, item_id, asked)
    elif (name := site.run.artist(artist_id)) is not None:
        with style.card(name):
            style.html(style.link(texts.RADIO, "/radio", artist=artist_id))
            _listened(site, texts.TRACKS_OF, site.run.items_of(artist_id, _TRACKS))
    else:
        with style.card(texts.LIST_NAMES["popular"]):
            _listened(site, texts.TRACK, site.run.lookup.popular[:K].tolist())


def _listened(site: Site, head: str, items: Sequence[int]) -> None:
    style.table((head, texts.LISTENERS), [(site.track(item), f"{site.run.listeners_of(item):,}") for item in items])


async def _show_track(site: Site, item_id: int, asked: Asked) -> None:
    published, genres = site.run, site.run.lookup.catalog.item(item_id).genres
    with style.card(site.name(item_id)):
        with style.box("m-row"):
            style.html(style.joined(site.artists(item_id)), "m-row")
            style.text(", ".join(genres), "m-quiet")
        style.text(texts.POSITION.format(listeners=published.listeners_of(item_id), place=published.position(item_id),
                                         all=len(published.lookup.popular)), "m-quiet", "p")
        style.html(style.link(texts.RADIO, "/radio", item=item_id))
    with style.box("m-cards"):
        with style.card(texts.SIMILAR):
            similar = await asyncio.to_thread(published.similar, item_id)
            rows = [(site.track(one["item_id_2"]), f"{one['score']:.2f}", texts.SOURCES[one.get("source", "")])
                    for one in similar[:K]]
            style.table((texts.TRACK, texts.SIMILARITY, texts.SOURCE), rows)
        with style.card(texts.BY_MONTH):
            style.months(texts.BY_MONTH, await asyncio.to_thread(published.plays_by_month, item_id))
        with style.card(texts.RECOMMENDED_TO):
            await asked.show()
            users = await asyncio.to_thread(published.recommended_to, item_id, K)
            style.text(texts.RECOMMENDED.format(k=K, count=len(users)), "m-quiet", "p")
            keys = map(published.lookup.users.key_of, users[:_USERS].tolist())
            style.html(style.joined(style.link(key, "/", user=key) for key in keys), "m-row")
