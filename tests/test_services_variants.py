"""What a variant may change, through real services: the run, the mode, exploration; and what is recorded of every list."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from musicrec.events import Impression, UserFeedback, event_store
from musicrec.events.protocol import NOBODY
from musicrec.experiments.assignment import Experiment, Variant
from tests.service_world import PERSONAL, POPULAR, USER, Services, published, running

pytestmark = pytest.mark.slow
LATER, FAMILIAR = range(170, 200), (103, 101)


def salt(**variants: int) -> str:
    """A salt with which these users are in these variants, in the order of their names."""
    names = tuple(map(Variant, variants))
    for at in range(1000):
        one = Experiment("x", names, salt=str(at))
        if all((own := one.variant_of(user)) and own.name == name for name, user in variants.items()):
            return str(at)
    raise AssertionError


@dataclass
class Shop:
    """Services over two runs, of which the later one is current."""

    services: Services
    file: Path
    earlier: str
    later: str
    runs: int = 0

    def run(self, text: str) -> None:
        """Put up an experiment of another name than before, and wait until it runs."""
        self.runs += 1
        self.file.write_text(f"[x{self.runs}]\n{text}")
        self.until(lambda: list(self.state()["running"]) == [f"x{self.runs}"])

    def until(self, true: Callable[[], bool]) -> None:
        """Return when `true` says so."""
        deadline = time.monotonic() + 20
        while not true():
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.05)

    def state(self) -> dict[str, Any]:
        """What /stats says of experiments."""
        found: dict[str, Any] = requests.get(f"{self.services.url('recommendations')}/stats", timeout=5).json()["experiments"]
        return found

    def ask(self, user: int, path: str = "/recommendations", **more: object) -> requests.Response:
        """The answer for a user."""
        answer = self.services.post("recommendations", path, user_id=user, **{"k": 5, **more})
        assert answer.ok, answer.text
        return answer

    def impressions(self, answer: requests.Response) -> list[Impression]:
        """What is stored of an answer, as soon as it is."""
        name = answer.headers["X-Recommendation-Id"]
        with closing(sqlite3.connect(self.services.root / "events.sqlite")) as file:
            self.until(lambda: file.execute("SELECT count(*) FROM exposures WHERE recommendation_id = ?", (name,)).fetchone()[0] > 0)
        store = event_store("sqlite", str(self.services.root / "events.sqlite"))
        return [row for row in store.impressions() if row.recommendation_id == name]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Services that record exposures."""
    root = tmp_path_factory.mktemp("shop")
    earlier, later = published(root), published(root, LATER, familiar=FAMILIAR)
    with running(root, MUSICREC_SERVICE_IMPRESSIONS="true", MUSICREC_SERVICE_POLL_S="0.2",
                 MUSICREC_EXPERIMENTS_FILE=str(root / "experiments.toml")) as services:
        yield Shop(services, root / "experiments.toml", earlier, later)


def test_two_runs_are_served_side_by_side(shop: Shop) -> None:
    """Each user gets the list of the run of his variant, alone and in a batch, and it is gone when the experiment is paused."""
    text = f"salt = '{salt(now=USER, before=16)}'\nvariants.now = {{}}\nvariants.before = {{run = '{shop.earlier}'}}\n"
    shop.run(text)
    for user, run, personal in ((USER, shop.later, LATER), (16, shop.earlier, PERSONAL)):
        answer = shop.ask(user)
        assert answer.headers["X-Run-Id"] == run
        assert answer.json()["recs"] == list(personal[:5])
        assert {row.run for row in shop.impressions(answer)} == {run}
    url = shop.services.url("recommendations") + "/recommendations/batch"
    batch = requests.post(url, json={"user_ids": [USER, 16], "k": 3}, timeout=10)
    assert [one["recs"] for one in batch.json()["answers"]] == [list(LATER[:3]), list(PERSONAL[:3])]
    shop.file.write_text(f"[x{shop.runs}]\n{text}paused = true\n")
    shop.until(lambda: not shop.state()["running"])
    assert shop.ask(16).headers["X-Run-Id"] == shop.later


def test_an_experiment_waits_for_its_runs(shop: Shop) -> None:
    """While a run cannot be loaded nobody is in any variant, and /stats says which run it is."""
    shop.file.write_text("[x]\nvariants.a = {}\nvariants.b = {run = '20200101T000000Z-000000'}\n")
    shop.until(lambda: "20200101T000000Z-000000" in shop.state()["problem"])
    assert shop.state()["running"] == {}
    assert "X-Variant" not in shop.ask(USER).headers
    shop.file.write_text("[x]\nvariants.a = {}\nvariants.b = {run = '../../etc'}\n")
    shop.until(lambda: "key 'variants.b.run'" in shop.state()["problem"])


def test_a_variant_has_a_mode_of_its_own(shop: Shop) -> None:
    """Requests without a mode get that of the variant, in a batch too; a request that names one gets what it names."""
    shop.run("variants.a = {mode = 'familiar'}\nvariants.b = {mode = 'familiar', weight = 0.001}\n")
    assert shop.ask(USER).json()["recs"] == list(FAMILIAR)
    assert shop.ask(USER, "/recommendations_offline").json()["recs"] == list(FAMILIAR)
    assert shop.ask(USER, mode="new").json()["recs"] == list(LATER[:5])
    url = shop.services.url("recommendations") + "/recommendations/batch"
    recs = [requests.post(url, json={"user_ids": [USER], "k": 3, **more}, timeout=10).json()["answers"][0]["recs"]
            for more in ({}, {"mode": "new"}, {"mode": "mixed"})]
    assert recs == [list(FAMILIAR), list(LATER[:3]), [FAMILIAR[0], LATER[0], FAMILIAR[1]]]


