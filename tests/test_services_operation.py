"""What an operator relies on: swaps, failures, limits, metrics and logs, with real processes."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from musicrec.events import Impression, event_store
from tests.commands import environment, exit_code
from tests.service_world import HEARD, USER, Services, published, running, services

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Three services with a key, impressions and rules of blending."""
    root = tmp_path_factory.mktemp("guarded")
    published(root)
    (root / "blocked.txt").write_text("150\n\n151\n")
    with running(root, MUSICREC_SERVICE_API_KEY="sesame", MUSICREC_SERVICE_IMPRESSIONS="true", MUSICREC_BLENDING_MAX_PER_ARTIST="2",
                 MUSICREC_BLENDING_BLOCKED_ITEMS=str(root / "blocked.txt"), MUSICREC_BLENDING_FIRST="online",
                 MUSICREC_SERVICE_CORS_ORIGINS="https://music.example") as found:
        yield found


def ask(found: Services, name: str, path: str, key: str = "sesame", **parameters: object) -> requests.Response:
    """A POST with the key of the service."""
    return requests.post(found.url(name) + path, params=parameters, headers={"X-API-Key": key}, timeout=10)


@pytest.mark.parametrize("name", ["recommendations", "features", "events"])
def test_key(guarded: Services, name: str) -> None:
    """Without the key, or with a wrong one, the answer is 401; health needs none; the key is in no log."""
    path = {"recommendations": "/recommendations", "features": "/similar_items", "events": "/get"}[name]
    parameters = {"user_id": USER, "item_id": 150}
    assert requests.post(guarded.url(name) + path, params=parameters, timeout=10).status_code == 401
    assert ask(guarded, name, path, key="wrong", **parameters).status_code == 401
    assert ask(guarded, name, path, **parameters).status_code == 200
    bearer = requests.get(guarded.url(name) + "/metrics", headers={"Authorization": "Bearer sesame"}, timeout=5)
    assert bearer.status_code == 200
    assert requests.get(guarded.url(name) + "/metrics", timeout=5).status_code == 401
    assert requests.get(guarded.url(name) + "/health", timeout=5).status_code == 200
    assert "sesame" not in guarded.log(name)


def test_rules_of_blending(guarded: Services) -> None:
    """Online comes first, blocked items never come, no artist comes more than twice, and the other services are sent the key."""
    ask(guarded, "events", "/put", user_id=USER, item_id=200)
    answer = ask(guarded, "recommendations", "/recommendations", user_id=USER, k=14).json()
    assert "degraded" not in answer
    assert answer["recs"][:4] == [201, 152, 202, 153]
    assert not {150, 151} & set(answer["recs"])
    artists = [item % 7 for item in answer["recs"]]
    assert len(artists) == 14
    assert max(artists.count(artist) for artist in set(artists)) <= 2


@pytest.mark.parametrize("method", ["alternate", "score", "rrf"])
def test_allowed_items(tmp_path: Path, method: str) -> None:
    """With a list of allowed items nothing else is recommended, whatever the way of blending, not even to fill up to k."""
    published(tmp_path)
    allowed = [*range(150, 160), *range(201, 204), 105, 130]
    (tmp_path / "allowed.txt").write_text("\n".join(map(str, allowed)))
    with running(tmp_path, MUSICREC_BLENDING_ALLOWED_ITEMS=str(tmp_path / "allowed.txt"), MUSICREC_BLENDING_METHOD=method) as found:
        found.post("events", "/put", user_id=USER, item_id=200)
        assert sorted(found.recs("/recommendations", user_id=USER, k=100)) == sorted({*allowed} - {*HEARD})
        assert found.recs("/recommendations_online", user_id=USER, k=100) == [201, 202, 203]
        assert sorted(found.recs("/recommendations_default", k=100)) == sorted(allowed)


