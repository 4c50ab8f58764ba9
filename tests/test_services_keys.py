"""Users and tracks under the keys of their owner, through the look-up arrays and through real services."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.events import event_store, export
from musicrec.keys import KeyTable
from musicrec.registry import RunInfo, publish
from musicrec.serving import layout
from musicrec.serving.keys import KeyIndex, key_index
from musicrec.storage import storage
from tests.service_world import COLD, HEARD, ITEMS, PERSONAL, USER, Services, running, write_run

pytestmark = pytest.mark.slow
ALICE, ODD = "alice", "bob b/ü?&=+%"
TEXT_ITEMS = {f"spotify:track:{item:04d}": item for item in ITEMS[:-1]}
LARGE = 3_000_000_001


def keyed_run(root: Path, users: dict[str, int] | None = None, items: dict[str, int] | None = None) -> None:
    """Publish the little world with these keys."""
    folder = write_run(root / "run")
    for kind, keys in (("user", users), ("item", items)):
        if keys:
            KeyTable(pa.array(list(keys)), np.array(list(keys.values()), np.int32)).write(folder / f"{kind}_keys.parquet")
    publish(storage(str(root / "artifacts"), {}), folder, RunInfo({}))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services over logs whose users and tracks are text."""
    root = tmp_path_factory.mktemp("texts")
    keyed_run(root, {ALICE: USER, ODD: 16, "007": 5}, TEXT_ITEMS | {"a/b c": 299})
    with running(root, MUSICREC_SERVICE_IMPRESSIONS="true") as found:
        yield found


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Services over logs of whole numbers, one track of which is above 2^31."""
    root = tmp_path_factory.mktemp("numbers")
    keyed_run(root, items={str(item): item for item in ITEMS if item != 150} | {str(LARGE): 150})
    with running(root) as found:
        yield found


def test_blocked_and_allowed_items_are_keys_or_ids(tmp_path: Path) -> None:
    """Lines of both files may be keys, also 007 with its zeros, or ids; a line that the run does not know says nothing."""
    keyed_run(tmp_path, items={"spotify:track:150": 150, "007": 151, "7": 152} | {f"t{item}": item for item in ITEMS if item > 152})
    (tmp_path / "blocked.txt").write_text("spotify:track:150\n007\n156\nnobody\n99999999999\n")
    (tmp_path / "allowed.txt").write_text("\n".join(["7", "007", "t154", "155", "156", "spotify:track:150"]))
    rules = {"BLOCKED_ITEMS": "blocked.txt", "ALLOWED_ITEMS": "allowed.txt"}
    environ = {f"MUSICREC_BLENDING_{key}": str(tmp_path / file) for key, file in rules.items()}
    with running(tmp_path, "recommendations", **environ) as found:
        assert found.recs("/recommendations_offline", user_id=USER, k=10) == [152, 154, 155]


KEYS = st.lists(st.one_of(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), st.integers(0, 2**63 - 1).map(str)), unique=True)


@settings(max_examples=60)
@given(keys=KEYS, others=st.lists(st.text(max_size=3), max_size=5))
def test_the_arrays_answer_as_the_table_does(keys: list[str], others: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every key gives its id and every id its key; what is no key gives -1."""
    folder = tmp_path_factory.mktemp("keys")
    table = KeyTable().extended(keys)
    table.write(folder / "user_keys.parquet")
    (folder / "into").mkdir()
    layout.write("user_keys", folder, folder / "into")
    index = key_index(folder / "into")
    asked = [int(key) if index.kind == 0 and key.isdigit() else key for key in keys]
    assert [index.id_of(key) for key in asked] == table.ids_of(keys).tolist()
    assert [str(index.key_of(index.id_of(key))) for key in asked] == keys
    assert all(index.id_of(key) == -1 for key in others if key not in keys)


def test_without_tables_keys_are_ids() -> None:
    """A run of an earlier version knows users and items by id."""
    index = KeyIndex()
    assert (index.id_of(7), index.id_of("ann"), index.key_of(7), index.canonical(7)) == (7, -1, 7, 7)


def test_a_list_is_asked_for_by_key_and_by_id(texts: Services) -> None:
    """Asked by key the answer has keys, asked by id ids, and with keys=true keys in either case; the lists are the same."""
    by_key = texts.recs("/recommendations_offline", user_id=ALICE, k=5)
    by_id = texts.recs("/recommendations_offline", user_id=USER, k=5)
    assert by_id == list(PERSONAL)[:5]
    assert by_key == [f"spotify:track:{item:04d}" for item in by_id]
    assert texts.recs("/recommendations_offline", user_id=USER, k=5, keys="true") == by_key
    assert texts.recs("/recommendations_default", k=3, keys="true") == [f"spotify:track:{item:04d}" for item in (100, 101, 102)]
    path = requests.get(f"{texts.url('recommendations')}/recommendations/{ALICE}", params={"k": 5}, timeout=10)
    assert path.json()["recs"][0].startswith("spotify:track:")


