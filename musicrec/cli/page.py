"""`musicrec page`: the page over the services and the published runs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from musicrec.cli.options import Config, loaded
from musicrec.cli.processes import Service, started

if TYPE_CHECKING:
    from musicrec.settings import PageSettings

# The page asks in many threads for a little of large files. What glibc and Arrow keep of that for later is a third of its memory.
_SPARING = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "262144"}


def page(host: Annotated[str | None, typer.Option(help="Address to listen on. [default: as in [page] url]")] = None,
         port: Annotated[int | None, typer.Option(help="Port to listen on. [default: as in [page] url]")] = None,
         config: Config = None) -> None:
    """Look at listeners, tracks, runs and services in a browser, until Ctrl-C.

    \b
    musicrec serve     # in another terminal
    musicrec page
    """
    import uvicorn

    from musicrec.page.app import create_app
    from musicrec.settings import s3_environment

    chosen = loaded(config)
    app, address = create_app(chosen, s3_environment(chosen.path)), urlsplit(chosen.page.url)
    host, port = host or address.hostname or "127.0.0.1", port or address.port or 80
    print(f"The page is at http://{host}:{port}; Ctrl-C stops it.", flush=True)
    uvicorn.run(app, host=host, port=port, log_level="warning", proxy_headers=False)


@contextmanager
def page_beside(options: "PageSettings", logs: Path, wanted: bool) -> Iterator[list[Service]]:
    """The page as a process of its own, until the block ends; none unless it is wanted and its packages are installed."""
    if not wanted or find_spec("nicegui") is None or find_spec("tantivy") is None:
        yield []
        return
    command = [sys.executable, "-m", "musicrec", "page"]
    with started("page", command, options.url, _SPARING | os.environ, logs / "page.log") as service:
        yield [service]