def stored(found: Services, user: int, n: int) -> list[Impression]:
    """The impressions of a user in the event store, once there are n."""
    store = event_store("sqlite", str(found.root / "events.sqlite"))
    for _ in range(100):
        rows = [row for row in store.impressions() if row.user_id == user]
        if len(rows) >= n:
            break
        time.sleep(0.05)
    return rows


def test_exposures_are_stored(guarded: Services) -> None:
    """What was shown is in the event store, with source, position, run and the id that the answer had in its header, also of later pages,
    long lists and batches."""
    first, second = (ask(guarded, "recommendations", "/recommendations_offline", user_id=16, k=3, offset=offset) for offset in (0, 3))
    run = first.headers["X-Run-Id"]
    assert [(row.item_id, row.source, row.position, row.run, row.recommendation_id) for row in stored(guarded, 16, 6)] == [
        (item, "personal", at + offset, run, answer.headers["X-Recommendation-Id"])
        for offset, answer in ((0, first), (3, second)) for at, item in enumerate(answer.json()["recs"])]
    assert first.headers["X-Recommendation-Id"] != second.headers["X-Recommendation-Id"]
    everything = ask(guarded, "recommendations", "/recommendations", user_id=7, k=1000).json()["recs"]
    assert [(row.position, row.item_id) for row in stored(guarded, 7, len(everything))] == list(enumerate(everything))
    batch = requests.post(guarded.url("recommendations") + "/recommendations/batch", json={"user_ids": [8, 9], "k": 2}, timeout=10,
                          headers={"X-API-Key": "sesame"})
    assert {row.recommendation_id for user in (8, 9) for row in stored(guarded, user, 2)} == {batch.headers["X-Recommendation-Id"]}


def test_a_client_may_tell_what_it_showed(guarded: Services) -> None:
    """An item or a list at a time, with variant and propensity; a list with too many sources is refused."""
    url, headers = guarded.url("events"), {"X-API-Key": "sesame"}
    item = {"user_id": 30, "item_id": 150, "source": "page", "position": 4, "variant": "b", "propensity": 0.5}
    shown = {"user_id": 30, "item_ids": [151, 152], "sources": ["a", "b"], "first": 5, "propensities": [0.1, 0.2]}
    assert requests.post(f"{url}/impressions", json={"impressions": [item]}, headers=headers, timeout=5).json() == {"result": "ok"}
    assert requests.post(f"{url}/exposures", json={"exposures": [shown]}, headers=headers, timeout=5).json() == {"result": "ok"}
    assert [(row.item_id, row.source, row.position, row.variant, row.propensity) for row in stored(guarded, 30, 3)] == [
        (150, "page", 4, "b", 0.5), (151, "a", 5, "", 0.1), (152, "b", 6, "", 0.2)]
    refused = requests.post(f"{url}/exposures", json={"exposures": [shown | {"sources": ["a", "b", "c"]}]}, headers=headers, timeout=5)
    assert refused.status_code == 422
    assert "as many sources" in refused.json()["detail"][0]["msg"]


def test_impressions_are_off_by_default(tmp_path: Path) -> None:
    """Unless asked to, the service tells nobody what it showed."""
    published(tmp_path)
    with running(tmp_path, "recommendations", "events") as found:
        assert len(found.recs("/recommendations", user_id=USER, k=5)) == 5
        time.sleep(0.3)
        assert not [route for route in requests.get(found.url("events") + "/stats", timeout=5).json()["requests"] if "exposures" in route]


def test_cors(guarded: Services) -> None:
    """Only the origins that are set may call from a browser."""
    for origin, allowed in (("https://music.example", True), ("https://other.example", False)):
        headers = requests.get(guarded.url("recommendations") + "/health", headers={"Origin": origin}, timeout=5).headers
        assert ("Access-Control-Allow-Origin" in headers) is allowed
        question = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
        asked = requests.options(guarded.url("recommendations") + "/recommendations", headers=question, timeout=5)
        assert asked.ok is allowed


