"""A user is deleted through real services: nothing is left, nothing personal is answered, nothing comes back."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from musicrec import settings
from musicrec.cli.processes import free_urls
from musicrec.cli.processes import running as started
from musicrec.errors import SettingsError
from tests.commands import environment, exit_code
from tests.service_world import APPS, COLD, PERSONAL, POPULAR, USER, Services, published, running, services

pytestmark = pytest.mark.slow

ADMIN, OTHER = "admin-key", 16
POLL_S = 0.5
POPULAR_FIRST = list(POPULAR)[:5]


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Services]:
    """Services with a key for administration that record impressions."""
    published(tmp_path)
    with running(tmp_path, MUSICREC_SERVICE_RELOAD_KEY=f"{ADMIN} older-key", MUSICREC_SERVICE_IMPRESSIONS="true",
                 MUSICREC_SERVICE_POLL_S=str(POLL_S)) as three:
        yield three


def delete(found: Services, user: object, **headers: str) -> requests.Response:
    """The answer to DELETE /users/{user}."""
    return requests.delete(f"{found.url('events')}/users/{user}", headers={name.replace("_", "-"): key for name, key in headers.items()},
                           timeout=10)


def until(true: Callable[[], bool], timeout_s: float = 10) -> None:
    """Return when the function `true` says so."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_deleted_user_is_a_stranger_at_once(found: Services) -> None:
    """Blended, online and batch answers forget the user at once, the offline list within poll_s; other users keep theirs."""
    for item in (200, 201):
        assert found.post("events", "/put", user_id=USER, item_id=item).ok
    assert found.post("events", "/put", user_id=OTHER, item_id=210).ok
    assert found.recs("/recommendations_offline", user_id=USER, k=3) == list(PERSONAL)[:3]
    assert 202 in found.recs("/recommendations", user_id=USER, k=5)

    answer = delete(found, USER, X_Reload_Key=ADMIN)
    assert answer.status_code == 200
    assert answer.json()["deleted"] >= 2 + 2
    assert found.recs("/recommendations", user_id=USER, k=5) == POPULAR_FIRST
    assert found.recs("/recommendations_online", user_id=USER, k=5) == []
    assert found.recs("/recommendations_offline", user_id=USER, k=5) == POPULAR_FIRST, "once seen, at once"
    body = {"user_ids": [OTHER, USER, COLD], "k": 5}
    answers = requests.post(f"{found.url('recommendations')}/recommendations/batch", json=body, timeout=10).json()["answers"]
    assert [one["recs"][0] for one in answers] == [PERSONAL[0], POPULAR[0], POPULAR[0]]
    assert found.post("recommendations", "/recommendations", user_id=USER, k=5).headers["X-Strategy"] == "popular"


def test_the_offline_list_follows_within_the_poll(found: Services) -> None:
    """The offline list of a deleted user is that of a stranger, also once the events service no longer says so."""
    assert found.recs("/recommendations_offline", user_id=OTHER, k=3) == list(PERSONAL)[:3]
    assert delete(found, OTHER, X_Reload_Key="older-key").json()["result"] == "ok"
    until(lambda: found.recs("/recommendations_offline", user_id=OTHER, k=5) == POPULAR_FIRST, POLL_S + 3)
    found.stop("events")
    assert found.recs("/recommendations_offline", user_id=OTHER, k=5) == POPULAR_FIRST
    assert found.recs("/recommendations", user_id=OTHER, k=5) == POPULAR_FIRST


def test_nothing_of_a_deleted_user_is_stored_again(found: Services) -> None:
    """A play is refused with 403, impressions are not recorded, and all of it holds after restarts of the services."""
    assert delete(found, USER, X_Reload_Key=ADMIN).ok
    for name in ("events", "recommendations"):
        found.stop(name)
        found.start(name)
        refused = found.post("events", "/put", user_id=USER, item_id=200)
        assert (refused.status_code, refused.json()["detail"]) == (403, "this user was deleted; nothing of the user is stored.")
        assert found.post("events", "/get", user_id=USER).json() == {"events": [], "blocked": True}
        asked = {"user_ids": [OTHER, USER]}
        assert requests.post(f"{found.url('events')}/get/batch", json=asked, timeout=10).json() == {"events": [[], []], "blocked": [1]}
        until(lambda: found.recs("/recommendations_offline", user_id=USER, k=5) == POPULAR_FIRST)
    assert found.post("events", "/users/excluded").json() == {"excluded": [USER]}
    assert found.recs("/recommendations", user_id=USER, k=5) == POPULAR_FIRST
    assert delete(found, USER, X_Reload_Key=ADMIN).json() == {"result": "ok", "deleted": 0}


