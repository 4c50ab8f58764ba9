"""Feedback and what it does to lists at once, over HTTP."""

import signal
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
import requests

from musicrec.registry import RunInfo, publish
from musicrec.serving.blending import SimilarItems, backfill, combined, scored
from musicrec.serving.contexts import _memory
from musicrec.serving.event_schemas import RememberedItems
from musicrec.serving.keys import KeyIndex
from musicrec.storage import storage
from tests.service_world import HEARD, ITEMS, PERSONAL, USER, Services, running, write_run

pytestmark = pytest.mark.slow
ROUTES = ("/recommendations", "/recommendations_offline", "/recommendations_online")
_strangers = count(6_000_000)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The services over the little world, with factors: even items lie in one direction and odd ones in the other, lower ids are longer."""
    root = tmp_path_factory.mktemp("feedback")
    folder, ids = write_run(root / "run"), np.array(ITEMS, np.int32)
    factors = np.zeros((len(ids), 2), np.float32)
    factors[np.arange(len(ids)), ids % 2] = np.linspace(2, 1, len(ids))
    np.savez(folder / "als_model.npz", user_ids=np.zeros(0, np.int32), item_ids=ids, user_factors=np.zeros((0, 2), np.float32),
             item_factors=factors, alpha=2.0, regularization=3.0)
    publish(storage(str(root / "artifacts"), {}), folder, RunInfo({"made for": "tests"}))
    with running(root) as found:
        yield found


def say(three: Services, user: int, item: int, **more: object) -> None:
    """Store feedback."""
    assert three.post("events", "/feedback", user_id=user, item_id=item, **more).json() == {"result": "ok"}


def lists(three: Services, user: int) -> dict[str, list[int]]:
    """Everything that the routes recommend to the user."""
    batch = requests.post(three.url("recommendations") + "/recommendations/batch", json={"user_ids": [user, 16], "k": 1000}, timeout=10)
    return {"batch": batch.json()["answers"][0]["recs"], **{path: three.recs(path, user_id=user, k=1000) for path in ROUTES}}


@pytest.mark.parametrize("route", ["/put", "/feedback"])
def test_an_unknown_parameter_is_refused_by_name(three: Services, route: str) -> None:
    """skipped=true gets 422 with the name and the known parameters, and nothing is stored."""
    user = next(_strangers)
    answer = three.post("events", route, user_id=user, item_id=150, skipped="true")
    assert answer.status_code == 422
    assert answer.json()["detail"] == [{"loc": ["query", "skipped"], "input": "true", "msg": (
        "skipped is not known; send user_id, item_id, type, played_share, context, recommendation_id")}]
    assert three.post("events", "/get", user_id=user).json() == {"events": []}


@pytest.mark.parametrize("route", ["/recommendations", "/recommendations_offline", "/recommendations_online", "/recommendations_default",
                                   "/recommendations/16", "/radio", "/recommendations/batch", "/session/recommendations"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_parameter_of_a_list_is_refused_by_name(three: Services, route: str, method: str) -> None:
    """genre=rock, which is genres=rock, gets 422 with the name and the known parameters, in the query and in a body, not every track."""
    single = route in ("/radio", "/recommendations/16")
    if (single and method == "POST") or (method == "GET" and route in ("/recommendations/batch", "/session/recommendations")):
        pytest.skip("there is no such route")
    url, body = three.url("recommendations") + route, {"user_id": 16, "k": 3}
    body = {"/recommendations/batch": {"user_ids": [16]}, "/session/recommendations": {"items": [{"item_id": 150}]},
            "/radio": {"track": 150}, "/recommendations/16": {}}.get(route, body)
    wrong = {"genre_": "rock"}
    answers = [requests.get(url, params=body | wrong, timeout=10)] if method == "GET" else [
        requests.post(url, json=body | wrong, timeout=10), requests.post(url, params=wrong, json=body, timeout=10)]
    for answer in answers:
        assert answer.status_code == 422
        (told,) = answer.json()["detail"]
        assert told["msg"].startswith("genre_ is not known; send ")
        assert "user_id" in told["msg"]


def test_what_existing_clients_send_is_not_refused(three: Services) -> None:
    """Every name of k, a body beside the query, keys=true of a client that does not know the form of keys, an item where none is asked."""
    for name in ("k", "n", "limit", "top_k", "n_recs", "n_recommendations"):
        for route in (*ROUTES, "/recommendations_default"):
            assert len(three.recs(route, user_id=16, **{name: 3})) <= 3
    url = three.url("recommendations") + "/recommendations"
    assert len(requests.post(url, params={"k": 3}, json={"user_id": 16}, timeout=10).json()["recs"]) == 3
    assert requests.get(f"{url}/16", params={"k": 3, "keys": "true"}, timeout=10).ok
    assert requests.post(url, params={"user_id": 16, "item_id": 150, "track_id": 150}, timeout=10).ok


@pytest.mark.parametrize(("name", "value", "message"), [
    ("type", "love", "type must be one of play, skip, like, dislike, block_item, block_artist"),
    ("played_share", "1.5", "played_share must be a number from 0 to 1"),
    ("played_share", "nan", "played_share must be a number from 0 to 1"),
    ("context", "x" * 101, "context must be text of at most 100 characters")])
def test_bad_feedback_is_refused(three: Services, name: str, value: str, message: str) -> None:
    """A type that there is not, a share out of range and a long context get 422 with what they may be."""
    answer = three.post("events", "/put", user_id=next(_strangers), item_id=150, **{name: value})
    assert (answer.status_code, answer.json()["detail"][0]["msg"]) == (422, message)


def test_openapi_shows_the_parameters_of_feedback(three: Services) -> None:
    """/put and /feedback are documented with their six parameters, the types among them."""
    paths = requests.get(three.url("events") + "/openapi.json", timeout=10).json()["paths"]
    for route in ("/put", "/feedback"):
        found = {one["name"]: one["schema"] for one in paths[route]["post"]["parameters"]}
        assert found.keys() == {"user_id", "item_id", "type", "played_share", "context", "recommendation_id"}
        assert found["type"]["enum"] == ["play", "skip", "like", "dislike", "block_item", "block_artist"]
        assert found["played_share"] == {"type": "number", "minimum": 0, "maximum": 1}


def test_only_plays_are_latest_plays(three: Services) -> None:
    """/get shows the plays, an old client's answer is as before, and what else was said is there when asked for."""
    user = next(_strangers)
    for item, kind in ((150, "play"), (151, "skip"), (152, "like"), (153, "dislike")):
        say(three, user, item, type=kind, played_share=0.5, context="queue")
    assert three.post("events", "/get", user_id=user).json() == {"events": [150]}
    found = three.post("events", "/get", user_id=user, remembered="true").json()["remembered"]
    assert found["items"] == [153, 152, 151, 150]
    assert [(item, kind) for item, kind, age in found["feedback"] if 0 <= age < 60] == [(153, "dislike"), (152, "like"), (151, "skip")]