def test_batch(guarded: Services) -> None:
    """A batch answers each user as a single request would; more than 1,000 users are refused."""
    users = [USER, 16, 999999, 5]
    headers, url = {"X-API-Key": "sesame"}, guarded.url("recommendations") + "/recommendations/batch"
    found = requests.post(url, json={"user_ids": users, "k": 6}, headers=headers, timeout=10).json()
    assert [one["user_id"] for one in found["answers"]] == users
    for one in found["answers"]:
        assert one["recs"] == ask(guarded, "recommendations", "/recommendations", user_id=one["user_id"], k=6).json()["recs"]
    many = requests.post(url, json={"user_ids": list(range(1000)), "k": 10}, headers=headers, timeout=30).json()
    assert all(len(one["recs"]) == 10 for one in many["answers"])
    assert requests.post(url, json={"user_ids": list(range(1001))}, headers=headers, timeout=10).status_code == 422


def test_metrics_and_logs(tmp_path: Path) -> None:
    """Requests, latencies, sources, strategies and failures are counted, and one request id runs through all three logs."""
    published(tmp_path)
    with running(tmp_path) as found:
        found.post("events", "/put", user_id=USER, item_id=160)
        answer = requests.post(found.url("recommendations") + "/recommendations", params={"user_id": USER, "k": 4},
                               headers={"X-Request-Id": "abc-123"}, timeout=5)
        assert answer.headers["X-Request-Id"] == "abc-123"
        found.stop("features")
        found.post("recommendations", "/recommendations", user_id=USER, k=4)
        found.post("recommendations", "/recommendations_offline", user_id=123, k=4)
        text = requests.get(found.url("recommendations") + "/metrics", timeout=5).text
        assert 'musicrec_requests_total{route="/recommendations",service="recommendations",status="200"} 2.0' in text
        assert 'musicrec_request_seconds_bucket{le="+Inf",route="/recommendations",service="recommendations"} 2.0' in text
        assert 'musicrec_items_total{source="online"} 2.0' in text
        assert 'musicrec_answers_total{strategy="popular"} 1.0' in text
        assert 'musicrec_neighbour_failures_total{neighbour="features"} 1.0' in text
        assert "musicrec_artifact_published_timestamp_seconds{" in text
        for name in ("recommendations", "events", "features"):
            lines = [json.loads(line) for line in found.log(name).splitlines() if line.startswith("{")]
            assert any(line["request_id"] == "abc-123" and line["status"] == 200 for line in lines), name


