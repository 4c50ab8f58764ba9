"""The elements that all screens share; their look is page.css. Data reach the browser as text, never as HTML."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from musicrec.page import texts

CSS = Path(__file__).with_name("page.css")


def box(kind: str, tag: str = "div") -> ui.element:
    """An element to put others into."""
    return ui.element(tag).classes(kind)


def text(value: object, kind: str = "", tag: str = "span") -> TextElement:
    """`value` as text, whatever it holds; its direction follows its first letter."""
    return TextElement(tag=tag, text=str(value)).classes(f"m-name {kind}").props("dir=auto")


def link(value: object, path: str, **query: object) -> ui.link:
    """`value` as a link to a screen."""
    return ui.link(str(value), address(path, **query)).classes("m-link m-name").props("dir=auto")


def address(path: str, **query: object) -> str:
    """The address of a screen."""
    return f"{path}?{urlencode(query)}" if query else path


async def go(path: str, **query: object) -> None:
    """Show a screen; the one that is shown is drawn anew."""
    router, there = ui.context.client.sub_pages_router, address(path, **query)
    if router.current_path == there:
        await router.refresh()
    else:
        ui.navigate.to(there)


def card(title: str) -> ui.element:
    """A box with a heading; use it as a context."""
    found = box("m-card", "section")
    with found:
        text(title, tag="h2")
    return found


def icon(kind: str, name: str, then: Callable[[], object]) -> None:
    """A button of one of texts.ACTIONS for a track: plain, because a list has many, and those of Quasar take long to make."""
    shape, label = texts.ACTIONS[kind]
    button = TextElement(tag="button", text=shape).classes("m-icon q-icon material-icons notranslate").on("click", lambda: then())
    button.props["aria-label"] = button.props["title"] = f"{label}: {name}"


def bars(label: str, counts: Iterable[tuple[str, float]]) -> None:
    """One bar for each count: its name, its length as a share of the longest, and the number."""
    rows = list(counts)
    text(label, tag="h3")
    with box("m-bars"):
        for name, value in rows:
            text(name)
            interval(0, value / max(value for _, value in rows))
            text(f"{value:,.0f}", "m-quiet")


def parts(values: Iterable[tuple[str, float]], most: float) -> None:
    """A small bar for each name and value, to the right of its middle where the value is positive; `most` fills a half."""
    with box("m-parts"):
        for name, value in values:
            low, high = sorted((0.5, 0.5 + value / most / 2))
            part = text(f"{texts.PARTS.get(name, name.replace('_', ' '))} {value:+.2f}", "m-part")
            part.style(f"--low: {low:.2%}; --high: {high:.2%}")


def interval(low: float, high: float, *, centred: bool = False) -> None:
    """A bar from `low` to `high`, as shares of its width; centred: with a mark in the middle."""
    box("m-track m-centred" if centred else "m-track").style(f"--low: {low:.2%}; --high: {max(high, low + 0.006):.2%}")


def months(label: str, counts: Mapping[str, int]) -> None:
    """One column a month, such as 2022-05, from the first to the last."""
    places = [12 * int(month[:4]) + int(month[5:]) - 1 for month in counts]
    names = [f"{at // 12}-{at % 12 + 1:02d}" for at in range(min(places), max(places) + 1)] if places else []
    with box("m-columns").props(f'role=img aria-label="{label}"'):
        for name in names:
            column = box("").style(f"height: {counts.get(name, 0) / max(counts.values()):.1%}")
            column.props["title"] = f"{name}: {counts.get(name, 0):,}"
    with box("m-row m-quiet").style("justify-content: space-between"):
        for name in names[:1] + names[1:][-1:]:
            text(f"{name}: {counts[name]:,}")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], strong: int | None = None) -> None:
    """A table of texts and numbers; a cell that is a function draws itself."""
    with box("m-scroll").props("tabindex=0"), box("m-table", "table"):
        with box("", "thead"), box("", "tr"):
            for name in head:
                text(name, tag="th" if name else "td")
        with box("", "tbody"):
            for place, row in enumerate(rows):
                with box("m-strong" if place == strong else "", "tr"):
                    for cell in row:
                        if callable(cell):
                            with box("m-name", "td"):
                                cell()
                        else:
                            text(cell, "m-wrap" if len(str(cell)) > 40 else "", "td")


def paged(rows: list[dict[str, Any]], heads: Mapping[str, str]) -> None:
    """A table of many rows, which the browser shows a page at a time; heads: by name of the column."""
    columns = [{"name": name, "field": name, "label": label, "align": "left", "sortable": True} for name, label in heads.items()]
    ui.table(rows=rows, columns=columns, pagination=15).props("flat dense wrap-cells")


def records(rows: Sequence[Mapping[str, Any]], names: Sequence[str], strong: int | None = None) -> None:
    """Those columns of records as a table, headed by their names."""
    table(heads(names), [[shown(row, name) for name in names] for row in rows], strong)


def heads(names: Iterable[str]) -> list[str]:
    """What the columns of records are called."""
    return [texts.HEADS[name] if name else "" for name in names]


def shown(row: Mapping[str, Any], name: str) -> str:
    """A value as a person reads it, with its 95 % interval where the record has one.

    >>> shown({"ndcg@10": 0.25, "ndcg@10_low": 0.2, "ndcg@10_high": 0.3}, "ndcg@10"), shown({"users": 1500}, "users"), shown({}, "users")
    ('0.2500 [0.2000, 0.3000]', '1,500', '')
    """
    value, low, high = row.get(name), row.get(f"{name}_low"), row.get(f"{name}_high")
    if isinstance(value, float) and not (value.is_integer() and low is None):
        return f"{value:.{2 if name.endswith(('seconds', '_gb')) else 4}f}" + ("" if low is None else f" [{low:.4f}, {high:.4f}]")
    return "" if value is None else f"{value:,.0f}" if isinstance(value, int | float) else str(value)
