"""The page in a real browser, over real services on a small run.

Pictures of screens are compared with those in tests/pictures. To renew them after a wanted change, and to look at what was made:
RENEW_PICTURES=1 pytest tests/test_page.py -k screen
"""

import asyncio
import base64
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from PIL import Image
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from musicrec import registry, schema, settings
from musicrec.page.access import READ_ONLY, BasicAuth
from musicrec.registry import RunInfo
from musicrec.storage import storage
from tests.service_world import HEARD, ITEMS, PROJECT, USER, Services, free_port, services, write, write_run

pytest.importorskip("nicegui", reason="the page needs nicegui: pip install 'musicrec[page]'")
api = pytest.importorskip("playwright.sync_api", reason="tests of the page need playwright: pip install 'musicrec[dev]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="tests of the page need axe: pip install 'musicrec[dev]'")
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

EXPERIMENTS = """[places]
variants.control = {}
variants.online = {first = 'online'}

[later]
start = 2999-01-01
variants = {a = {}, b = {weight = 2}}
"""
# Pictures of a font that is the same on every machine, an eighth as wide and high as the screen, in gray.
FONT = base64.b64encode((Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf").read_bytes()).decode()
PICTURES, SMALLER = PROJECT / "tests" / "pictures", 8
STILL = (f"@font-face {{ font-family: Still; src: url(data:font/ttf;base64,{FONT}); }} :not(.q-icon) {{ font-family: Still !important; }}"
         "* { animation: none !important; transition: none !important; caret-color: transparent !important; }")


def named_run(folder: Path, personal: range) -> Path:
    """The artifacts of the little world with odd names, and lists of two models."""
    write_run(folder, personal)
    items = pq.read_table(folder / "items.parquet")
    names = [ODD.get(item, name) for item, name in zip(items["item_id"].to_pylist(), items["name"].to_pylist())]
    pq.write_table(items.set_column(items.schema.get_field_index("name"), "name", pa.array(names)), folder / "items.parquet")
    rows = [(user, item, 1.0, rank) for user in (16, USER) for rank, item in enumerate(range(200, 220), 1)]
    write(folder, replace(schema.PERSONAL, name="personal_als"), dict(zip(schema.PERSONAL.names, zip(*rows))))
    parts = [(16, item, rank, *part) for rank, item in enumerate(personal[:10], 1) for part in (("als", 1.5), ("item_age", -0.5))]
    write(folder, schema.CONTRIBUTIONS, dict(zip(schema.CONTRIBUTIONS.names, zip(*parts))))
    by_model = [(16, model, rank, first + rank) for model, first in (("slim", 140), ("theirs", 160)) for rank in range(1, 11)]
    write(folder, schema.LISTS_BY_MODEL, dict(zip(schema.LISTS_BY_MODEL.names, zip(*by_model))))
    months = {"item_id": list(HEARD), "month": [datetime(2022, 1, 1)] * len(HEARD), "plays": [2] * len(HEARD)}
    write(folder, schema.PLAYS_BY_MONTH, months)
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
    (root / "experiments.toml").write_text(EXPERIMENTS)
    found = services(root, MUSICREC_SERVICE_RELOAD_KEY="admin", MUSICREC_PAGE_URL=url, MUSICREC_SERVICE_IMPRESSIONS="true",
                     MUSICREC_SERVICE_POLL_S="1", MUSICREC_EXPERIMENTS_FILE=str(root / "experiments.toml"))
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


@contextlib.contextmanager
def opened(world: tuple[str, Services, list[str]], browser: "api.Browser") -> Iterator[Page]:
    """A tab of its own; the test fails when the browser asks another address, a script fails, or a dialog opens."""
    url, found, runs = world
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab, wrong = context.new_page(), list[str]()
    tab.on("request", lambda request: None if request.url.startswith((url, "data:", "blob:")) else wrong.append(request.url))
    tab.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    tab.set_default_timeout(30_000)
    yield Page(url, tab, found, runs)
    context.close()
    assert wrong == []


@pytest.fixture
def page(world: tuple[str, Services, list[str]], browser: "api.Browser") -> Iterator[Page]:
    """See opened."""
    with opened(world, browser) as found:
        yield found


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


def test_a_random_listener_is_one_with_lists_of_all_models(page: Page) -> None:
    """Of the two light users the one whose lists the run tells by model, a model of somebody else's included."""
    page.open("/").get_by_role("button", name="Random light user").click()
    page.tab.get_by_role("heading", name="User 16").wait_for()
    page.tab.locator(".m-lists").wait_for()
    lists = page.tab.locator(".m-lists").inner_text()
    for name, first in (("SLIM", "Track 141"), ("theirs", "Track 161"), ("ALS", "Track 200")):
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
    """Place, similar tracks with their source, users with it in their list, plays by month; its artist leads to the artist's tracks."""
    tab = page.open("/track?item=151")
    text = page.text()
    assert "849 listeners; place 52 of 200 by popularity" in text
    assert "0.90\tplayed by the same people" in text
    assert "Track 152" in text
    tab.get_by_text("of 2 users").wait_for()
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
    serve(page, page.runs[1])


def serve(page: Page, run: str) -> None:
    """Make the run current, and return when services and page are of it."""
    registry.rollback(storage(str(page.services.root / "artifacts"), {}), run)
    assert requests.post(page.services.url("recommendations") + "/reload", headers={"X-Reload-Key": "admin"}, timeout=10).ok
    deadline = time.monotonic() + 60
    while run not in requests.get(page.url, timeout=5).text:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_health_goes_on_while_a_service_is_down(page: Page) -> None:
    """A service that is gone is told, the others keep their numbers, and it is back on the screen that stayed open."""
    tab = page.open("/health")
    assert page.text().count("ready") >= 3
    page.services.stop("features")
    tab.get_by_text("features service at").wait_for()
    page.services.start("features")
    tab.get_by_text("features service at").wait_for(state="detached")


def test_a_radio_goes_on_with_what_is_played(page: Page) -> None:
    """A skipped track leaves, a played one brings similar ones, a liked one stays and adds some, and the queue is exported."""
    tab = page.open("/radio?item=151")
    tab.get_by_role("button", name="Skip: Vague Violin").click()
    tab.get_by_role("button", name="Skip: Vague Violin").wait_for(state="detached")
    tab.get_by_role("button", name="Play: Track 156").click()
    tab.get_by_role("link", name="Track 166").wait_for()
    tab.get_by_role("button", name="Play: Track 156").wait_for(state="detached")
    tab.get_by_role("button", name="Like: Track 166").click()
    tab.get_by_role("link", name=re.compile("Track 16[789]")).first.wait_for()
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Export as M3U").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "#EXTM3U"
    assert "Track 166" in "".join(lines)
    assert "Vague Violin" not in "".join(lines)


def test_a_radio_of_a_genre_is_as_hard_and_familiar_as_one_wants(page: Page) -> None:
    """The hard third is the least popular one; familiar tracks are those of the listener, and what is played is stored for this user."""
    tab = page.open("/radio")
    tab.get_by_label("Search a track, an artist or a genre").fill("roc")
    tab.get_by_role("button", name="rock (genre)").click()
    tab.locator(".m-line").first.wait_for()
    tab.get_by_role("button", name="Hard").click()
    tab.get_by_role("link", name="Track 2").first.wait_for()
    assert tab.locator(".m-line", has_text="Track 1").count() == 0
    tab.get_by_role("button", name="Familiar").click()
    tab.get_by_label("Listener (optional)").fill(str(USER))
    tab.get_by_role("link", name="Track 107").wait_for()
    assert tab.locator(".m-line", has_text="Track 2").count() == 0
    tab.get_by_role("button", name="Play: Track 107").click()
    tab.get_by_role("button", name="Play: Track 107").wait_for(state="detached")
    assert 107 in page.services.post("events", "/get", user_id=USER).json()["events"]


def test_an_experiment_is_reported_paused_and_resumed(page: Page) -> None:
    """Who is where, what each variant brought by day, and the split; the key for administration pauses it, for services too."""
    users = range(2001, 2031)
    for user in users:
        shown = page.services.recs("/recommendations", user_id=user, k=4)
        page.services.post("events", "/put", user_id=user, item_id=shown[0])
    tab = page.open("/experiments")
    tab.get_by_label("Key of a user").fill("2007")
    tab.get_by_role("cell", name="has not begun").nth(1).wait_for()
    tab.get_by_role("button", name="Read the event store and report").click()
    tab.get_by_text("users are split as the weights say").wait_for(timeout=60_000)
    assert "Guardrails: the answers themselves" in page.text()
    assert re.search(r"\d \[\d\.\d{4}, \d\.\d{4}\] \(\d+\)", page.text())
    tab.get_by_role("button", name="Pause").click()
    confirm = tab.get_by_role("dialog").get_by_role("button", name="Pause")
    confirm.click()
    tab.get_by_text("send the key for administration").wait_for()
    tab.get_by_label("Key for administration").fill("admin")
    confirm.click()
    tab.get_by_role("button", name="Resume").wait_for()
    assert (page.services.root / "experiments.toml").read_text() == EXPERIMENTS.replace("[places]", "[places]\npaused = true")
    running(page, [])
    tab.get_by_role("button", name="Resume").click()
    tab.get_by_label("Key for administration").fill("admin")
    tab.get_by_role("dialog").get_by_role("button", name="Resume").click()
    tab.get_by_role("button", name="Pause").wait_for()
    running(page, ["places"])


def running(page: Page, names: list[str]) -> None:
    """Return when the service runs these experiments."""
    deadline = time.monotonic() + 30
    while [*requests.get(page.services.url("recommendations") + "/stats", timeout=5).json()["experiments"]["running"]] != names:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_list_is_explained_where_the_run_says_why(page: Page) -> None:
    """What adds to a track's score stands below its reason; a listener whom the run does not explain is told so."""
    page.open("/?user=16").get_by_text("+1.50").first.wait_for()
    assert page.tab.get_by_text("-0.50").count() == page.tab.get_by_text("+1.50").count() > 3
    page.open(f"/?user={USER}").get_by_text("does not say what the ranker made").wait_for()


def test_a_run_may_come_while_a_screen_is_open(page: Page) -> None:
    """The screen that stays open goes on with the new run, and the next one says that it is of it."""
    tab = page.open("/?user=17")
    tab.get_by_text(f"run {page.runs[1]}").wait_for()
    try:
        serve(page, page.runs[0])
        tab.get_by_role("button", name="Never again").first.click()
        tab.get_by_text("new", exact=True).first.wait_for()
        assert page.runs[0] in page.open("/runs").locator("header").inner_text()
    finally:
        serve(page, page.runs[1])


def test_one_screen_follows_another_without_a_new_page(page: Page) -> None:
    """A link and the way back show their screens in the page that is there, with its head; the keyboard goes on in the content."""
    tab = page.open("/runs")
    tab.evaluate("window.stays = true")
    tab.get_by_role("link", name="Radio").click()
    tab.get_by_role("heading", name="Radio", level=1).wait_for()
    tab.wait_for_url(page.url + "/radio")
    tab.wait_for_function("document.title.startsWith('Radio') && document.activeElement.id === 'content'")
    assert tab.locator("nav [aria-current]").inner_text() == "Radio"
    tab.go_back()
    tab.get_by_role("heading", name="Published runs").wait_for()
    assert tab.evaluate("window.stays")
    assert requests.get(page.url + "/nowhere", timeout=5).status_code == 404


def test_two_browsers_do_not_disturb_each_other(page: Page, world: tuple[str, Services, list[str]], browser: "api.Browser") -> None:
    """Two listeners play at the same time, and each sees the list of this listener alone."""
    with opened(world, browser) as other:
        for one, user in ((page, 1001), (other, 1002)):
            one.open(f"/?user={user}")
        page.tab.get_by_role("button", name="Play: Track 106").click()
        other.tab.get_by_role("button", name="Play: Track 108").click()
        page.tab.get_by_text("similar to Track 106 which you played").first.wait_for()
        other.tab.get_by_text("similar to Track 108 which you played").first.wait_for()
        assert "similar to Track 108" not in page.text()
        assert "similar to Track 106" not in other.text()


@pytest.mark.parametrize(("name", "path"), {
    "start": "/", "listener": "/?user=16", "track": "/track?item=151", "radio": "/radio?item=151&seed=7", "runs": "/runs",
    "experiments": "/experiments?experiment=later", "health": "/health"}.items())
def test_a_screen_looks_as_it_did_and_is_for_everybody(page: Page, name: str, path: str) -> None:
    """Of a small gray picture less than one place in 100 differs from the committed one; the screen keeps to WCAG 2.2 AA, light and dark;
    at 390 pixels nothing lies beside it; its head leads to the content by keyboard.
    """
    tab = page.open(path)
    # Which bars the screen of services has depends on what was asked before.
    tab.add_style_tag(content=STILL + ".m-bars { display: none; }" * (name == "health"))
    tab.evaluate("document.fonts.ready")
    assert_accessible(tab, {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
    assert_looks_alike(tab, f"{name}-1280.png")
    tab.set_viewport_size({"width": 390, "height": 840})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert_looks_alike(tab, f"{name}-390.png")
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function("document.body.classList.contains('body--dark')")
    assert_accessible(tab, {"type": "rule", "values": ["color-contrast"]})
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Go to the content"


def assert_accessible(tab: "api.Page", rules: dict[str, object]) -> None:
    """axe-core finds nothing against these rules."""
    found = axe.Axe().run(tab, options={"runOnly": rules})
    assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == []


def assert_looks_alike(tab: "api.Page", name: str) -> None:
    """The screen, as a small gray picture, is nearly the committed one."""
    shot = Image.open(io.BytesIO(tab.screenshot())).convert("L")
    small = shot.resize((shot.width // SMALLER, shot.height // SMALLER), Image.Resampling.BOX)
    if os.environ.get("RENEW_PICTURES"):
        small.save(PICTURES / name, optimize=True)
    difference = np.abs(np.asarray(small, float) - np.asarray(Image.open(PICTURES / name), float))
    assert (difference > 24).mean() < 0.01


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
