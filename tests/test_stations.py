"""Recommendations for sessions, radio and playlists, with real services; pools in plain numbers."""

import json
from typing import Any

import numpy as np
import pytest
import requests

from musicrec.serving.playlists import PlaylistTrack, jspf, m3u
from musicrec.serving.radio import Pool, in_turns, of_genre
from tests.service_world import HEARD, POPULAR, USER, Services, published, running

pytestmark = pytest.mark.slow


def session(three: Services, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The answer for a session."""
    answer = requests.post(three.url("recommendations") + "/session/recommendations", json={"items": items, **more}, timeout=10)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["X-Recommendation-Id"] == found["recommendation_id"]
    return found


def radio(three: Services, **parameters: Any) -> requests.Response:
    """The answer of a radio."""
    return requests.get(three.url("recommendations") + "/radio", params=parameters, timeout=10)


def recs(three: Services, **parameters: Any) -> list[int]:
    """The items of a radio, as JSON."""
    answer = radio(three, **parameters)
    assert answer.status_code == 200, answer.text
    found: list[int] = answer.json()["recs"]
    return found


def test_a_session_gets_what_is_similar_to_its_items(three: Services) -> None:
    """Items similar to the session come first, the latest play counting most, then popular ones; nothing of the session itself."""
    found = session(three, {"item_id": 170}, {"item_id": 150}, k=14)["recs"]
    assert sorted(found[:10]) == [*range(151, 156), *range(171, 176)]
    assert found[0] == 171
    assert found[10:] == list(POPULAR[:4])


def test_a_skip_takes_similar_items_out_and_a_like_counts_more(three: Services) -> None:
    """What is similar to a skipped item is not offered where no play outweighs it; a like outweighs the play after it."""
    found = session(three, {"item_id": 152, "type": "skip"}, {"item_id": 150}, k=100, verbose=True)
    assert found["recs"][0] == 151
    assert [item["item_id"] for item in found["items"] if item["source"] == "online"] == [151]
    assert session(three, {"item_id": 170}, {"item_id": 150, "type": "like"}, k=1)["recs"] == [151]


def test_a_session_can_be_filtered_and_paged(three: Services) -> None:
    """Filters and offset work as elsewhere."""
    whole = session(three, {"item_id": 150}, k=20, genres=["rock"])["recs"]
    assert all(item % 2 for item in whole)
    assert session(three, {"item_id": 150}, k=5, offset=5, genres=["rock"])["recs"] == whole[5:10]


def test_a_session_of_unknown_items_gets_popular_ones(three: Services) -> None:
    """What the run does not know is ignored."""
    assert session(three, {"item_id": 5}, k=3)["recs"] == list(POPULAR[:3])


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": [{}]}, {"items": [{"item_id": 1, "type": "hum"}]},
                                  {"items": [{"item_id": 1, "played_share": 2}]}], ids=str)
def test_a_bad_session_is_refused(three: Services, body: dict[str, Any]) -> None:
    """One sentence says what the parameter has to be."""
    answer = requests.post(three.url("recommendations") + "/session/recommendations", json=body, timeout=10)
    assert answer.status_code == 422
    assert "items" in answer.json()["detail"][0]["msg"]


def test_radio_of_a_track_is_what_is_similar_to_it(three: Services) -> None:
    """Within two steps of similarity, each track once, the track itself not; reasons name the track."""
    found = radio(three, track=150, verbose=True).json()
    assert sorted(found["recs"]) == list(range(151, 161))
    assert {item["reason"] for item in found["items"]} == {"similar to Track 150"}
    assert {item["source"] for item in found["items"]} == {"track"}


def test_radio_is_the_same_for_the_same_seed(three: Services) -> None:
    """The answer says its seed, which gives the list again, in pages too; other seeds give other orders."""
    found = radio(three, genre="rock", k=30).json()
    again = {"genre": "rock", "seed": found["seed"]}
    assert recs(three, k=30, **again) == found["recs"]
    assert recs(three, k=10, **again) + recs(three, k=20, offset=10, **again) == found["recs"]
    assert len({tuple(recs(three, genre="rock", k=10, seed=seed)) for seed in range(5)}) == 5


def test_radio_of_artists_and_genres(three: Services) -> None:
    """An artist's radio has tracks of the artist and similar ones, a genre's only its tracks; several take turns; filters hold."""
    assert all(item % 2 for item in recs(three, genre="ROCK", k=300))
    by_artist = radio(three, artist="Artist 3", k=300, verbose=True).json()["items"]
    assert {item["source"] for item in by_artist} == {"artist"}
    assert {item["item_id"] for item in by_artist if item["reason"] == "by an artist that you asked for"} == {
        item for item in range(100, 300) if item % 7 == 3}
    both = radio(three, artist=["Artist 3", "Artist 4"], genre="rock", k=3, seed=1, verbose=True).json()["items"]
    assert [item["source"] for item in both] == ["artist", "artist", "genre"]
    assert not set(recs(three, genre="rock", k=300, exclude=[101, 103])) & {101, 103}


def test_a_radio_is_new_or_familiar_to_its_listener(three: Services) -> None:
    """A user's plays, those since the run too, are all that is familiar and nothing that is new; what was refused is in neither, also of a
    blocked artist. Without a user every track is new, and nothing is familiar.
    """
    user = 4321
    for item, kind in ((105, "play"), (109, "skip"), (113, "block_artist")):
        assert three.post("events", "/put", user_id=user, item_id=item, type=kind).ok
    everything = recs(three, genre="rock", k=300)
    new, familiar, both = ({*recs(three, genre="rock", k=300, user_id=user, mode=mode)} for mode in ("new", "familiar", "mixed"))
    assert familiar == {105}
    assert both == {item for item in everything if item != 109 and item % 7 != 113 % 7}
    assert new == both - familiar
    assert {*recs(three, genre="rock", k=300, user_id=USER, mode="familiar")} == {item for item in HEARD if item % 2}
    assert {*recs(three, track=101, k=300, user_id=USER, mode="familiar")} == {*range(102, 110)}
    assert {*recs(three, genre="rock", k=300, mode="new")} == {*recs(three, genre="rock", k=300, mode="mixed")} == {*everything}


@pytest.mark.parametrize(("parameters", "said"), [
    ({"genre": "rock", "mode": "familiar"}, "mode=familiar needs the user_id of the listener"), ({}, "name at least one"),
    ({"artist": "Nobody"}, "no track of this run has the artist 'Nobody'"),
    ({"genre": "polka"}, "no track of this run has the genre 'polka'"),
    ({"genre": "rock", "difficulty": "harder"}, "difficulty must be one of easy, medium, hard"),
    ({"genre": "rock", "format": "xml"}, "format must be one of json, jspf, m3u")], ids=str)
def test_a_radio_of_nothing_known_is_refused(three: Services, parameters: dict[str, Any], said: str) -> None:
    """With one sentence."""
    answer = radio(three, **parameters)
    assert answer.status_code == 422
    assert said in answer.json()["detail"][0]["msg"]


def test_an_unknown_track_has_an_empty_radio(three: Services) -> None:
    """As with similar items, the status is 200."""
    assert recs(three, track=5) == []


def test_playlists(three: Services) -> None:
    """JSPF and M3U name the same tracks in the same order, each with the address at which the service tells of it."""
    asked = {"track": 150, "k": 4, "seed": 1}
    wanted = recs(three, **asked)
    playlist = radio(three, format="jspf", **asked)
    assert playlist.headers["Content-Type"] == "application/jspf+json"
    assert len(playlist.headers["X-Recommendation-Id"]) == 16
    tracks = playlist.json()["playlist"]["track"]
    assert [track["title"] for track in tracks] == [f"Track {item}" for item in wanted]
    assert requests.get(tracks[0]["identifier"][0], timeout=5).json()["item_id"] == wanted[0]
    lines = radio(three, format="m3u", **asked).text.splitlines()
    assert lines[:2] == ["#EXTM3U", "#PLAYLIST:Radio: Track 150"]
    assert lines[2::2] == [f"#EXTINF:-1,Artist {item % 7} - Track {item}" for item in wanted]
    assert lines[3::2] == [track["identifier"][0] for track in tracks]


def test_a_name_cannot_begin_a_line() -> None:
    """Line breaks in names are spaces in M3U; JSPF keeps every character."""
    track = PlaylistTrack("a\nhttp://evil", ["\u2028b", 'c"'], "http://x/items/1")
    assert m3u("t", [track]).decode().splitlines() == ["#EXTM3U", "#PLAYLIST:t", '#EXTINF:-1,b, c" - a http://evil', "http://x/items/1"]
    assert json.loads(jspf("t", [track]))["playlist"]["track"][0]["title"] == "a\nhttp://evil"


def test_without_features_a_radio_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    """While the features service is down, artists play their own tracks and tracks popular ones, and the answer says what is missing."""
    root = tmp_path_factory.mktemp("alone")
    published(root)
    with running(root, "recommendations") as found:
        answer = radio(found, artist="Artist 3", k=300).json()
        assert all(item % 7 == 3 for item in answer["recs"])
        assert "features service" in answer["degraded"][0]
        assert len(recs(found, track=150, k=20)) == 20
        assert session(found, {"item_id": 150}, k=2)["recs"] == list(POPULAR[:2])


@pytest.mark.parametrize(("difficulty", "first"), [("easy", range(30)), ("medium", range(30, 60)), ("hard", range(60, 90))])
def test_difficulty_is_a_third_of_the_pool(difficulty: str, first: range) -> None:
    """With items whose popularity and similarity agree, the first third of what is drawn is the third that the difficulty names."""
    n = np.arange(90, dtype=np.int32)
    pool = Pool("track", n, n, (1 - n / 90).astype(np.float32), np.zeros(90, np.int32))
    drawn = [item.item_id for item in in_turns([pool], difficulty, seed=3)]
    assert sorted(drawn[:30]) == list(first)
    assert sorted(drawn) == n.tolist()


def test_a_large_genre_is_easy_where_it_is_well_known() -> None:
    """Of 200,000 tracks the first third of the pool has the 500 most popular and none beyond 10,000; the pool reaches to the last; a few
    tracks are all in the pool, and none make an empty one."""
    popular = np.arange(200_000, dtype=np.int32)
    items = of_genre(popular, popular, None).items
    assert set(range(500)) <= set(items[:len(items) // 3].tolist()) <= set(range(10_000))
    assert items[-1] == 199_999
    assert of_genre(popular[:50], popular, None).items.tolist() == list(range(50))
    assert not len(of_genre(popular[:0], popular, None).items)
