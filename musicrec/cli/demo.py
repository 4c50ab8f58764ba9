"""`musicrec demo`: the main job from sample logs to answers."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from musicrec.cli.notebook import default_notebook, execute_on
from musicrec.cli.options import environment, loaded
from musicrec.cli.processes import free_urls, running
from musicrec.cli.stopping import stoppable
from musicrec.errors import ServiceError
from musicrec.project import add_missing

SAMPLE, OUT, LOGS, PLAYS = Path("data/sample"), Path("artifacts"), Path("var/log"), Path("var/demo_events.sqlite")
LISTENER = "617032"
# Nothing is tuned, and the ranker learns few trees from two folds, so that it stays a matter of minutes.
SHORT = {"MUSICREC_TUNING_TRIALS": "0", "MUSICREC_SPLIT_FOLDS": "2", "MUSICREC_RANKING_ITERATIONS": "150", "MUSICREC_RANKING_N_SEEDS": "1"}
SCENARIOS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Top 10, the same for everybody", ()),
    ("From the listening history alone", ("--offline", "--user_id", LISTENER, "--k", "10")),
    ("The listener plays a track", ("--add_online", "--user_id", LISTENER, "--item_id", "99262")),
    ("and a second one", ("--add_online", "--user_id", LISTENER, "--item_id", "590303")),
    ("and a third one", ("--add_online", "--user_id", LISTENER, "--item_id", "597196")),
    ("From the three latest plays alone", ("--online", "--user_id", LISTENER, "--k", "10")),
    ("Both in turns", ("--blended", "--user_id", LISTENER, "--k", "10")),
)


def demo() -> None:
    """From generated sample logs to answers: logs, notebook, artifacts, three services, seven questions. A few minutes."""
    from musicrec.datasets import sample

    began = time.monotonic()
    with stoppable("the services are stopped, what was published stays."):
        added = add_missing(Path())
        if added:
            print(f"Added to this folder: {', '.join(added)}")
        print(f"\n1. Sample logs (generated, no real listeners): {SAMPLE}", flush=True)
        sample.write(SAMPLE)
        print("\n2. From logs to artifacts: the notebook, first to last cell", flush=True)
        execute_on({**SHORT, **environment(data=SAMPLE, out=str(OUT))}, default_notebook(), {}, reuse=True)
        docs = served(environment(data=SAMPLE, out=str(OUT)) | {"MUSICREC_EVENTS_STORE": "sqlite", "MUSICREC_EVENTS_PATH": str(PLAYS)})
    print(f"\nDone in {time.monotonic() - began:.0f} s. Notebook: {OUT / 'recommendations.ipynb'}; plots: {OUT / 'pictures'}; "
          f"artifacts: {OUT / 'runs'}; API docs: {docs}/docs while `musicrec serve` runs.\n"
          "To look at all of it in a browser: `make services`, or `musicrec serve` and `musicrec page`, and open http://127.0.0.1:8080.")


def served(environ: dict[str, str]) -> str:
    """Start the services on what is published, ask the seven questions, stop them; return the usual address of recommendations.

    A port that somebody else uses is replaced by a free one for the time of the demo. Raises ServiceError when a service does not
    start or a question is not answered.
    """
    print("\n3. Three services", flush=True)
    configured = loaded(environ=environ).urls
    urls = free_urls(configured)
    for old in (PLAYS, *PLAYS.parent.glob(f"{PLAYS.name}-*")):
        old.unlink(missing_ok=True)
    with running(urls, environ, LOGS) as services:
        for service in services:
            print(f"  {service.name:<24} answers at {service.url}")
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


def _code(command: list[str], environ: Mapping[str, str]) -> int:
    # a session of its own, so that Ctrl-C reaches the child once and it can end in order
    with subprocess.Popen(command, env=dict(environ), start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise

