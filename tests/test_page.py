"""The page in a real browser, over real services on a small run."""

import asyncio
import base64
import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from musicrec import registry, schema, settings
from musicrec.page.access import READ_ONLY, BasicAuth
from musicrec.registry import RunInfo
from musicrec.storage import storage
from tests.service_world import ITEMS, PROJECT, USER, Services, free_port, services, write, write_run

pytest.importorskip("nicegui", reason="the page needs nicegui: pip install 'musicrec[page]'")
api = pytest.importorskip("playwright.sync_api", reason="tests of the page need playwright: pip install 'musicrec[dev]'")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(CHROMIUM is None, reason="tests of the page need Debian's chromium: apt install chromium")]
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")
ODD = {100: "<script>alert(1)</script>", 101: "$uicide$ Ba$$in", 102: "\u202eevil", 103: "שיר", 104: "{{ 7 * 7 }}", 105: "手紙",
       150: "<img src=x onerror=alert(1)>", 151: "Vague Violin"}
METRICS = {"warm": [{"model": name, "users": 2, "ndcg@10": value, "ndcg@10_low": value - 0.1, "ndcg@10_high": value + 0.1}
                    for name, value in (("ranked", 0.5), ("als", 0.25))],
           "published": "ranked", "reason": "ranked is published because it is best.", "trained_until": "2022-12-31",
           "evaluated_on": {"users": 2, "from": "2022-12-16"},
           "promotion": [{"list": "als", "users": 2, "ndcg@10": 0.25, "gain": -0.5, "gain_low": -0.6, "gain_high": -0.4}]}


def named_run(folder: Path, personal: range) -> Path:
    """The artifacts of the little world with odd names, and lists of two models."""
    write_run(folder, personal)
    items = pq.read_table(folder / "items.parquet")
    names = [ODD.get(item, name) for item, name in zip(items["item_id"].to_pylist(), items["name"].to_pylist())]
    pq.write_table(items.set_column(items.schema.get_field_index("name"), "name", pa.array(names)), folder / "items.parquet")
    rows = [(user, item, 1.0, rank) for user in (16, USER) for rank, item in enumerate(range(200, 220), 1)]
    write(folder, replace(schema.PERSONAL, name="personal_als"), dict(zip(schema.PERSONAL.names, zip(*rows))))
    (folder / "recommendations_ub.json").write_text("".join(f'{{"user": {user}, "tracks": [{first}]}}\n' for user, first in (
        (16, 220), (USER, 230))))
    return folder


@dataclass
class Page:
    """The page of the little world in a browser tab."""

    url: str
    tab: "api.Page"
    services: Services
    runs: list[str]

    def open(self, path: str) -> "api.Page":
        """The tab with that screen, connected."""
        self.tab.goto(self.url + path)
        self.tab.locator(".m-main").wait_for()
        self.tab.wait_for_function("window.did_handshake")
        return self.tab

    def text(self) -> str:
        """What the screen says."""
        return self.tab.locator(".m-main").inner_text()


@pytest.fixture(scope="module")
def browser() -> Iterator["api.Browser"]:
    """Debian's chromium, with a profile of its own."""
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Services, list[str]]]:
    """Services and page over two runs, the later one current."""
    root = tmp_path_factory.mktemp("page")
    place = storage(str(root / "artifacts"), {})
    runs = [registry.publish(place, named_run(root / "run", range(first, last)), RunInfo({"ranking": {"k": last - first}}, METRICS),
                             datetime(2023, 1, day, tzinfo=UTC)) for day, (first, last) in enumerate(((160, 190), (150, 179)), 1)]
    url = f"http://127.0.0.1:{free_port()}"
    found = services(root, MUSICREC_SERVICE_RELOAD_KEY="admin", MUSICREC_PAGE_URL=url)
    page = subprocess.Popen([sys.executable, "-m", "musicrec", "page"], env={
        name: value for name, value in found.environment.items() if name != "PYTEST_CURRENT_TEST"})
    try:
        found.start(*found.ports)
        wait_for(url)
        yield url, found, runs
    finally:
        for process in (page, *found.running.values()):
            process.kill()
            process.wait()


