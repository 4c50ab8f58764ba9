"""`python -m musicrec.demo`: the main job from sample logs to answers, as `make demo` runs it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from musicrec import settings
from musicrec.errors import MusicRecError, ServiceError
from musicrec.services.running import free_urls, running

SAMPLE, OUT, LOGS, PLAYS = Path("data/sample"), Path("artifacts"), Path("var/log"), Path("var/demo_events.sqlite")
LISTENER = "617032"
SCENARIOS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Top 10, the same for everybody", ()),
    ("From the listening history alone", ("--offline", "--user_id", LISTENER, "--k", "10")),
    ("The listener plays a track", ("--add_online", "--user_id", LISTENER, "--item_id", "99262")),
    ("and a second one", ("--add_online", "--user_id", LISTENER, "--item_id", "590303")),
    ("and a third one", ("--add_online", "--user_id", LISTENER, "--item_id", "597196")),
    ("From the three latest plays alone", ("--online", "--user_id", LISTENER, "--k", "10")),
    ("Both in turns", ("--blended", "--user_id", LISTENER, "--k", "10")),
)


def main() -> int:
    """0 when everything was shown; 1 after one sentence on stderr; 130 after Ctrl-C, with nothing left running."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        environ = {**os.environ, "MUSICREC_DATA_FOLDER": str(SAMPLE), "MUSICREC_ARTIFACTS_LOCATION": str(OUT),
                   "MUSICREC_EVENTS_STORE": "sqlite", "MUSICREC_EVENTS_PATH": str(PLAYS)}
        _step("1. Sample logs (generated, no real listeners)", "musicrec.datasets.sample", "--out", str(SAMPLE))
        _step("2. From logs to artifacts: the notebook, first to last cell", "musicrec.notebook", "--data", str(SAMPLE),
              "--out", str(OUT), "--reuse")
        docs = served(environ)
    except MusicRecError as cause:
        print(cause, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped by Ctrl-C; the services are stopped, what was published stays.", file=sys.stderr)
        return 130
    print(f"\nDone in {time.monotonic() - began:.0f} s. Notebook: {OUT / 'recommendations.ipynb'}; pictures: {OUT / 'pictures'}; "
          f"artifacts: {OUT / 'runs'}; API docs: {docs}/docs while `make services` runs.")
    return 0


def served(environ: dict[str, str]) -> str:
    """Start the services on what is published, ask the seven questions, stop them; return the usual address of recommendations.

    A port that somebody else uses is replaced by a free one for the time of the demo. Raises ServiceError when a service does not
    start or a question is not answered.
    """
    print("\n3. Three services", flush=True)
    configured = settings.load(environ=environ).urls
    urls = free_urls(configured)
    for old in (PLAYS, *PLAYS.parent.glob(f"{PLAYS.name}-*")):
        old.unlink(missing_ok=True)
    with running(urls, environ, LOGS) as services:
        for service in services:
            print(f"  {service.module:<24} answers at {service.url}")
        print("\n4. Seven questions, as a client asks them", flush=True)
        told = {**environ, **{f"MUSICREC_URLS_{key.upper()}": url for key, url in urls.model_dump().items()}}
        for what, flags in SCENARIOS:
            _ask(what, flags, told)
        print("\n5. Stopping the services", flush=True)
    return configured.recommendations_url


def _ask(what: str, flags: Iterable[str], environ: dict[str, str]) -> None:
    command = ["test_service.py", *flags]
    print(f"\n{what}\n$ python {' '.join(command)}", flush=True)
    if _code([sys.executable, *command], environ):
        raise ServiceError(f"`python {' '.join(command)}` failed; the logs of the services are in {LOGS}.")


def _step(title: str, module: str, *arguments: str) -> None:
    print(f"\n{title}", flush=True)
    if _code([sys.executable, "-m", module, *arguments], os.environ):
        raise ServiceError(f"python -m {module} {' '.join(arguments)} failed; the reason stands above.")


def _code(command: list[str], environ: Mapping[str, str]) -> int:
    # a session of its own, so that Ctrl-C reaches the child once and it can end in order
    with subprocess.Popen(command, env=dict(environ), start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
