"""The screen of experiments: which ones there are, who is in which variant, what they show, and pausing or stopping one."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui
from pydantic_core import from_json

from musicrec.errors import MusicRecError, ServiceError, SettingsError
from musicrec.experiments.assignment import Experiment
from musicrec.experiments.file import change, read_experiments
from musicrec.page import administration, style, texts
from musicrec.page.site import Asked, Site

_REPORTING = asyncio.Lock()  # one at a time: a report takes a core


async def show(site: Site, asked: Asked) -> None:
    """All experiments, and below them the one in the address, or the first."""
    try:
        found = await asyncio.to_thread(read_experiments, site.settings.experiments.file, site.settings.blending)
    except SettingsError as cause:
        style.text(cause, "m-bad", "p")
        return
    at = next((at for at, one in enumerate(found) if one.name == asked.query.get("experiment")), 0)
    with style.card(texts.EXPERIMENTS):
        if not found:
            style.text(texts.NO_EXPERIMENT.format(file=site.settings.experiments.file), "m-quiet", "p")
            return
        style.table(texts.EXPERIMENTS_HEAD, map(_row, found), strong=at)
    with style.box("m-cards m-gap"):
        with style.card(texts.EXPERIMENT.format(name=found[at].name)):
            _about(site, found[at])
        with style.card(texts.ASSIGNMENT):
            _assignment(site, found, asked.query.get("user", ""))
    _report(site, found[at])


def _row(one: Experiment) -> tuple[object, ...]:
    return (style.link(one.name, "/experiments", experiment=one.name), _state(one), f"{one.share:.0%}",
            ", ".join(f"{variant.name} ({variant.weight:g})" for variant in one.variants),
            *(f"{moment:%Y-%m-%d %H:%M}" if moment else "" for moment in (one.start, one.end)))


def _state(one: Experiment) -> str:
    return texts.STATES[one.state(datetime.now(UTC))]


def _about(site: Site, one: Experiment) -> None:
    style.table(texts.VARIANTS_HEAD, [
        (variant.name, f"{variant.weight:g}", ", ".join(f"{key} = {value}" for key, value in variant.settings.items()) or texts.AS_IT_IS)
        for variant in one.variants])

    async def act(kind: str, _: Mapping[str, str]) -> None:
        changes = {"end": datetime.now(UTC)} if kind == "stop" else {"paused": kind == "pause"}
        await asyncio.to_thread(change, site.settings.experiments.file, one.name, site.settings.blending, **changes)
        await style.go("/experiments", experiment=one.name)
    if (state := one.state(datetime.now(UTC))) != "has ended":
        with style.box("m-row"):
            for kind in ("resume" if one.paused else "pause", *(() if state == "has not begun" else ("stop",))):
                label, ask = texts.CHANGES[kind]
                administration.button(site, label, ask.format(name=one.name), partial(act, kind))


def _assignment(site: Site, found: Sequence[Experiment], user: str) -> None:
    @ui.refreshable
    def assigned() -> None:
        if str(key.value).strip():
            user = site.run.key(str(key.value))
            style.table(texts.ASSIGNMENT_HEAD, [(one.name, variant.name if (variant := one.variant_of(user)) else texts.OUTSIDE,
                                                 _state(one)) for one in found])
    key = ui.input(texts.USER, value=user, on_change=assigned.refresh).props("outlined dense debounce=200")
    with style.box("").props("aria-live=polite"):
        assigned()


def _report(site: Site, one: Experiment) -> None:
    @ui.refreshable
    def report() -> None:
        style.text("" if one.name in site.reports else texts.NO_REPORT, "m-quiet")
        if told := site.reports.get(one.name):
            _told(told)

    async def make() -> None:
        button.props("loading")
        try:
            async with _REPORTING:
                site.reports[one.name] = await asyncio.to_thread(_made, site, one.name)
            report.refresh()
        except MusicRecError as cause:
            ui.notify(str(cause), type="warning", multi_line=True)
        finally:
            button.props(remove="loading")
    with style.card(texts.REPORT):
        with style.box("m-gap"):
            button = ui.button(texts.MAKE_REPORT, on_click=make).props("outline no-caps")
        report()


def _made(site: Site, name: str) -> dict[str, Any]:
    """What `musicrec experiments report` says, which loads more than the page may. Raises ServiceError with what it says instead."""
    path = site.settings.path
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = [sys.executable, "-m", "musicrec", "experiments", "report", name, "--out", str(out)]
        ended = subprocess.run([*command, *(("--config", str(path)) if path.exists() else ())], capture_output=True, text=True)
        if ended.returncode:
            raise ServiceError((ended.stderr.strip().splitlines() or [texts.NO_REPORT])[-1])
        return {**from_json(out.read_bytes()), "at": datetime.now(UTC)}


def _told(told: Mapping[str, Any]) -> None:
    split, variants = told["sample_ratio"], [row["variant"] for row in told["variants"]]
    style.text(texts.REPORTED.format(at=told["at"], days=told["user_days"]), "m-quiet", "p")
    style.text((texts.MISMATCH if split["mismatch"] else texts.MATCH).format(p=split["p"]), "m-bad" if split["mismatch"] else "", "p")
    style.records(told["variants"], ("variant", "users", "sessions", "impressions", "plays", "kept_plays", "skips", "likes"))
    style.text(texts.DIFFERENCES, tag="h3")
    style.text(texts.DIFFERENCES_HINT, "m-quiet", "p")
    style.table(texts.DIFFERENCES_HEAD, map(_difference, told["differences"]))
    if told["guardrails"]:
        style.text(texts.GUARDRAILS, tag="h3")
        for row in told["guardrails"]:
            if row["p_holm"] < 0.05 and row["difference"] > 0:
                style.text(texts.WORSE.format(variant=row["variant"], metric=texts.HEADS[row["metric"]]), "m-bad", "p")
        style.table(texts.DIFFERENCES_HEAD, map(_difference, told["guardrails"]))
    style.text(texts.BY_DAY, tag="h3")
    most_a_day = max((row["kept_per_user_high"] or row["kept_per_user"] for row in told["by_day"]), default=0) or 1
    of = {(row["day"], row["variant"]): row for row in told["by_day"]}
    style.table((texts.DAY, *(head for name in variants for head in (texts.KEPT_OF.format(variant=name), ""))), [
        (day, *(cell for name in variants for cell in _day(of.get((day, name)), most_a_day))) for day in sorted({day for day, _ in of})])


def _difference(row: Mapping[str, Any]) -> tuple[object, ...]:
    low, high = row["sequence_low"], row["sequence_high"]
    most = max(abs(low), abs(high)) or 1
    kind = "cuped_" if "cuped_low" in row else ""
    shown = {"difference": row[f"{kind}difference"], "difference_low": row[f"{kind}low"], "difference_high": row[f"{kind}high"]}
    return (row["variant"], texts.HEADS[row["metric"]], style.shown(row, "control"), style.shown(shown, "difference"),
            style.interval((low / most + 1) / 2, (high / most + 1) / 2, centred=True), f"{row['p_holm']:.3g}")


def _day(row: Mapping[str, Any] | None, most: float) -> tuple[object, ...]:
    if row is None:
        return "", ""
    low, high = (row["kept_per_user"] if (end := row[f"kept_per_user_{side}"]) is None else end for side in ("low", "high"))
    return f"{style.shown(row, 'kept_per_user')} ({row['users']:,})", style.interval(max(low, 0) / most, high / most)