@pytest.mark.parametrize("kind", ["play", "skip", "dislike", "block_item", "like"])
def test_what_was_played_or_refused_is_in_no_list(three: Services, kind: str) -> None:
    """A track that is known to the user through feedback of any type is in no list, however long, not even the offline one."""
    for user in (USER, next(_strangers)):
        say(three, user, 200, type="play")
        say(three, user, 160, type=kind)
        for path, found in lists(three, user).items():
            assert 160 not in found, path
            assert 200 not in found, path


def test_a_blocked_artist_is_in_no_list(three: Services) -> None:
    """Of the artist of a track with block_artist no track is in any list, until the track is liked."""
    user = next(_strangers)
    say(three, user, 121, type="play")
    say(three, user, 150, type="block_artist")
    for path, found in lists(three, user).items():
        assert found, path
        assert not [item for item in found if item % 7 == 150 % 7], path
    say(three, user, 150, type="like")
    assert [item for item in three.recs("/recommendations", user_id=user, k=1000) if item % 7 == 150 % 7]


def test_a_skip_takes_similar_tracks_out_and_lowers_the_artist(three: Services) -> None:
    """After a skip the similar tracks are in no list, and further tracks of its artist come after all others."""
    user = next(_strangers)
    say(three, user, 201, type="play")
    say(three, user, 150, type="skip")
    for path in ROUTES[:2]:
        found = three.recs(path, user_id=user, k=1000)
        assert not {151, 152, 153, 154, 155} & set(found), path
        own = [place for place, item in enumerate(found) if item % 7 == 150 % 7]
        assert own == list(range(len(found) - len(own), len(found))), path
        assert own, path


