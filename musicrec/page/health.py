"""The screen of the three services: what /ready, /stats and /metrics say."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from musicrec.errors import ServiceError
from musicrec.page import style, texts
from musicrec.page.site import Asked, Site

EVERY_S = 5.0
_COUNTED = {"strategy": "answers_total", "source": "items_total", "route": "requests_total", "status": "requests_total",
            "neighbour": "neighbour_failures_total", "le": "request_seconds_bucket"}
Samples = list[tuple[dict[str, str], float]]


async def show(site: Site, asked: Asked) -> None:
    """The screen; it is refreshed as long as it is open."""
    @ui.refreshable
    async def services() -> None:
        told = await asyncio.gather(*(_told(site, name) for name in site.services.urls))
        with style.box("m-cards"):
            for (name, url), one in zip(site.services.urls.items(), told):
                with style.card(texts.SERVICES[name]):
                    style.text(url, "m-quiet", "p")
                    if isinstance(one, ServiceError):
                        style.text(one, "m-bad")
                    else:
                        _service(*one)
    style.text(texts.HEALTH_HINT.format(s=f"{EVERY_S:g}"), "m-quiet", "p")
    await services()
    ui.timer(EVERY_S, services.refresh, immediate=False)


async def _told(site: Site, name: str) -> tuple[Any, Any, dict[str, Samples]] | ServiceError:
    ask = site.services.ask
    try:
        return await asyncio.gather(ask(name, "/ready", "GET"), ask(name, "/stats", "GET"), site.services.metrics(name))
    except ServiceError as cause:
        return cause


def _service(ready: Any, stats: Any, metrics: dict[str, Samples]) -> None:
    counts = {label: _by(metrics.get(sample, []), label) for label, sample in _COUNTED.items()}
    failed = sum(value for status, value in counts["status"].items() if status >= "500")
    told: dict[str, Any] = {
        "status": ready.get("detail") or ready["status"], "uptime_s": round(stats["uptime_s"]), "run_id": stats.get("run_id"),
        "run_age_h": _age_h(stats["published_at"]) if stats.get("published_at") else None, "store": stats.get("store"),
        "requests": counts["status"].total(), "failed": failed, **_latency(counts["le"], metrics)}
    if answers := counts["strategy"].total():
        told |= {"cold_share": f"{counts['strategy']['popular'] / answers:.1%}", "degraded": counts["neighbour"].total()}
    style.table(("", ""), [(texts.HEALTH[key], style.shown(told, key)) for key in texts.HEALTH if told.get(key) is not None])
    for label in ("strategy", "source", "route"):
        if counts[label]:
            style.bars(texts.HEALTH_BARS[label], counts[label].most_common())


def _by(samples: Samples, label: str) -> Counter[str]:
    found = Counter[str]()
    for labels, value in samples:
        found[labels[label]] += int(value)
    return found


def _age_h(moment: str) -> str:
    return f"{(datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds() / 3600:,.1f}"


def _latency(buckets: Counter[str], metrics: dict[str, Samples]) -> dict[str, object]:
    """Mean, and the bound of the bucket that 95 % of requests do not exceed."""
    if not (count := buckets["+Inf"]):
        return {}
    bound = next(le for le, below in sorted(buckets.items(), key=lambda one: float(one[0])) if below >= 0.95 * count)
    return {"mean_ms": f"{1000 * sum(value for _, value in metrics['request_seconds_sum']) / count:.1f}",
            "p95_ms": f"{1000 * float(bound):g}"}
