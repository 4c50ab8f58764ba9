"""Fixtures of several test files: storages of every kind, S3 with a local server, the three services; where tests write and in what order
they run."""

import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from musicrec.storage import STORAGES, Storage, storage
from tests.s3_server import S3Server, s3_server
from tests.service_world import Services, published, running

# On a busy machine an example may take long; no test is about its time.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
# A shell starts what runs in the background with Ctrl-C ignored, and so would be every process of the tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Runs and plays are written so that a power cut loses none, which no test is about: in memory that costs nothing, where there is enough.
MEMORY, NEEDED = Path("/dev/shm"), 8 << 30
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
    os.environ.setdefault("TMPDIR", str(MEMORY))
    tempfile.tempdir = None  # found anew


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """With `-n auto` one worker more than there are cores, since many tests wait for a service, a timeout or a server."""
    return (yield) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests and others in turns: the former wait for services and processes and leave the cores to the latter. They run
    without coverage, whose tracing takes half as long again: most of what they are about is in processes that nobody traces."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("no_cover")
    slow = list(dict.fromkeys(item.path for item in items if item.get_closest_marker("slow")))
    others = list(dict.fromkeys(item.path for item in items if item.path not in slow))
    turns = {path: (place + 1) / len(files) for files in (slow, others) for place, path in enumerate(files)}
    items.sort(key=lambda item: turns[item.path])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server with the bucket `music`."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "music").mkdir()
    with s3_server(folder) as running:
        yield running


@pytest.fixture(params=STORAGES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty storage of each kind."""
    if request.param == "s3":
        running: S3Server = request.getfixturevalue("server")
        return storage(f"s3://music/{tmp_path.name}", running.environment())
    return storage(str(tmp_path / "published"), {})


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """All three services over the little world."""
    root = tmp_path_factory.mktemp("services")
    published(root)
    with running(root) as found:
        yield found