def wait_for(url: str) -> None:
    """Return when somebody answers there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(url, timeout=5)
            return
        time.sleep(0.1)
    raise AssertionError("the page did not start")


@pytest.fixture
def page(world: tuple[str, Services, list[str]], browser: "api.Browser") -> Iterator[Page]:
    """A tab of its own; the test fails when the browser asks another address, a script fails, or a dialog opens."""
    url, found, runs = world
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab, wrong = context.new_page(), list[str]()
    tab.on("request", lambda request: None if request.url.startswith((url, "data:", "blob:")) else wrong.append(request.url))
    tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    tab.set_default_timeout(10_000)
    yield Page(url, tab, found, runs)
    context.close()
    assert wrong == []


def test_a_play_changes_the_list_that_is_served(page: Page) -> None:
    """What is similar to the track that was played comes into the list, marked as new, and the play is stored."""
    tab = page.open("/")
    tab.get_by_label("Key of a user").fill(str(USER))
    tab.get_by_role("button", name="Show").click()
    tab.get_by_text("10 plays of 10 tracks").wait_for()
    assert "similar to" not in page.text()
    tab.get_by_role("button", name="Play: Vague Violin").click()
    tab.get_by_text("similar to Vague Violin which you played").first.wait_for()
    assert tab.get_by_text("new", exact=True).count()
    assert page.services.post("events", "/get", user_id=USER).json()["events"] == [151]


def test_the_served_list_stands_beside_those_of_models(page: Page) -> None:
    """The list of each model whose list is published, read for this user alone."""
    page.open(f"/?user={USER}")
    lists = page.tab.locator(".m-lists").inner_text()
    for name, first in (("ALS", "Track 200"), ("User-based CF", "Track 230"), ("Most popular", ODD[100])):
        assert first in lists.partition(name)[2]


def test_an_empty_user_starts_from_names_with_typos(page: Page) -> None:
    """A random cold user has no plays; after one choice the list has reasons."""
    tab = page.open("/")
    tab.get_by_role("button", name="Random cold user").click()
    tab.get_by_text("No plays in the logs of this run.").wait_for()
    tab.get_by_label("Search a track or an artist").fill("vagu violn")
    tab.get_by_role("button", name="Vague Violin").click()
    tab.get_by_text("similar to Vague Violin which you played").first.wait_for()


def test_names_stay_text(page: Page) -> None:
    """Markup, templates, formulas and right-to-left marks are shown as they are written, in tables, lists and headings."""
    page.open(f"/?user={USER}")
    page.tab.locator("td", has_text="Track 109").wait_for()
    shown = page.tab.locator(".m-main").text_content() or ""
    assert [name for name in ODD.values() if name not in shown] == []
    page.open("/track?item=150")
    assert page.tab.locator("h2").first.text_content() == ODD[150]


def test_a_track_shows_what_is_known_of_it(page: Page) -> None:
    """Place, similar tracks, users with it in their list, plays by month; its artist leads to the artist's tracks."""
    tab = page.open("/track?item=151")
    text = page.text()
    assert "849 listeners; place 52 of 200 by popularity" in text
    assert "Track 152" in text
    assert "of 2 users" in text
    page.open("/track?item=107").get_by_text("2022-01: 2").wait_for()
    tab.get_by_role("link", name="Artist 2").first.click()
    tab.get_by_text("tracks with most listeners").wait_for()
    assert "Track 107" in page.text()