def test_artists_of_the_session_fall_off(shop: Shop) -> None:
    """Further tracks of an artist who was just played come later in blended lists and in those of sessions, by the decay of the variant;
    personal lists stay as they are."""
    shop.run("variants.a = {artist_decay = 0.5}\nvariants.b = {artist_decay = 0.5, weight = 0.001}\n")
    assert shop.services.post("events", "/put", user_id=16, item_id=115).ok  # of the artist of 171, 178, 185 and 192
    places = [shop.ask(16, path, k=40).json()["recs"].index(171) for path in ("/recommendations_offline", "/recommendations")]
    assert places == [1, 30]
    url = shop.services.url("recommendations") + "/session/recommendations"
    session = {"items": [{"item_id": 115}, {"item_id": 121}], "user_id": 16, "k": 10}
    assert requests.post(url, json=session, timeout=10).json()["recs"][-1] == 122
    shop.run("variants.a = {artist_decay = 1}\nvariants.b = {artist_decay = 1, weight = 0.001}\n")
    assert shop.ask(16, k=30).json()["recs"].index(171) == 2


def test_diversity_lets_further_tracks_of_an_artist_fall_off(shop: Shop) -> None:
    """Of two tracks of an artist at the top the second one comes after one track of every other artist; pages fit together."""
    asked = {"exclude": list(range(171, 177)), "k": 8}
    assert shop.ask(USER, "/recommendations_offline", **asked).json()["recs"] == [170, *range(177, 184)]
    diverse = shop.ask(USER, "/recommendations_offline", diversity=0.5, **asked).json()["recs"]
    assert diverse == [170, *range(178, 184), 177]
    page = shop.ask(USER, "/recommendations_offline", diversity=0.5, **{**asked, "k": 4}, offset=4)
    assert page.json()["recs"] == diverse[4:]


def test_exploration_is_recorded_with_its_propensities(shop: Shop) -> None:
    """Every impression of an explored list has one, drawn tracks a small one; pages have no track twice; other lists have none."""
    shop.run("variants.a = {exploration = 0.5}\nvariants.b = {exploration = 0.5, weight = 0.001}\n")
    answers = [shop.ask(USER, k=20, offset=offset) for offset in (0, 20)]
    recs = [item for answer in answers for item in answer.json()["recs"]]
    assert len(set(recs)) == 40
    rows = shop.impressions(answers[0])
    kept = {row.item_id for row in rows if row.propensity == 0.5}
    assert kept == set(recs[:20]) & {*LATER, *range(110, 130)}  # which have the first 50 places
    assert {row.propensity for row in rows if row.item_id not in kept} == {0.1}
    assert 0 < len(kept) < 20
    assert {row.propensity for row in shop.impressions(shop.ask(USER, "/recommendations_offline"))} == {None}


def test_every_list_is_recorded(shop: Shop) -> None:
    """Popular lists, sessions and radio are recorded, of whom they say, or of nobody; an empty list has a row without an item."""
    base = shop.services.url("recommendations")
    popular = shop.ask(USER, "/recommendations_default", k=3)
    session = requests.post(f"{base}/session/recommendations", json={"items": [{"item_id": 150}], "k": 3}, timeout=10)
    radio = requests.get(f"{base}/radio", params={"track": 150, "k": 3, "user_id": USER, "format": "m3u"}, timeout=10)
    for answer, user, source in ((popular, USER, "popular"), (session, NOBODY, "online"), (radio, USER, "track")):
        rows = shop.impressions(answer)
        assert [(row.user_id, row.source, row.position, row.run, row.outcome) for row in rows] == [
            (user, source, place, shop.later, "") for place in range(3)]
        assert all(row.ms and row.ms > 0 for row in rows)
    assert [row.item_id for row in shop.impressions(popular)] == list(POPULAR[:3])
    odd = requests.post(f"{base}/recommendations_default", params={"user_id": "whoever", "k": 1}, timeout=10)
    assert [(row.user_id, row.item_id) for row in shop.impressions(odd)] == [(NOBODY, POPULAR[0])]
    assert [(row.user_id, row.item_id) for row in shop.impressions(shop.ask(5, "/recommendations_online"))] == [(5, None)]


def test_feedback_may_name_its_answer(shop: Shop) -> None:
    """The id of the answer is stored with the feedback, whatever the route; a long one is refused."""
    answer = shop.ask(USER)
    name = answer.headers["X-Recommendation-Id"]
    for route, user in (("/put", 31), ("/feedback", 32)):
        assert shop.services.post("events", route, user_id=user, item_id=150, recommendation_id=name).ok
    assert shop.services.post("events", "/put", user_id=33, item_id=150).ok
    assert shop.services.post("events", "/put", user_id=33, item_id=150, recommendation_id="x" * 101).status_code == 422
    store = event_store("sqlite", str(shop.services.root / "events.sqlite"))
    stored: list[UserFeedback] = list(store.feedback())
    assert [(row.user_id, row.recommendation_id) for row in stored if 31 <= int(row.user_id) <= 33] == [(31, name), (32, name), (33, "")]
