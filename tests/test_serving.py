"""The HTTP contract, with three real uvicorn processes on loopback."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.service_world import COLD, HEARD, ITEMS, PERSONAL, POPULAR, USER, Services, published, running, services

pytestmark = pytest.mark.slow
ROUTES = ("/recommendations", "/recommendations_offline", "/recommendations_online")


@pytest.fixture
def player(three: Services) -> int:
    """A cold user of this test alone."""
    player.last += 1  # type: ignore[attr-defined]
    return int(player.last)  # type: ignore[attr-defined]


player.last = 5_000_000  # type: ignore[attr-defined]


def play(three: Services, user: int, *items: int) -> None:
    """Store plays, the last one newest."""
    for item in items:
        assert three.post("events", "/put", user_id=user, item_id=item).json() == {"result": "ok"}


def test_offline(three: Services) -> None:
    """The offline answer is the head of the personal list."""
    assert three.recs("/recommendations_offline", user_id=USER, k=10) == list(PERSONAL[:10])


def test_offline_is_filled(three: Services) -> None:
    """Beyond the personal list the answer goes on with popular items: k different ones, nothing heard."""
    found = three.recs("/recommendations_offline", user_id=USER, k=150)
    assert found[:len(PERSONAL)] == list(PERSONAL)
    assert found[len(PERSONAL):len(PERSONAL) + 5] == [110, 111, 112, 113, 114]
    assert len(found) == len(set(found)) == 150
    assert not set(found) & set(HEARD)


def test_all_there_is(three: Services) -> None:
    """Asked for more than the catalog holds, the answer is everything unheard."""
    assert sorted(three.recs("/recommendations_offline", user_id=USER, k=1000)) == sorted(set(ITEMS) - set(HEARD))


@pytest.mark.parametrize("path", ROUTES[:2])
def test_unknown_user(three: Services, path: str) -> None:
    """An unknown user gets the default list with status 200."""
    assert three.recs(path, user_id=COLD, k=10) == three.recs("/recommendations_default", k=10) == list(POPULAR[:10])


def test_default_k_is_100(three: Services) -> None:
    """Without k the list has 100 items."""
    assert len(three.recs("/recommendations", user_id=USER)) == len(three.recs("/recommendations_default")) == 100


def test_online(three: Services, player: int) -> None:
    """Online is similar items of the last three plays only, newest first, without what was played."""
    assert three.recs("/recommendations_online", user_id=player, k=10) == []
    play(three, player, 110, 130, 150, 170)
    found = three.recs("/recommendations_online", user_id=player, k=50)
    assert found[0] == 171
    assert sorted(found) == [*range(131, 136), *range(151, 156), *range(171, 176)]


def test_online_without_heard(three: Services) -> None:
    """What stands in the listening history is not recommended online."""
    play(three, 16, 107)
    assert three.recs("/recommendations_online", user_id=16, k=10) == [110, 111, 112]


def test_blended(three: Services) -> None:
    """Even places are offline, odd ones online; no repeats, nothing heard or played, exactly k."""
    play(three, USER, 200, 220, 240)
    offline, online = (three.recs(path, user_id=USER, k=6) for path in ROUTES[1:])
    found = three.recs("/recommendations", user_id=USER, k=100)
    assert found[:10:2] == offline[:5]
    assert found[1:10:2] == online[:5]
    assert len(found) == len(set(found)) == 100
    assert not set(found) & {*HEARD, 200, 220, 240}


def test_played_items_leave_the_blend(three: Services, player: int) -> None:
    """A popular item that was just played is not offered to a cold user."""
    play(three, player, 100, 101)
    found = three.recs("/recommendations", user_id=player, k=20)
    assert not {100, 101} & set(found)
    assert len(found) == 20


def test_similar_items(three: Services) -> None:
    """Similar items come with scores, k is honoured, an unknown item has two empty lists."""
    assert three.post("features", "/similar_items", item_id=150, k=2).json() == \
        {"item_id_2": [151, 152], "score": pytest.approx([0.9, 0.8])}
    assert three.post("features", "/similar_items", item_id=5).json() == {"item_id_2": [], "score": []}
    batch = requests.post(three.url("features") + "/similar_items/batch", json={"item_ids": [150, 5], "k": 1}, timeout=5)
    assert batch.json() == {"similar": [{"item_id_2": [151], "score": pytest.approx([0.9])}, {"item_id_2": [], "score": []}]}


def test_events(three: Services, player: int) -> None:
    """Plays come back newest first, repeats once, at most ten."""
    play(three, player, *range(200, 212), 205)
    assert three.post("events", "/get", user_id=player).json() == {"events": [205, 211, 210, 209, 208, 207, 206, 204, 203, 202]}
    assert three.post("events", "/get", user_id=player, k=2).json() == {"events": [205, 211]}
    assert three.post("events", "/get", user_id=player, k=100).json()["events"][-1] == 202


@pytest.mark.parametrize("alias", ["k", "n", "limit", "top_k", "n_recs", "n_recommendations"])
def test_names_for_k(three: Services, alias: str) -> None:
    """Every name that clients use for k works, in the query and in a JSON body, with POST and GET."""
    url = three.url("recommendations") + "/recommendations_offline"
    wanted = {"recs": list(PERSONAL[:4])}
    assert requests.post(url, params={"user_id": USER, alias: 4}, timeout=5).json() == wanted
    assert requests.post(url, json={"user_id": USER, alias: 4}, timeout=5).json() == wanted
    assert requests.get(url, params={"user_id": USER, alias: 4}, timeout=5).json() == wanted


def test_track_id(three: Services, player: int) -> None:
    """track_id is item_id, for put and for similar items."""
    assert three.post("events", "/put", user_id=player, track_id=150).json() == {"result": "ok"}
    assert three.post("features", "/similar_items", track_id=150, k=1).json()["item_id_2"] == [151]


def test_user_in_the_path(three: Services) -> None:
    """GET /recommendations/{user_id} answers as POST /recommendations does."""
    found = requests.get(f"{three.url('recommendations')}/recommendations/{USER}?limit=7", timeout=5).json()
    assert found["recs"] == three.recs("/recommendations", user_id=USER, k=7)


def test_query_body_and_get_alike(three: Services, player: int) -> None:
    """Every route of the contract answers the same to a query, a JSON body and, where nothing is stored, to GET."""
    assert requests.post(three.url("events") + "/put", json={"user_id": player, "track_id": 150}, timeout=5).json() == {"result": "ok"}
    asked = [("recommendations", path, {"user_id": player, "k": 3}) for path in (*ROUTES, "/recommendations_default")]
    asked += [("events", "/get", {"user_id": player, "n": 3}), ("features", "/similar_items", {"track_id": 150, "limit": 3})]
    for name, path, parameters in asked:
        url, wanted = three.url(name) + path, three.post(name, path, **parameters).json()
        assert requests.get(url, params=parameters, timeout=5).json() == wanted
        assert requests.post(url, json=parameters, timeout=5).json() == wanted
        # A byte order mark, escapes and a name without a value are what some clients add.
        assert requests.post(url, data=b"\xef\xbb\xbf" + json.dumps(parameters).encode(), timeout=5).json() == wanted
        query = "&".join(f"{key}=%3{value}" if value < 10 else f"{key}=+{value}+" for key, value in parameters.items())
        assert requests.post(f"{url}?nothing&{query}", timeout=5).json() == wanted


def test_wrong_ways_in(three: Services) -> None:
    """An unknown path is 404, a wrong method 405, a slash too many is led to the route; each with a request id."""
    for path, method, status in (("/nowhere", "POST", 404), ("/put", "GET", 405), ("/get", "DELETE", 405), ("/get/", "GET", 307)):
        answer = requests.request(method, three.url("events") + path, timeout=5, allow_redirects=False)
        assert answer.status_code == status
        assert len(answer.headers["X-Request-Id"]) == 16


def test_one_call_for_all_seeds(three: Services, player: int) -> None:
    """A blended answer over three latest plays asks the features service once."""
    play(three, player, 110, 130, 150)

    def calls() -> int:
        counts: dict[str, int] = requests.get(three.url("features") + "/stats", timeout=5).json()["requests"]
        return sum(count for route, count in counts.items() if route.startswith("/similar_items"))
    before = calls()
    assert len(three.recs("/recommendations", user_id=player, k=50)) == 50
    assert calls() == before + 1


@pytest.mark.parametrize("name", ["recommendations", "features", "events"])
def test_examples_in_the_docs(three: Services, name: str) -> None:
    """Each parameter and JSON body of the OpenAPI text has an example, and a service answers 200 to a request of them that needs no key."""
    paths = requests.get(three.url(name) + "/openapi.json", timeout=5).json()["paths"]
    asked = [(path, method, said) for path, methods in paths.items() for method, said in methods.items()
             if path != "/reload" and method != "delete"]
    assert len(asked) > 8
    for path, method, said in asked:
        inside = {p["name"]: p["example"] for p in said.get("parameters", ()) if p["in"] == "path"}
        query = {p["name"]: p["example"] for p in said.get("parameters", ()) if p["in"] == "query"}
        body = said["requestBody"]["content"]["application/json"]["example"] if "requestBody" in said else None
        answer = requests.request(method, three.url(name) + path.format(**inside), params=query, json=body, timeout=10)
        assert answer.status_code == 200, (path, method, answer.text)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(three: Services) -> None:
    """curl gets the same answer with a query, and with JSON that it labels as a form."""
    url = three.url("recommendations") + "/recommendations_offline"
    for arguments in (["-X", "POST", f"{url}?user_id={USER}&k=3"], [url, "-d", f'{{"user_id": {USER}, "k": 3}}']):
        assert curled(*arguments) == {"recs": list(PERSONAL[:3])}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_day_of_curl(three: Services, player: int) -> None:
    """A client that knows curl alone stores plays, reads them back, and asks for similar items, lists and health."""
    events, features, recommendations = (three.url(name) for name in ("events", "features", "recommendations"))
    as_json = ["-H", "Content-Type: application/json"]
    assert curled("-X", "POST", f"{events}/put?user_id={player}&item_id=110") == {"result": "ok"}
    assert curled("-X", "POST", f"{events}/put", *as_json, "-d", f'{{"user_id": {player}, "track_id": 150}}') == {"result": "ok"}
    assert curled(f"{events}/get?user_id={player}&n=10") == {"events": [150, 110]}
    assert curled("-X", "POST", f"{features}/similar_items?track_id=150&n_recs=2")["item_id_2"] == [151, 152]
    assert curled("-X", "POST", f"{recommendations}/recommendations_online?user_id={player}&limit=2") == {"recs": [151, 152]}
    assert curled(f"{recommendations}/recommendations/{player}?top_k=2") == {"recs": [100, 151]}
    assert curled(f"{recommendations}/health") == {"service": "recommendations", "status": "ok"}


def curled(*arguments: str) -> Any:
    """What curl prints, from JSON."""
    return json.loads(subprocess.run(["curl", "-s", *arguments], capture_output=True, check=True, timeout=10).stdout)


def test_verbose(three: Services, player: int) -> None:
    """verbose adds source, reason, score, name and artists of each item, and leaves recs as they are."""
    play(three, player, 150)
    found = three.post("recommendations", "/recommendations", user_id=player, k=4, verbose="true").json()
    assert found["recs"] == three.recs("/recommendations", user_id=player, k=4)
    assert [item["item_id"] for item in found["items"]] == found["recs"]
    assert found["items"][0] == {"item_id": 100, "name": "Track 100", "artists": ["Artist 2"], "source": "popular", "score": -100.0,
                                 "reason": "popular"}
    assert found["items"][1] == {"item_id": 151, "name": "Track 151", "artists": ["Artist 4"], "source": "online",
                                 "score": pytest.approx(0.9), "reason": "similar to Track 150 which you played"}
    assert found["items"][2]["reason"] == "popular in rock"
    mine = three.post("recommendations", "/recommendations_offline", user_id=USER, k=1, verbose="true").json()["items"]
    assert (mine[0]["source"], mine[0]["reason"]) == ("personal", "chosen for you from your listening history")
    default = requests.get(three.url("recommendations") + "/recommendations_default?k=2&verbose=1", timeout=5).json()
    assert [item["name"] for item in default["items"]] == ["Track 100", "Track 101"]


def test_headers(three: Services) -> None:
    """Every list says which run and which strategy made it."""
    found = three.post("recommendations", "/recommendations_offline", user_id=COLD).headers
    assert found["X-Strategy"] == "popular"
    run_id = requests.get(three.url("recommendations") + "/stats", timeout=5).json()["run_id"]
    assert found["X-Run-Id"] == run_id
    play(three, 16, 107)
    wanted = {"/recommendations": "blended", "/recommendations_offline": "personal", "/recommendations_online": "online",
              "/recommendations_default": "popular"}
    for path, strategy in wanted.items():
        said = three.post("recommendations", path, user_id=16, k=3).headers
        assert (said["X-Run-Id"], said["X-Strategy"]) == (run_id, strategy)


@pytest.mark.parametrize("path", ["/", "/health", "/healthy", "/ready", "/stats", "/openapi.json", "/docs"])
@pytest.mark.parametrize("name", ["recommendations", "features", "events"])
def test_health(three: Services, name: str, path: str) -> None:
    """Each service answers the health routes and shows its API."""
    assert requests.get(three.url(name) + path, timeout=5).status_code == 200


BAD = [{"user_id": USER, "k": 0}, {"user_id": USER, "k": -1}, {"user_id": USER, "k": 10**9}, {"user_id": "abc"}, {}, {"k": 5},
       {"user_id": USER, "k": "many"}, {"user_id": "", "k": 1}, {"user_id": -1}, {"user_id": 10**30}, {"user_id": "1e3"},
       {"user_id": USER, "k": 5, "verbose": "perhaps"}]


@pytest.mark.parametrize("parameters", BAD, ids=str)
@pytest.mark.parametrize("path", ROUTES)
def test_bad_input(three: Services, path: str, parameters: dict[str, object]) -> None:
    """Bad or missing parameters get 422 with a sentence that names the parameter."""
    for response in (three.post("recommendations", path, **parameters),
                     requests.post(three.url("recommendations") + path, json=parameters, timeout=5)):
        assert response.status_code == 422
        reasons = response.json()["detail"]
        assert reasons
        for reason in reasons:
            assert reason["loc"][1] in reason["msg"]


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff\xfe", b"null", b"9" * 100_000, b'{"user_id": true}', b'{"user_id": [1]}',
                                  b'{"user_id": NaN}', b'{"user_id": 1.5}', b"[" * 50_000], ids=lambda body: repr(body[:20]))
def test_bad_body(three: Services, body: bytes) -> None:
    """A body that is no JSON object with whole numbers gets 422."""
    assert requests.post(three.url("recommendations") + "/recommendations", data=body, timeout=5).status_code == 422


def test_start_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Without artifacts, or with damaged ones, a service ends with one sentence and no traceback."""
    found = services(tmp_path)
    nothing = refused(found, "recommendations")
    assert "nothing is published at" in nothing
    run_id = published(tmp_path)
    file = tmp_path / "artifacts" / "runs" / run_id / "similar.parquet"
    file.write_bytes(file.read_bytes()[:50])
    assert "similar.parquet is damaged" in refused(found, "features")
    file.unlink()
    assert "similar.parquet is missing" in refused(found, "features")