def test_an_odd_key_is_a_key(texts: Services) -> None:
    """Spaces, slashes, accents and signs of a query string are part of a key; 007 is not 7, and 7 is an id that nobody has."""
    assert texts.recs("/recommendations_offline", user_id=ODD, k=2) == ["spotify:track:0150", "spotify:track:0151"]
    assert texts.post("recommendations", "/recommendations_offline", user_id="007").headers["X-Strategy"] == "popular"
    assert texts.post("recommendations", "/recommendations_offline", user_id="nobody").headers["X-Strategy"] == "popular"


def test_a_play_by_key_and_one_by_id_are_the_same_users(texts: Services) -> None:
    """Stored by key or by id, plays of alice come back under both of her names, and bring similar tracks."""
    assert texts.post("events", "/put", user_id=ALICE, item_id="spotify:track:0200").json() == {"result": "ok"}
    assert texts.post("events", "/put", user_id=USER, item_id=201).json() == {"result": "ok"}
    assert texts.post("events", "/get", user_id=ALICE).json()["events"] == ["spotify:track:0201", "spotify:track:0200"]
    assert texts.post("events", "/get", user_id=USER).json()["events"] == [201, 200]
    assert "spotify:track:0202" in texts.recs("/recommendations_online", user_id=ALICE, k=10)


def test_a_track_that_the_run_does_not_know_is_stored_for_later(texts: Services) -> None:
    """It comes back from the events service, is left out of online lists and counted, and stands in the export by its key."""
    before = requests.get(f"{texts.url('recommendations')}/stats", timeout=10).json()["unknown_items"]
    assert texts.post("events", "/put", user_id=ODD, item_id="spotify:track:new").ok
    assert texts.post("events", "/put", user_id="newcomer", item_id="spotify:track:0200").ok
    assert texts.post("events", "/get", user_id=ODD).json()["events"] == ["spotify:track:new"]
    assert texts.recs("/recommendations_online", user_id=ODD, k=5) == []
    assert requests.get(f"{texts.url('recommendations')}/stats", timeout=10).json()["unknown_items"] == before + 1
    table = export.interactions(event_store("sqlite", str(texts.root / "events.sqlite"))).to_pylist()
    assert {(row["user_id"], row["track_id"]) for row in table} >= {(ODD, "spotify:track:new"), ("newcomer", "spotify:track:0200")}


def test_similar_items_come_in_the_form_asked_in(texts: Services) -> None:
    """Keys for a key, ids for an id, and ids for ids where the caller says that they are."""
    assert texts.post("features", "/similar_items", item_id="spotify:track:0120", k=2).json()["item_id_2"] == [
        "spotify:track:0121", "spotify:track:0122"]
    assert texts.post("features", "/similar_items", item_id=120, k=2).json()["item_id_2"] == [121, 122]
    body = {"item_ids": ["spotify:track:0120", 121], "k": 1}
    found = requests.post(f"{texts.url('features')}/similar_items/batch", json=body, timeout=10).json()["similar"]
    assert [one["item_id_2"] for one in found] == [["spotify:track:0121"], [122]]
    assert texts.post("features", "/similar_items", item_id="none").json() == {"item_id_2": [], "score": []}


def test_batches_and_verbose_answers_name_keys(texts: Services) -> None:
    """A batch answers each user as asked; a verbose answer and /items name tracks by key."""
    body = {"user_ids": [ALICE, USER, "nobody"], "k": 2}
    found = requests.post(f"{texts.url('recommendations')}/recommendations/batch", json=body, timeout=10).json()["answers"]
    assert [one["user_id"] for one in found] == [ALICE, USER, "nobody"]
    assert [type(one["recs"][0]) for one in found] == [str, int, str]
    verbose = texts.post("recommendations", "/recommendations_offline", user_id=ALICE, k=1, verbose="true").json()["items"][0]
    assert (verbose["item_id"], verbose["name"]) == ("spotify:track:0150", "Track 150")
    item = requests.get(f"{texts.url('recommendations')}/items/spotify:track:0150", timeout=10).json()
    assert (item["item_id"], item["name"]) == ("spotify:track:0150", "Track 150")
    item = requests.get(f"{texts.url('recommendations')}/items/a%2Fb%20c", timeout=10).json()
    assert (item["item_id"], item["name"]) == ("a/b c", "Track 299")


