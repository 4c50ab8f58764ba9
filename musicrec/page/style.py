"""The elements that all screens share; their look is page.css. Data reach the browser as text: markupsafe escapes what HTML is made of."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
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


def html(content: Markup, kind: str = "", tag: str = "div") -> None:
    """One element for many that never change, each of which would cost the server and the browser a tenth of a millisecond."""
    ui.html(content, sanitize=False, tag=tag).classes(kind)


def link(value: object, path: str, **query: object) -> Markup:
    """`value` as a link to a screen, as a part of other HTML."""
    return Markup('<a class="m-link m-name" dir="auto" href="{}">{}</a>').format(address(path, **query), str(value))


def joined(parts: Iterable[Markup], between: str = "") -> Markup:
    """The parts one after the other."""
    return Markup(between).join(parts)


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


def hit(label: str, then: Callable[[], object]) -> None:
    """A line to choose below a search, as plain as an icon."""
    TextElement(tag="button", text=label).classes("m-hit").props("dir=auto").on("click", lambda: then())


def bars(label: str, counts: Iterable[tuple[str, float]]) -> None:
    """One bar for each count: its name, its length as a share of the longest, and the number."""
    rows = list(counts)
    most = max((value for _, value in rows), default=0)
    row = Markup('<span class="m-name" dir="auto">{}</span>{}<span class="m-quiet">{:,.0f}</span>')
    text(label, tag="h3")
    html(joined(row.format(name, interval(0, value / most), value) for name, value in rows), "m-bars")


def parts(values: Iterable[tuple[str, float]], most: float) -> None:
    """A small bar for each name and value, to the right of its middle where the value is positive; `most` fills a half."""
    part = Markup('<span class="m-name m-part" dir="auto" style="--low: {:.2%}; --high: {:.2%}">{} {:+.2f}</span>')
    html(joined(part.format(*sorted((0.5, 0.5 + value / most / 2)), texts.PARTS.get(name, name.replace("_", " ")), value)
                for name, value in values), "m-parts")


def interval(low: float, high: float, *, centred: bool = False) -> Markup:
    """A bar from `low` to `high`, as shares of its width, as a part of other HTML; centred: with a mark in the middle."""
    bar = Markup('<div class="m-track {}" style="--low: {:.2%}; --high: {:.2%}"></div>')
    return bar.format("m-centred" if centred else "", low, max(high, low + 0.006))


def months(label: str, counts: Mapping[str, int]) -> None:
    """One column a month, such as 2022-05, from the first to the last."""
    places = [12 * int(month[:4]) + int(month[5:]) - 1 for month in counts]
    names = [f"{at // 12}-{at % 12 + 1:02d}" for at in range(min(places), max(places) + 1)] if places else []
    column, most = Markup('<div style="height: {:.1%}" title="{}: {:,}"></div>'), max(counts.values(), default=0)
    with box("").props(f'role=img aria-label="{label}"'):
        html(joined(column.format(counts.get(name, 0) / most, name, counts.get(name, 0)) for name in names), "m-columns")
    with box("m-row m-quiet").style("justify-content: space-between"):
        for name in names[:1] + names[1:][-1:]:
            text(f"{name}: {counts[name]:,}")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], strong: int | None = None) -> None:
    """A table of texts, numbers, links and intervals."""
    names = joined(Markup('<{0} class="m-name" dir="auto">{1}</{0}>').format("th" if name else "td", name) for name in head)
    body = joined(Markup('<tr class="{}">{}</tr>').format("m-strong" if place == strong else "", joined(map(_cell, row)))
                  for place, row in enumerate(rows))
    with box("m-scroll").props("tabindex=0"):
        html(Markup("<thead><tr>{}</tr></thead><tbody>{}</tbody>").format(names, body), "m-table", "table")


def _cell(value: object) -> Markup:
    if isinstance(value, Markup):
        return Markup('<td class="m-name">{}</td>').format(value)
    return Markup('<td class="m-name {}" dir="auto">{}</td>').format("m-wrap" if len(str(value)) > 40 else "", str(value))


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