def test_a_user_with_two_plays_has_a_personal_list(three: Services) -> None:
    """A user whom the run does not know gets, after two plays, the longest items of their direction, by each route that has them."""
    user = next(_strangers)
    assert three.post("recommendations", "/recommendations_offline", user_id=user).headers["X-Strategy"] == "popular"
    for item in (210, 212):
        say(three, user, item)
    answer = three.post("recommendations", "/recommendations_offline", user_id=user, k=10)
    assert answer.headers["X-Strategy"] == "personal"
    assert answer.json()["recs"] == list(range(100, 120, 2))
    assert three.recs("/recommendations", user_id=user, k=8)[::2] == list(range(100, 108, 2))


def test_the_list_of_a_known_user_follows_plays_since_the_run(three: Services) -> None:
    """Plays since the run bring tracks of their direction into the personal list, and the list of the run stays in it."""
    before = three.recs("/recommendations_offline", user_id=16, k=20)
    assert before == list(PERSONAL[:20])
    for item in (231, 233, 235):
        say(three, 16, item)
    after = three.recs("/recommendations_offline", user_id=16, k=20)
    odd = [item for item in after if item % 2]
    assert len([item for item in odd if item not in PERSONAL]) >= 5
    assert set(after) & set(PERSONAL)
    assert not set(after) & set(HEARD)


def test_feedback_survives_kill_9(three: Services) -> None:
    """What was acknowledged is remembered after the events service was killed and started again."""
    user = next(_strangers)
    for item, kind in ((150, "dislike"), (151, "play"), (152, "block_artist")):
        say(three, user, item, type=kind)
    three.stop("events", signal.SIGKILL)
    three.start("events")
    found = three.post("events", "/get", user_id=user, remembered="true").json()["remembered"]
    assert found["items"] == [152, 151, 150]
    assert [row[:2] for row in found["feedback"]] == [[152, "block_artist"], [150, "dislike"]]


def test_a_like_counts_more_than_a_play() -> None:
    """What is similar to an older liked item comes before what is as similar to a newer played one."""
    similar = [SimilarItems(7, [1], [0.5]), SimilarItems(8, [2], [0.5])]
    assert [item.item_id for item in combined(similar, 0.8)] == [1, 2]
    assert [item.item_id for item in combined(similar, 0.8, liked=[8])] == [2, 1]


def test_a_skip_is_refused_for_a_while() -> None:
    """Skips and dislikes of the last minutes are refused, older ones are only remembered; likes and plays are welcome."""
    found = RememberedItems(items=[5, 4, 3, 2, 1], feedback=[(5, "skip", 3.0), (4, "dislike", 59.0), (3, "skip", 61.0), (2, "like", 1.0)])
    memory = _memory(found, KeyIndex(), 60)
    assert (memory.refused, memory.welcome, memory.items) == ([5, 4], [2, 1], [5, 4, 3, 2, 1])


def test_lowered_artists_come_last() -> None:
    """Items of a lowered artist come after all others, and are still there."""
    found = backfill(scored([10, 21, 12, 23], "personal", [4, 3, 2, 1]), 4, lambda item: [item % 10], 0, {0, 2})
    assert [item.item_id for item in found] == [21, 23, 10, 12]