def test_filters_sessions_and_radio_take_and_give_keys(texts: Services) -> None:
    """Tracks are excluded, played and asked for by key, and named by key in the answer."""
    first, second = texts.post("recommendations", "/recommendations_offline", user_id=ALICE, k=2).json()["recs"]
    assert texts.post("recommendations", "/recommendations_offline", user_id=ALICE, k=1, exclude=first).json()["recs"] == [second]
    url = texts.url("recommendations")
    session = requests.post(f"{url}/session/recommendations", json={"items": [{"item_id": "spotify:track:0150"}], "k": 1}, timeout=10)
    assert session.json()["recs"] == ["spotify:track:0151"]
    asked = {"track": "spotify:track:0150", "k": 300}
    assert "spotify:track:0151" in requests.get(f"{url}/radio", params=asked, timeout=10).json()["recs"]
    assert f"{url}/items/spotify%3Atrack%3A0151" in requests.get(f"{url}/radio", params=asked | {"format": "m3u"}, timeout=10).text


def test_impressions_are_stored_by_key(texts: Services) -> None:
    """What alice was shown can be joined with the logs."""
    texts.recs("/recommendations_offline", user_id=ALICE, k=1)
    texts.stop("recommendations")
    rows = export.impressions(event_store("sqlite", str(texts.root / "events.sqlite"))).to_pylist()
    texts.start("recommendations")
    assert (ALICE, "spotify:track:0150") in {(row["user_id"], row["item_id"]) for row in rows}


@pytest.mark.parametrize("user", ["", " ", "x" * 257, -5, True, 1.5])
def test_nonsense_is_refused_with_a_sentence(texts: Services, user: object) -> None:
    """Blank and overlong text, and what is no key in JSON, is 422, and says what a key is."""
    response = requests.post(f"{texts.url('recommendations')}/recommendations", json={"user_id": user}, timeout=10)
    assert response.status_code == 422
    assert "user_id must be a key of at most 256 characters" in response.json()["detail"][0]["msg"]


def test_whole_numbers_stay_numbers(numbers: Services) -> None:
    """A track above 2^31 is answered, described, stored and found similar as the number that it is."""
    assert numbers.recs("/recommendations_offline", user_id=USER, k=2) == [LARGE, 151]
    assert numbers.post("features", "/similar_items", item_id=149, k=1).json()["item_id_2"] == [LARGE]
    assert numbers.post("events", "/put", user_id=COLD, item_id=LARGE).ok
    assert numbers.post("events", "/get", user_id=COLD).json()["events"] == [LARGE]
    assert numbers.recs("/recommendations_online", user_id=COLD, k=2) == [151, 152]
    assert numbers.recs("/recommendations_offline", user_id=COLD, k=1) == [HEARD[0]]


def test_a_run_with_other_keys_is_taken_up(tmp_path: Path) -> None:
    """When the next run brings keys in text, all services take and give them without a restart."""
    keyed_run(tmp_path)
    with running(tmp_path, MUSICREC_SERVICE_RELOAD_KEY="x", MUSICREC_SERVICE_POLL_S="0.2") as found:
        assert found.post("events", "/put", user_id=ALICE, item_id=7).status_code == 422
        assert found.post("recommendations", "/recommendations", user_id=ALICE).status_code == 422
        shutil.rmtree(tmp_path / "run")
        keyed_run(tmp_path, {ALICE: USER}, TEXT_ITEMS)
        _until(lambda: found.post("recommendations", "/recommendations", user_id=ALICE).ok)
        _until(lambda: found.post("events", "/get", user_id=ALICE).ok)
        assert found.recs("/recommendations_offline", user_id=ALICE, k=1) == ["spotify:track:0150"]


def test_an_export_of_large_numbers_keeps_them(tmp_path: Path) -> None:
    """Whole numbers above 2^31 are int64 in the export, others int32."""
    async def put(*plays: tuple[int, int]) -> pa.Table:
        store = event_store("sqlite", str(tmp_path / f"{len(plays)}.sqlite"))
        for play in plays:
            await store.put(*play)
        table = export.interactions(store)
        await store.close()
        return table

    small, large = asyncio.run(put((1, 2))), asyncio.run(put((1, 2), (1, LARGE)))
    assert (small.schema.field("track_id").type, large.schema.field("track_id").type) == (pa.int32(), pa.int64())
    assert large["track_id"].to_pylist() == [2, LARGE]
    pq.write_table(large, tmp_path / "plays.parquet")


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
