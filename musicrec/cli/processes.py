"""Start the three services with uvicorn, wait until they answer, stop them again."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from musicrec.errors import ServiceError
from musicrec.project import shipped

if TYPE_CHECKING:
    from musicrec.settings import UrlSettings

START_S, STOP_S = 90, 15
# By name: the key of its address in [urls], and the module that uvicorn serves.
SERVICES = {
    "recommendations": ("recommendations_url", "recommendations_service"),
    "features": ("features_store_url", "features_service"),
    "events": ("events_store_url", "events_service"),
}


@dataclass(frozen=True)
class Service:
    """One running service: its name, its address, its process and its log."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path


def free_urls(urls: "UrlSettings") -> "UrlSettings":
    """`urls`, with another port of 127.0.0.1 wherever the port is taken by somebody else."""
    return urls.model_copy(update={key: url if _is_free(url) else f"http://127.0.0.1:{_free_port()}"
                                   for key, url in urls.model_dump().items()})


@contextmanager
def running(urls: "UrlSettings", environ: Mapping[str, str], logs: Path) -> Iterator[list[Service]]:
    """The three services, answering; stopped when the block ends, by SIGTERM and after STOP_S seconds by SIGKILL.

    They find each other at `urls` and write into `logs`. Raises ServiceError with the reason when a port is taken, or when one
    ends or stays silent for START_S seconds.
    """
    logs.mkdir(parents=True, exist_ok=True)
    told = {**environ, **{f"MUSICREC_URLS_{key.upper()}": url for key, url in urls.model_dump().items()}}
    with ExitStack() as stack:
        services = [stack.enter_context(started(name, _uvicorn(module, url), url, told, logs / f"{module}.log"))
                    for name, (key, module) in SERVICES.items() for url in (getattr(urls, key),)]
        for service in services:
            _await(service)
        yield services


@contextmanager
def started(name: str, command: list[str], url: str, environ: Mapping[str, str], log: Path) -> Iterator[Service]:
    """The program of `command`, which will answer at `url`; stopped as `running` says. Raises ServiceError when the port is taken."""
    if not _is_free(url):
        raise ServiceError(f"{url} is taken by another program; stop it, or set another address in config.ini, section "
                           f"[{'page' if name == 'page' else 'urls'}].")
    log.touch(0o600)  # it names users
    with log.open("wb") as output:
        # a session of its own: Ctrl-C in the terminal must not reach it before this process ends it in order
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=dict(environ), start_new_session=True)
    try:
        yield Service(name, url, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _uvicorn(module: str, url: str) -> list[str]:
    address = urlsplit(url)
    return [sys.executable, "-m", "uvicorn", f"{module}:app", "--app-dir", str(shipped(f"{module}.py").parent),
            "--host", address.hostname or "", "--port", str(address.port)]


def _await(service: Service) -> None:
    import requests

    from musicrec.settings.addresses import is_loopback

    end = time.monotonic() + START_S
    with requests.Session() as session:
        session.trust_env = not is_loopback(service.url)  # no proxy for services on this machine
        while time.monotonic() < end:
            if service.process.poll() is not None:
                raise ServiceError(f"The {service.name} service did not start: {_reason(service.log)}")
            try:
                if session.get(f"{service.url}/ready", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
    raise ServiceError(f"The {service.name} service did not answer at {service.url}/ready within {START_S} seconds; see {service.log}.")


def _reason(log: Path) -> str:
    """The last thing a service that ended said, without the words with which uvicorn says that it ends."""
    lines = [line.removeprefix("ERROR:").strip() for line in log.read_text(errors="replace").splitlines()]
    told = [line for line in lines if line and line != "Application startup failed. Exiting."]
    return told[-1] if told else f"see {log}."


def _is_free(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.hostname or "", address.port or 80))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