def test_runs_tell_why_and_are_rolled_back_with_the_key_alone(page: Page) -> None:
    """The earlier run becomes current, for services too, after the key for administration; not after another."""
    tab = page.open("/runs")
    text = page.text()
    for told in ("ranked is published because it is best.", "0.5000 [0.4000, 0.6000]", "-0.5000 [-0.6000, -0.4000]", "ranking.k: 30 -> 29"):
        assert told in text
    tab.get_by_role("button", name="Compare the lists").click()
    tab.get_by_text("100.0% of 2 users have other items").wait_for()
    tab.get_by_role("link", name=page.runs[0]).click()
    tab.get_by_role("button", name="Make this run current").click()
    tab.get_by_label("Key for administration").fill("wrong")
    confirm = tab.get_by_role("dialog").get_by_role("button", name="Make this run current")
    confirm.click()
    tab.get_by_text("send the key for administration").wait_for()
    assert registry.current(storage(str(page.services.root / "artifacts"), {})).run_id == page.runs[1]
    tab.get_by_label("Key for administration").fill("admin")
    confirm.click()
    confirm.wait_for(state="detached")
    assert requests.get(page.services.url("recommendations") + "/stats", timeout=5).json()["run_id"] == page.runs[0]
    registry.rollback(storage(str(page.services.root / "artifacts"), {}), page.runs[1])


def test_health_goes_on_while_a_service_is_down(page: Page) -> None:
    """A service that is gone is told, the others keep their numbers, and it is back on the screen that stayed open."""
    tab = page.open("/health")
    assert page.text().count("ready") >= 3
    page.services.stop("features")
    tab.get_by_text("features service at").wait_for()
    page.services.start("features")
    tab.get_by_text("features service at").wait_for(state="detached")


def test_a_radio_goes_on_with_what_is_played(page: Page) -> None:
    """A skipped track leaves, a played one brings similar ones, and the queue is exported."""
    tab = page.open("/radio?item=151")
    tab.get_by_role("button", name="Skip: Vague Violin").click()
    tab.get_by_role("button", name="Skip: Vague Violin").wait_for(state="detached")
    tab.get_by_role("button", name="Play: Track 156").click()
    tab.get_by_text("Track 161").wait_for()
    tab.get_by_role("button", name="Play: Track 156").wait_for(state="detached")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Export as M3U").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    assert "Vague Violin" not in "".join(lines)


@pytest.mark.parametrize("path", ["/", f"/?user={USER}", "/track?item=150", "/radio?item=151", "/runs", "/health"])
def test_a_screen_fits_a_phone_and_begins_with_a_way_to_its_content(page: Page, path: str) -> None:
    """At 390 pixels nothing lies beside the screen; the head of every screen leads to its content by keyboard."""
    page.tab.set_viewport_size({"width": 390, "height": 840})
    tab = page.open(path)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Go to the content"


def test_a_page_of_another_site_may_not_speak_for_a_visitor(world: tuple[str, Services, list[str]]) -> None:
    """Its requests are answered 403."""
    assert requests.get(world[0], headers={"Origin": "http://evil.example"}, timeout=5).status_code == 403
    assert requests.get(world[0], headers={"Origin": world[0]}, timeout=5).status_code == 200


@pytest.mark.parametrize(("kind", "key", "told"), [
    ("http", "full", 200), ("http", "read", 203), ("http", "other", 401), ("http", "", 401), ("websocket", "", "websocket.close")])
def test_a_key_is_asked_for_where_one_is_set(kind: str, key: str, told: object) -> None:
    """Without it neither screens nor their connections answer; the key for reading is told from the one that may write."""
    answers = list[Message]()

    async def screen(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", 203 if scope[READ_ONLY] else 200)(scope, receive, send)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        answers.append(message)

    given = base64.b64encode(f"me:{key}".encode()) if key else b"?"
    scope = {"type": kind, "method": "GET", "path": "/", "headers": [(b"authorization", b"Basic " + given)]}
    keys = {"MUSICREC_SERVICE_API_KEY": "full", "MUSICREC_SERVICE_READ_KEY": "read"}
    page = BasicAuth(screen, settings.load(PROJECT / "config.ini", keys).service)
    with ThreadPoolExecutor(1) as pool:  # the browser's event loop runs in this thread
        pool.submit(asyncio.run, page(scope, receive, send)).result()
    assert answers[0].get("status", answers[0]["type"]) == told


def test_the_little_world_is_large_enough() -> None:
    """The items of the tests are among those of the world."""
    assert {*ODD} <= {*ITEMS}
