"""An operator's OpenTelemetry middleware, added in three lines of a wrapper module, sees every request. Real processes."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.service_world import PROJECT, USER, Services, published, services

pytestmark = pytest.mark.slow
# What the operator has anyway: where spans go. Here they go to a file, one a line.
EXPORT = """
import os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
spans = open(os.environ["SPANS"], "a")
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=spans, formatter=lambda span: span.to_json(indent=None) + "\\n")))
trace.set_tracer_provider(provider)
"""
AROUND = """
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from {name}_service import app as inner
app = OpenTelemetryMiddleware(inner)
"""
ADDED = """
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from {name}_service import app
app.add_middleware(OpenTelemetryMiddleware)
"""
WRAPPERS = {"recommendations": AROUND, "features": ADDED, "events": ADDED}


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Services]:
    """The three services, each started from a wrapper module; the spans of each are in NAME.spans."""
    published(tmp_path)
    found = services(tmp_path, PYTHONPATH=str(tmp_path))
    try:
        for name, wrapper in WRAPPERS.items():
            (tmp_path / f"traced_{name}.py").write_text(EXPORT + wrapper.format(name=name))
            command = [part.replace(f"{name}_service:app", f"traced_{name}:app") for part in found.command(name)]
            environment = {**found.environment, "SPANS": str(tmp_path / f"{name}.spans")}
            with (tmp_path / f"{name}.log").open("wb") as log:
                found.running[name] = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        for name in WRAPPERS:
            found.wait(name)
        yield found
    finally:
        for process in found.running.values():
            process.kill()
            process.wait()


def test_every_request_has_a_span(traced: Services) -> None:
    """Hot and other routes, refused and unknown ones: as many spans as lines of the access log, with their methods, paths and statuses."""
    recommendations = ["/recommendations", "/recommendations_offline", "/recommendations_online", "/recommendations_default"]
    for path in ("/put", "/get"):
        traced.post("events", path, user_id=USER, item_id=200)
    for path in recommendations:
        assert traced.post("recommendations", path, user_id=USER, k=3).status_code == 200
        assert traced.post("recommendations", path, k=0).status_code == 422
    traced.post("features", "/similar_items", item_id=150)
    requests.post(f"{traced.url('recommendations')}/recommendations/batch", json={"user_ids": [1, 2]}, timeout=5)
    for path in (f"/recommendations/{USER}", "/items/150", "/nowhere", "/stats"):
        requests.get(traced.url("recommendations") + path, timeout=5)
    wanted = {"events": {"/put", "/get", "/get/batch"}, "features": {"/similar_items", "/similar_items/batch"},
              "recommendations": {*recommendations, "/recommendations/batch", f"/recommendations/{USER}", "/items/150", "/nowhere"}}
    for name in WRAPPERS:
        traced.stop(name)
        spans = [json.loads(line) for line in (traced.root / f"{name}.spans").read_text().splitlines()]
        served = [span["attributes"] for span in spans if span["kind"] == "SpanKind.SERVER"]
        answered = [json.loads(line) for line in traced.log(name).splitlines() if '"message": "answered"' in line]
        assert Counter((span["http.method"], span["http.status_code"]) for span in served) == \
            Counter((line["method"], line["status"]) for line in answered)
        assert wanted[name] <= {span["http.target"] for span in served}
