"""How long the interactions of the page take in a browser, beside the services: milliseconds from the click until the screen shows it.

A screen is opened from an address, by a browser that has been there before or not, and gone to from another screen.

    musicrec serve --page                                                  # in another terminal
    python -m benchmarks.page [--url http://127.0.0.1:8080] [--user 617032] [--item 99262] [--times 20]

Plays are stored for users that nobody is: 2000000001 and so on. Needs Debian's chromium and playwright.
"""

import argparse
import shutil
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import requests
from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

from benchmarks.children import machine

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_NOBODY = 2_000_000_000
_LINE = ".m-line"
_LISTENER, _TRACK, _RUNS, _SERVICES = (f'h1:text-is("{name}") ~ * {shown}' for name, shown in (
    ("Listener", _LINE), ("Tracks and artists", ".m-table"), ("Runs", ".m-table"), ("Health", ".m-table")))
_SIZE: ViewportSize = {"width": 1280, "height": 900}


def main() -> None:
    """Take every interaction some times and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--user", default="617032")
    parser.add_argument("--item", default="99262")
    parser.add_argument("--search", nargs="+", default=["go", "gol", "goldne"])
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    print(machine())
    times: dict[str, list[float]] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_ARGUMENTS)
        tab = browser.new_page(viewport=_SIZE)

        def took(what: str, act: Callable[[], object], shown: Locator, state: str = "visible") -> None:
            begun = time.perf_counter()
            act()
            shown.first.wait_for(state=state)  # type: ignore[arg-type]
            times.setdefault(what, []).append(1000 * (time.perf_counter() - begun))

        for turn in range(options.times + 1):
            # The first turn warms everything up.
            if turn == 1:
                times.clear()
            for what, path, shown in (
                    ("a listener", f"/?user={options.user}", _LISTENER), ("a track", f"/track?item={options.item}", _TRACK),
                    ("the runs", "/runs", _RUNS), ("the services", "/health", _SERVICES)):
                took(f"open {what}", partial(tab.goto, options.url + path, wait_until="commit"), tab.locator(shown))
                _connected(tab)
                new = browser.new_context(viewport=_SIZE).new_page()
                took(f"open {what}, first visit", partial(new.goto, options.url + path, wait_until="commit"), new.locator(shown))
                new.context.close()
            tab.goto(options.url)
            _connected(tab)
            tab.get_by_label("Key of a user").fill(options.user)
            for what, act, shown in (("a listener", tab.get_by_role("button", name="Show"), _LISTENER),
                                     ("a track", tab.locator(f"{_LINE} a").first, _TRACK),
                                     ("the runs", tab.get_by_role("link", name="Runs"), _RUNS),
                                     ("the services", tab.get_by_role("link", name="Health"), _SERVICES)):
                took(f"go to {what}", act.click, tab.locator(shown))
                _connected(tab)
                tab.wait_for_timeout(300)
            tab.goto(f"{options.url}/?user={_NOBODY + turn}")
            _connected(tab)
            for kind in ("Play", "Like", "Skip"):
                button = tab.get_by_role("button", name=f"{kind}: ").nth(1)
                took(f"{kind.lower()} in a list", button.click, tab.locator(".q-notification", has_text=kind))
            tab.goto(f"{options.url}/radio?item={options.item}")
            _connected(tab)
            for kind in ("Skip", "Like", "Play"):
                tab.locator(_LINE).nth(2).wait_for()
                # The queue is drawn again, so that the line as it was goes.
                line = tab.locator(f"#{tab.locator(_LINE).nth(2).get_attribute('id')}")
                took(f"{kind.lower()} in a radio", line.get_by_role("button", name=f"{kind}: ").click, line, "detached")
            field = tab.get_by_label("Search a track, an artist or a genre")
            for text in options.search:
                field.fill("")
                tab.get_by_role("button", name=" · ").first.wait_for(state="detached")
                took(f"search {text!r}, of it 100 ms until it is sent", partial(field.fill, text),
                     tab.locator("[aria-live] button"))
        browser.close()
    for what, found in times.items():
        print(f"{what:<45} median {np.median(found):6.0f} ms, 95 % {np.quantile(found, 0.95):6.0f} ms")
    print(f"all: 95 % {np.quantile([one for found in times.values() for one in found], 0.95):.0f} ms; the page answered "
          f"{requests.get(options.url, timeout=10).elapsed.total_seconds() * 1000:.0f} ms after a plain GET")


def _connected(tab: Page) -> None:
    tab.wait_for_function("window.did_handshake")


if __name__ == "__main__":
    main()
