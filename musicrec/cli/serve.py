"""`musicrec serve`: the three services at the addresses of config.ini, or one of them."""

import os
import time
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import typer

from musicrec.cli.options import loaded
from musicrec.cli.page import page_beside
from musicrec.cli.processes import SERVICES, Service, running
from musicrec.errors import ServiceError
from musicrec.project import shipped

LOGS = Path("var/log")
# On a busy machine a worker may need longer than uvicorn's five seconds until it answers, and would be killed and started for ever.
_SECONDS_TO_START = 15


def serve(name: Annotated[Literal["recommendations", "features", "events"] | None, typer.Argument(help="Default: all three.")] = None,
          host: Annotated[str | None, typer.Option(help="Address to listen on. [default: as in [urls]]")] = None,
          port: Annotated[int | None, typer.Option(help="Port to listen on. [default: as in [urls]]")] = None,
          workers: Annotated[int, typer.Option(min=1, help="Worker processes of the one service.")] = 1,
          page: Annotated[bool, typer.Option("--page", help="Also start the page, where its packages are installed.")] = False) -> None:
    """Start the three services and keep them until Ctrl-C, or run one of them.

    \b
    musicrec serve
    musicrec serve recommendations --host 0.0.0.0 --port 8000 --workers 2
    """
    if name is None and (host, port, workers) != (None, None, 1):
        raise typer.BadParameter("--host, --port and --workers are for one service; name it")
    if name is not None:
        _serve_one(name, host, port, workers)
        return
    try:
        chosen = loaded()
        with running(chosen.urls, os.environ, LOGS) as services, page_beside(chosen.page, LOGS, page) as pages:
            for service in services:
                print(f"{service.name:<16} {service.url}  API: {service.url}/docs  log: {service.log}", flush=True)
            for service in pages:
                print(f"{service.name:<16} {service.url}  log: {service.log}", flush=True)
            print("Running; Ctrl-C stops all.", flush=True)
            watch([*services, *pages])
    except KeyboardInterrupt:
        print("\nStopped.")


def watch(services: list[Service]) -> None:
    """Wait for ever; raises ServiceError as soon as one of the services has ended."""
    while True:
        for service in services:
            if service.process.poll() is not None:
                raise ServiceError(f"The {service.name} service ended by itself with code {service.process.returncode}; see {service.log}.")
        time.sleep(0.5)


def _serve_one(name: str, host: str | None, port: int | None, workers: int) -> None:
    import uvicorn

    key, module = SERVICES[name]
    address = urlsplit(getattr(loaded().urls, key))
    uvicorn.run(f"{module}:app", host=host or address.hostname or "127.0.0.1", port=port or address.port or 80, workers=workers,
                timeout_worker_healthcheck=_SECONDS_TO_START, proxy_headers=False, app_dir=str(shipped(f"{module}.py").parent))