def test_rate_limit(tmp_path: Path) -> None:
    """Beyond the limit the answer is 429 with Retry-After, and later requests are answered again."""
    with running(tmp_path, "events", MUSICREC_SERVICE_RATE_LIMIT="5") as found:
        answers = [found.post("events", "/get", user_id=1) for _ in range(30)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert answers[0].status_code == 200
        assert refused
        assert refused[0].headers["Retry-After"] == "1"
        time.sleep(1)
        assert found.post("events", "/get", user_id=1).status_code == 200


def test_hot_swap(tmp_path: Path) -> None:
    """Under load a new run is taken up, a bad one refused and a rollback by command followed, without one failed request."""
    first = published(tmp_path)
    settings = {"MUSICREC_SERVICE_POLL_S": "0.2", "MUSICREC_SERVICE_RELOAD_KEY": "again"}
    with running(tmp_path, **settings) as found:
        url, seen = found.url("recommendations"), []
        found.post("events", "/put", user_id=USER, item_id=250)
        with under_load(found, seen):
            second = published(tmp_path, personal=range(170, 190))
            wait_for(url, second)
            bad = published(tmp_path, personal=range(140, 150), damaged="recommendations.parquet")
            refused = requests.post(f"{url}/reload", headers={"X-Reload-Key": "again"}, timeout=30)
            assert refused.status_code == 503
            assert served(url) == second
            assert bad not in {run for _, run, _ in seen}
            with environment(found.environment):
                assert exit_code("runs", "rollback", first) == 0
            wait_for(url, first)
            wait_for(found.url("features"), first)
            time.sleep(0.2)
        assert len(seen) > 20
        assert {status for status, _, _ in seen} == {200}
        assert {run for _, run, _ in seen} == {first, second}
        assert {run: recs for _, run, recs in seen} == {first: [150, 251, 151, 252], second: [170, 251, 171, 252]}
        for key in ({}, {"X-Reload-Key": "no"}):
            assert requests.post(f"{url}/reload", headers=key, timeout=5).status_code == 403
        assert requests.post(f"{url}/reload", headers={"X-Reload-Key": "again"}, timeout=5).json() == {"run_id": first, "swapped": False}


@contextlib.contextmanager
def under_load(found: Services, seen: list[tuple[int, str, list[int]]]) -> Iterator[None]:
    """Two clients that ask for blended lists all the time; `seen` gets status, run and items of each answer."""
    stop = threading.Event()

    def load() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.post(f"{found.url('recommendations')}/recommendations", params={"user_id": USER, "k": 4}, timeout=10)
                seen.append((answer.status_code, answer.headers.get("X-Run-Id", ""), answer.json().get("recs")))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_bad_run_is_refused(tmp_path: Path) -> None:
    """A run that is damaged when it appears is refused with a sentence, and the served one goes on."""
    first = published(tmp_path)
    with running(tmp_path, "recommendations", MUSICREC_SERVICE_POLL_S="0", MUSICREC_SERVICE_RELOAD_KEY="again") as found:
        url = found.url("recommendations")
        bad = published(tmp_path, personal=range(160, 170), damaged="recommendations.parquet")
        refused = requests.post(f"{url}/reload", headers={"X-Reload-Key": "again"}, timeout=30)
        assert refused.status_code == 503
        assert "recommendations.parquet is damaged" in refused.json()["detail"]
        stats = requests.get(f"{url}/stats", timeout=5).json()
        assert stats["run_id"] == first
        assert stats["refused"][0] == bad
        assert found.recs("/recommendations_offline", user_id=USER, k=1) == [150]
        assert 'musicrec_run_loads_total{outcome="refused",service="recommendations"} 1.0' in requests.get(f"{url}/metrics", timeout=5).text


def served(url: str) -> str:
    """The run id that a service answers from."""
    return str(requests.get(f"{url}/stats", timeout=5).json()["run_id"])


def wait_for(url: str, run_id: str) -> None:
    """Return when the service answers from the run."""
    deadline = time.monotonic() + 30
    while served(url) != run_id:
        assert time.monotonic() < deadline, f"{run_id} was not taken up"
        time.sleep(0.05)


def test_two_workers(tmp_path: Path) -> None:
    """With two workers a service, plays put through one are seen through all, and metrics are summed."""
    published(tmp_path)
    directory = tmp_path / "prometheus"
    directory.mkdir()
    found = services(tmp_path, PROMETHEUS_MULTIPROC_DIR=str(directory))
    try:
        found.start("features")
        found.start("events", "recommendations", options=("--workers", "2"))
        for item in range(200, 210):
            found.post("events", "/put", user_id=USER, item_id=item)
            assert found.post("events", "/get", user_id=USER, k=1).json() == {"events": [item]}
        blended = found.recs("/recommendations", user_id=USER, k=20)
        assert blended[1] == 210
        assert not set(blended) & {*HEARD, *range(200, 210)}
        counted, deadline = 'musicrec_requests_total{route="/put",service="events",status="200"} 10.0', time.monotonic() + 10
        while counted not in requests.get(found.url("events") + "/metrics", timeout=5).text:
            assert time.monotonic() < deadline, "the puts of one worker are not counted"
            time.sleep(0.05)
    finally:
        for process in found.running.values():
            process.terminate()
            process.wait()