def test_deleting_needs_the_key_for_administration(found: Services) -> None:
    """Without it, or with another, 403 and nothing is deleted."""
    assert found.post("events", "/put", user_id=USER, item_id=200).ok
    for headers in ({}, {"X_Reload_Key": "wrong"}, {"X_Reload_Key": f"{ADMIN} older-key"}, {"X_API_Key": ADMIN}):
        assert delete(found, USER, **headers).status_code == 403
    assert found.post("events", "/get", user_id=USER).json() == {"events": [200]}


def test_without_any_key_nobody_deletes(tmp_path: Path) -> None:
    """With neither key set the route refuses, and says which to set."""
    published(tmp_path)
    with running(tmp_path, "events") as three:
        answer = delete(three, USER)
        assert (answer.status_code, "set reload_key" in answer.json()["detail"]) == (403, True)


def test_two_keys_are_valid_while_one_takes_the_place_of_the_other(tmp_path: Path) -> None:
    """Both keys of api_key are accepted, a third is not, services send the first; without a reload_key either may delete."""
    published(tmp_path)
    with running(tmp_path, MUSICREC_SERVICE_API_KEY="new, old") as three:
        def status(key: str, path: str = "/get") -> int:
            return requests.get(three.url("events") + path, params={"user_id": USER}, headers={"X-API-Key": key}, timeout=10).status_code

        assert [status(key) for key in ("new", "old", "new, old", "", "newold")] == [200, 200, 401, 401, 401]
        url = f"{three.url('recommendations')}/recommendations"
        answer = requests.get(url, params={"user_id": USER, "k": 3}, headers={"Authorization": "Bearer old"}, timeout=10)
        assert answer.json() == {"recs": list(PERSONAL)[:3]}, "not degraded: the services accept each other's key"
        assert delete(three, USER).status_code == 401
        assert delete(three, USER, X_API_Key="old").json() == {"result": "ok", "deleted": 0}


def test_a_readmitted_user_is_known_again(found: Services, capsys: pytest.CaptureFixture[str]) -> None:
    """`musicrec users readmit` while services run: plays are stored at once, the personal list is back within poll_s."""
    assert delete(found, USER, X_Reload_Key=ADMIN).ok
    assert found.recs("/recommendations", user_id=USER, k=5) == POPULAR_FIRST
    with environment(found.environment):
        assert exit_code("users", "readmit", USER) == 0
    assert "is no longer excluded" in capsys.readouterr().out
    assert found.post("events", "/put", user_id=USER, item_id=200).ok
    until(lambda: found.recs("/recommendations", user_id=USER, k=4) == [150, 201, 151, 202], POLL_S + 3)


def test_a_key_for_reading_reads_and_does_not_write(tmp_path: Path) -> None:
    """Every documented route of the three services takes the key but /put, /impressions, /exposures, DELETE and /reload: 403."""
    published(tmp_path)
    with running(tmp_path, MUSICREC_SERVICE_API_KEY="all", MUSICREC_SERVICE_READ_KEY="reading, older",
                 MUSICREC_SERVICE_RELOAD_KEY=ADMIN) as three:
        refused = set()
        for name in APPS:
            url = three.url(name)
            documented = requests.get(f"{url}/openapi.json", headers={"X-API-Key": "older"}, timeout=10).json()["paths"]
            for path, methods in documented.items():
                for method in methods:
                    def status(key: str, method: str = method, address: str = url + path.format(user_id=USER, item_id=150)) -> int:
                        headers = {"X-API-Key": key, "X-Reload-Key": ADMIN}
                        return requests.request(method, address, headers=headers, timeout=10).status_code
                    if status("reading") == 403:
                        refused.add((method.upper(), path))
                    assert (status("reading") in (401, 403)) is ((method.upper(), path) in refused)
                    assert status("all") not in (401, 403)
        assert refused == {("POST", "/put"), ("POST", "/feedback"), ("POST", "/impressions"), ("POST", "/exposures"),
                           ("DELETE", "/users/{user_id}"), ("POST", "/reload")}
        found = requests.post(f"{three.url('recommendations')}/recommendations", params={"user_id": OTHER, "k": 3}, timeout=10,
                              headers={"Authorization": "Bearer reading"})
        assert found.json() == {"recs": list(PERSONAL)[:3]}


def test_a_key_for_reading_alone_is_refused_at_the_start() -> None:
    """Services call each other with api_key, so one without it is a mistake that is told in a sentence."""
    with pytest.raises(SettingsError, match="read_key is set and api_key is not"):
        settings.load(environ={"MUSICREC_SERVICE_READ_KEY": "reading"})


def test_logs_of_services_are_for_their_owner_alone(tmp_path: Path) -> None:
    """What `musicrec serve` lets services write has mode 0600, whatever the umask."""
    published(tmp_path)
    environ = services(tmp_path).environment
    before = os.umask(0)
    try:
        with started(free_urls(settings.load(environ=environ).urls), environ, tmp_path / "logs") as found:
            assert [stat.S_IMODE(service.log.stat().st_mode) for service in found] == [0o600] * 3
    finally:
        os.umask(before)
