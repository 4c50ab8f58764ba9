"""Prometheus metrics, one registry an app."""

import asyncio
import os
from collections import Counter as Counts
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


class Metrics:
    """Counts and times of one service. With PROMETHEUS_MULTIPROC_DIR set, the exposition sums over all workers, of which the others' latest
    tenth of a second may be missing.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        labels: dict[str, Any] = {"registry": self.registry, "namespace": "musicrec"}
        self.service = service
        # The library takes a lock and longer than counting for each of them: what is counted at every request is told it together.
        self._pending, self._times = Counts[tuple[Any, tuple[str, ...]]](), dict[str, Any]()
        self.requests = Counter("requests", "Requests answered.", ("service", "route", "status"), **labels)
        self.seconds = Histogram("request_seconds", "Time to answer.", ("service", "route"), buckets=_SECONDS, **labels)
        self.strategies = Counter("answers", "Answers by strategy; popular is the share of cold users.", ("strategy",), **labels)
        self.sources = Counter("items", "Recommended items by source.", ("source",), **labels)
        self.unknown = Counter("unknown_items", "Items that the other services named and the served run does not know.", **labels)
        self.n_unknown = 0
        self.failures = Counter("neighbour_failures", "Calls that another service did not answer.", ("neighbour",), **labels)
        self.impressions_lost = Counter("impressions_lost", "Impressions dropped because the events service did not keep up.", **labels)
        self.loads = Counter("run_loads", "Runs loaded, refused, and failed to be looked up.", ("service", "outcome"), **labels)
        self.published = Gauge("artifact_published_timestamp_seconds", "When the served run was published; its age is time() minus this.",
                               ("service",), multiprocess_mode="mostrecent", **labels)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._pending[self.requests, (self.service, route, str(status))] += 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = self.seconds.labels(self.service, route)
        times.observe(seconds)

    def recommended(self, strategy: str, sources: Sequence[str], unknown: int = 0) -> None:
        """Count one answer, where its items came from, and how many were left out because the run does not know them."""
        self._pending[self.strategies, (strategy,)] += 1
        if unknown:
            self.n_unknown += unknown
            self.unknown.inc(unknown)
        for source in set(sources):
            self._pending[self.sources, (source,)] += sources.count(source)

    async def settle_regularly(self, pause_s: float = 0.1) -> None:
        """Tell the library what was counted, every `pause_s` seconds, for ever, and once more when this ends."""
        try:
            while True:
                await asyncio.sleep(pause_s)
                self._settle()
        finally:
            self._settle()

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self._collected())

    def counts(self) -> dict[str, Any]:
        """Requests by route and status, for /stats."""
        families = self._collected().collect()
        samples = [sample for family in families for sample in family.samples if sample.name == "musicrec_requests_total"]
        return {f"{sample.labels['route']} {sample.labels['status']}": int(sample.value) for sample in samples}

    def _settle(self) -> None:
        pending, self._pending = self._pending, Counts()
        for (metric, labels), n in pending.items():
            metric.labels(*labels).inc(n)

    def _collected(self) -> CollectorRegistry:
        self._settle()
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return together
