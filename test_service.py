"""Client of the three services for the command line. This is not a test: run it with -h."""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from musicrec import settings
from musicrec.errors import ServiceError, SettingsError
from musicrec.settings.addresses import is_loopback
from musicrec.settings.sections import keys_in

LOG = "test_service.log"
TIMEOUT_S = 10
PORTS = {"recommendations": 8000, "features": 8010, "events": 8020}
ROUTES = {"offline": "/recommendations_offline", "online": "/recommendations_online", "blended": "/recommendations"}
EXAMPLES = """examples:
  python test_service.py                                                top 10, the same for everybody
  python test_service.py --offline --user_id 617032 --k 10              from the listening history
  python test_service.py --add_online --user_id 617032 --item_id 99262  tell that the track was played just now
  python test_service.py --online --user_id 617032 --k 10               from the latest plays
  python test_service.py --blended --user_id 617032 --k 10              both in turns
  python test_service.py --blended --user_id 617032 --mode familiar     tracks that the user has played before

Addresses are read from config.ini, section [urls]. What is printed is also appended to test_service.log.
exit codes: 0 answered, 1 a service failed or does not run, 2 the command or config.ini is wrong"""

log = logging.getLogger("test_service")


class WrongRequest(Exception):  # noqa: N818 - an answer with exit code 2, not a fault of a service
    """The service refused the request as it was asked."""


def asked(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed command line; a wrong one ends the program with exit code 2."""
    parser = argparse.ArgumentParser(description="Ask the recommendations service, or tell the events service what was played.",
                                     epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    one_of = parser.add_mutually_exclusive_group()
    one_of.add_argument("--offline", dest="command", action="store_const", const="offline",
                        help="recommendations from the listening history")
    one_of.add_argument("--online", dest="command", action="store_const", const="online", help="tracks similar to the latest plays")
    one_of.add_argument("--blended", dest="command", action="store_const", const="blended", help="offline and online in turns")
    one_of.add_argument("--add_online", dest="command", action="store_const", const="add_online",
                        help="store that the user played the item")
    parser.add_argument("--user_id", help="the listener, by number or key")
    parser.add_argument("--item_id", help="the track, by number or key, with --add_online")
    parser.add_argument("--k", type=int, default=10, help="how many tracks (default: 10)")
    parser.add_argument("--mode", choices=("new", "familiar", "mixed"), help="with --offline or --blended: tracks that the user has not "
                        "played, has played, or both")
    found = parser.parse_args(arguments)
    if found.command is None and (found.user_id is not None or found.item_id is not None):
        parser.error("choose --offline, --online, --blended or --add_online for a user or an item")
    if found.command and found.user_id is None:
        parser.error(f"--{found.command} needs --user_id")
    if found.mode and found.command not in ("offline", "blended"):
        parser.error("--mode needs --offline or --blended")
    if (found.command == "add_online") != (found.item_id is not None):
        parser.error("--add_online needs --item_id, the other commands do not take it")
    return found


def answer(service: str, method: str, url: str, key: str, **parameters: object) -> dict[str, Any]:
    """The JSON object that the service answers. Raises ServiceError, or WrongRequest for a refused parameter."""
    try:
        with requests.Session() as session:
            session.trust_env = not is_loopback(url)  # no proxy for services on this machine
            response = session.request(method, url, params=parameters, headers={"X-API-Key": key} if key else None, timeout=TIMEOUT_S)
    except requests.Timeout:
        raise ServiceError(f"The {service} service at {url} did not answer within {TIMEOUT_S} seconds.") from None
    except requests.RequestException:
        address = urlsplit(url)
        port = "" if address.port == 8000 else f" --port {address.port or PORTS[service]}"
        raise ServiceError(f"The {service} service does not run at {address.scheme}://{address.netloc}; "
                           f"start it with: uvicorn {service}_service:app{port}") from None
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ServiceError(f"The {service} service at {url} answered with status {response.status_code} and no JSON object.")
    if response.status_code == 422:
        raise WrongRequest("; ".join(str(reason.get("msg", reason)) for reason in content["detail"]))
    if not response.ok:
        raise ServiceError(f"The {service} service at {url} failed with status {response.status_code}: {content.get('detail', content)}")
    return content


def lines(found: dict[str, Any]) -> list[str]:
    """One line an item: place, id, name, artists, and why it is there. Ids only where the service knows no names."""
    items = found.get("items") or [{"item_id": item} for item in found["recs"]]
    rows = [f"{place:>4}  {item['item_id']:>9}  {text(item):<60}  {item.get('reason', '')}".rstrip() for place, item in enumerate(items)]
    return rows or ["   nothing: the user has no latest plays, or nothing is similar to them"]


def text(item: dict[str, Any]) -> str:
    """Name and artists of an item, without what a terminal would obey."""
    told = " - ".join(part for part in (", ".join(item.get("artists", ())), item.get("name", "")) if part)
    return "".join(one if one.isprintable() else " " for one in told)


def listed(urls: settings.UrlSettings, key: str, command: str | None, user_id: str | None, k: int, mode: str | None) -> list[str]:
    """The heading and the recommendations."""
    base = urls.recommendations_url.rstrip("/")
    if command is None:
        heading, found = f"Top {k} tracks:", answer("recommendations", "POST", f"{base}/recommendations_default", key, k=k, verbose="true")
    else:
        heading = f"{command.capitalize()} recommendations for user {user_id}:"
        more = {"mode": mode} if mode else {}
        found = answer("recommendations", "POST", base + ROUTES[command], key, user_id=user_id, k=k, verbose="true", **more)
    if "recs" not in found:
        raise ServiceError(f"The recommendations service at {base} answered without 'recs'.")
    return [heading, *lines(found), *(f"Not complete: {missing}." for missing in found.get("degraded", ()))]


def added(urls: settings.UrlSettings, key: str, user_id: str, item_id: str) -> list[str]:
    """What was stored, with the track's name where the recommendations service knows it."""
    answer("events", "POST", f"{urls.events_store_url.rstrip('/')}/put", key, user_id=user_id, item_id=item_id)
    try:
        item = answer("recommendations", "GET", f"{urls.recommendations_url.rstrip('/')}/items/{quote(item_id, safe='')}", key)
    except (ServiceError, WrongRequest):
        item = {}
    return [f"Stored: user {user_id} played {item_id} {text(item)}".rstrip()]


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    command = asked(arguments)
    try:
        logging.basicConfig(filename=LOG, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, encoding="utf-8")
    except OSError as cause:
        print(f"{LOG} cannot be written here: {cause.strerror}.", file=sys.stderr)
        return 2
    logging.getLogger("urllib3").setLevel(logging.WARNING)
    log.info("python test_service.py %s", " ".join(arguments))
    try:
        config = settings.load()
        key = next(iter(keys_in(config.service.api_key)), "")
        if command.command == "add_online":
            found = added(config.urls, key, command.user_id, command.item_id)
        else:
            found = listed(config.urls, key, command.command, command.user_id, command.k, command.mode)
    except (ServiceError, SettingsError, WrongRequest) as cause:
        log.error("%s", cause)
        print(cause, file=sys.stderr)
        return 1 if isinstance(cause, ServiceError) else 2
    for line in found:
        log.info("%s", line)
        print(line)
    return 0


if __name__ == "__main__":
    # A terminal that cannot show a name in its alphabet gets a question mark instead of a traceback.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1:]))