def test_bad_settings_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """A bad setting or an event store that cannot be opened ends the start with one sentence."""
    assert "timeout_ms" in refused(services(tmp_path, MUSICREC_SERVICE_TIMEOUT_MS="soon"), "recommendations")
    assert "cannot be opened" in refused(services(tmp_path, MUSICREC_EVENTS_PATH="/dev/null/events.sqlite"), "events")


def refused(found: Services, name: str) -> str:
    """What a service that must not start says."""
    done = subprocess.run(found.command(name), cwd=Path(__file__).parents[1], env=found.environment, capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_other_services_down(tmp_path: Path) -> None:
    """With events and features down a user still gets k tracks, and the answer names what is missing."""
    published(tmp_path)
    with running(tmp_path, "recommendations", "events") as found:
        play(found, USER, 160)
        for path in (ROUTES[0], ROUTES[2]):
            answer = found.post("recommendations", path, user_id=USER, k=20).json()
            assert answer["recs"] == [item for item in PERSONAL if item != 160][:20]
            assert "features service at" in answer["degraded"][0]
        found.stop("events")
        answer = found.post("recommendations", "/recommendations", user_id=COLD, k=20).json()
        assert answer["recs"] == list(POPULAR[:20])
        assert "events service at" in answer["degraded"][0]
        answer = found.post("recommendations", "/recommendations_offline", user_id=USER).json()
        assert answer["recs"][:30] == list(PERSONAL)
        assert "events service at" in answer["degraded"][0]


def test_plays_survive_a_restart(tmp_path: Path) -> None:
    """Plays are there after the events service was stopped and started again."""
    with running(tmp_path, "events") as found:
        play(found, USER, 1, 2, 3)
        assert found.stop("events") in (0, -15)
        found.start("events")
        assert found.post("events", "/get", user_id=USER).json() == {"events": [3, 2, 1]}
