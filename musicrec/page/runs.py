"""The screen of published runs: what was trained and evaluated on what, how good it is and why it is served, and going back to another."""

import asyncio
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from nicegui import ui

from musicrec import registry
from musicrec.page import administration, style, texts
from musicrec.page.site import Asked, Site
from musicrec.registry import Manifest
from musicrec.registry.difference import changed_lists, settings_difference, top_lists

K = 10
METRICS = ("precision@10", "recall@10", "map@10", "hit_rate@10", "recall@100", "coverage@10", "artist_diversity@10")


async def show(site: Site, asked: Asked) -> None:
    """All runs, and below them the one in the address, or the current one."""
    runs, current = await asyncio.gather(asyncio.to_thread(registry.complete_runs, site.place, site.manifests),
                                         asyncio.to_thread(registry.current_id, site.place))
    at = next((at for wanted in (asked.query.get("run"), current) for at, one in enumerate(runs) if one.run_id == wanted), len(runs) - 1)
    chosen = runs[at]
    with style.card(texts.RUNS):
        style.table(texts.RUNS_HEAD, [_row(one, current) for one in reversed(runs)], strong=len(runs) - 1 - at)
    with style.card(texts.RUN.format(run=chosen.run_id)):
        _why(chosen)
        if chosen.run_id != current:
            _roll_back(site, chosen)
    told, account = chosen.info.metrics, chosen.info.account
    _comparison(told)
    with style.card(texts.DIFFERENCE):
        _difference(site, runs[at - 1] if at else None, chosen)
    with style.card(texts.ACCOUNT):
        for sentence in (*account.get("sentences", ()), *(f"{why}: {count:,}" for why, count in account.get("left_out", {}).items())):
            style.text(sentence, tag="p")
        style.records(account.get("files", ()), ("name", "bytes", "lines", "rows"))
    with style.card(texts.FINDINGS):
        style.records(chosen.info.findings, ("severity", "finding", "count", "action"))
    if told.get("stages"):
        with style.card(texts.STAGES):
            names, rows = ("stage", "seconds", "core_seconds", "peak_gb"), [row for row in told["stages"] if row["seconds"]]
            style.records([row for row in rows if ": " not in row["stage"]], names)
            with ui.expansion(texts.ALL_STAGES).props("dense"):
                style.paged([{name: style.shown(row, name) for name in names} for row in rows], dict(zip(names, style.heads(names))))


def _row(one: Manifest, current: str | None) -> tuple[object, ...]:
    told = one.info.metrics
    return (style.link(one.run_id, "/runs", run=one.run_id), one.created_at[:16].replace("T", " "), told.get("published", ""),
            style.shown(_published(told), "ndcg@10"), told.get("trained_until", "")[:16], texts.CURRENT if one.run_id == current else "")


def _published(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of the published list over warm users; empty where nothing was evaluated."""
    return next((row for row in told.get("warm", ()) if row["model"] == told.get("published")), {})


def _why(chosen: Manifest) -> None:
    told = chosen.info.metrics
    style.text(told.get("reason", texts.NOT_TOLD), tag="p")
    if on := told.get("evaluated_on"):
        style.text(texts.TRAINED.format(until=told.get("trained_until"), users=on["users"], start=on["from"]), tag="p")
    if told.get("promotion"):
        style.text(texts.PROMOTION, tag="h3")
        style.records(told["promotion"], ("list", "users", "ndcg@10", "gain"))


def _comparison(told: Mapping[str, Any]) -> None:
    groups = {key: name for key, name in texts.GROUPS.items() if told.get(key)}
    if not groups:
        return

    @ui.refreshable
    def rows() -> None:
        found = told[str(group.value)]
        most = max((row.get("ndcg@10_high") or row["ndcg@10"] or 0 for row in found), default=0) or 1
        style.table(style.heads(("model", "users", "ndcg@10", "", *METRICS)), [
            (*(style.shown(row, name) for name in ("model", "users", "ndcg@10")), _interval(row, most),
             *(style.shown({name: row.get(name)}, name) for name in METRICS)) for row in found],
            strong=next((at for at, row in enumerate(found) if row["model"] == told["published"]), None))
    with style.card(texts.COMPARISON):
        group = ui.toggle(groups, value=next(iter(groups)), on_change=rows.refresh)
        group.props("no-caps unelevated padding='2px 10px' toggle-color=grey-9")
        rows()
        if told.get("segments"):
            style.text(texts.SEGMENTS, tag="h3")
            style.records([row for row in told["segments"] if row["model"] == told["published"]],
                          ("of", "segment", "meaning", "count", "ndcg@10", "recall@10", "exposure@10"))


def _interval(row: Mapping[str, Any], most: float) -> Markup:
    low, high = ((row.get(f"ndcg@10_{end}") or row["ndcg@10"] or 0) / most for end in ("low", "high"))
    return style.interval(low, high)


def _difference(site: Site, before: Manifest | None, chosen: Manifest) -> None:
    if before is None:
        style.text(texts.NO_RUN_BEFORE, "m-quiet")
        return
    told = [{**_published(one.info.metrics), **one.info.metrics} for one in (before, chosen)]
    style.table(("", before.run_id, chosen.run_id), [
        (texts.HEADS[name], *(style.shown(one, name) for one in told)) for name in (
            "published", "trained_until", "ndcg@10", "recall@10", "coverage@10")])
    for line in settings_difference(before.info.settings, chosen.info.settings):
        style.text(line, "m-quiet", "p")

    async def compare() -> None:
        button.disable()
        place, cache = site.place, site.settings.artifacts.cache_folder
        old, new = [await asyncio.to_thread(top_lists, place, one, K, cache) for one in (before, chosen)]
        found = await asyncio.to_thread(changed_lists, old, new, K)
        with changes:
            style.table(("", ""), [(texts.CHANGED_LISTS[name], told) for name, told in found.items()])
    button = ui.button(texts.COMPARE, on_click=compare).props("outline no-caps")
    changes = style.box("").props("aria-live=polite")


def _roll_back(site: Site, chosen: Manifest) -> None:
    async def act(headers: Mapping[str, str]) -> None:
        await asyncio.to_thread(registry.rollback, site.place, chosen.run_id)
        await site.watch.look(again=True)
        for service in ("recommendations", "features"):
            await site.services.ask(service, "/reload", headers=headers)
        await style.go("/runs", run=chosen.run_id)
    administration.button(site, texts.ROLL_BACK, texts.ROLL_BACK_ASK.format(run=chosen.run_id), act)
