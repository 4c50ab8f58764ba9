"""A button for what only the key for administration may do: it asks for the key, and does it after the right one."""

from collections.abc import Awaitable, Callable, Mapping

from nicegui import ui
from starlette.datastructures import Headers

from musicrec.errors import MusicRecError
from musicrec.page import style, texts
from musicrec.page.site import Site
from musicrec.serving.access_control import not_administrator
from musicrec.settings.sections import keys_in


def button(site: Site, label: str, question: str, act: Callable[[Mapping[str, str]], Awaitable[None]]) -> None:
    """The button `label`, or what to set while no key is set; `act` gets the headers for services, and its MusicRecError is told."""
    admin = site.settings.service.reload_key
    if not keys_in(admin):
        style.text(texts.NO_ADMIN.format(what=label), "m-quiet", "p")
        return

    async def confirmed() -> None:
        headers = {"X-Reload-Key": str(key.value)}
        if refusal := not_administrator(Headers(headers), admin):
            ui.notify(refusal, type="warning")
            return
        try:
            await act(headers)
        except MusicRecError as cause:
            ui.notify(str(cause), type="negative")
    with ui.dialog() as dialog, ui.card():
        style.text(question, tag="p")
        key = ui.input(texts.ADMIN_KEY, value="", password=True).props("outlined dense autofocus").on("keydown.enter", confirmed)
        with style.box("m-row"):
            ui.button(label, on_click=confirmed).props("outline no-caps")
            ui.button(texts.CANCEL, on_click=dialog.close).props("flat no-caps")
    ui.button(label, on_click=dialog.open).props("outline no-caps")
