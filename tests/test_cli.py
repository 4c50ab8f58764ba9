"""The command-line client against real services."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service_world import PROJECT, USER, Services, free_port, published, running, services

pytestmark = pytest.mark.slow


def cli(found: Services, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the client in `folder`, with the settings of the project and the addresses of `found`."""
    config = folder / "config.ini"
    config.write_text((PROJECT / "config.ini").read_text())
    environment = {**found.environment, "PYTHONPATH": str(PROJECT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([sys.executable, str(PROJECT / "test_service.py"), *arguments], cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=60, check=False)


def shown(done: subprocess.CompletedProcess[str]) -> list[int]:
    """The item ids in the printed list."""
    assert done.returncode == 0, done.stderr
    return [int(line.split()[1]) for line in done.stdout.splitlines()[1:]]


def test_seven_scenarios(three: Services, tmp_path: Path) -> None:
    """The commands of the seed work word for word, show names, and leave a log."""
    user = ["--user_id", str(USER)]
    top = cli(three, tmp_path)
    assert shown(top) == list(range(100, 110))
    assert "Artist 2 - Track 100" in top.stdout
    assert shown(cli(three, tmp_path, "--offline", *user, "--k", "10")) == list(range(150, 160))
    for item in ("150", "200", "220"):
        done = cli(three, tmp_path, "--add_online", *user, "--item_id", item)
        assert done.stdout == f"Stored: user {USER} played {item} Artist {int(item) % 7} - Track {item}\n"
    assert shown(cli(three, tmp_path, "--online", *user, "--k", "3")) == [221, 222, 201]
    blended = cli(three, tmp_path, "--blended", *user, "--k", "4")
    assert shown(blended) == [151, 221, 152, 222]
    assert "similar to Track 220 which you played" in blended.stdout
    log = (tmp_path / "test_service.log").read_text()
    assert all(line in log for line in blended.stdout.splitlines())


def test_no_proxy_is_asked_for_this_machine(three: Services, tmp_path: Path) -> None:
    """With HTTP_PROXY and ALL_PROXY set to an address where nobody listens, the client reaches services at 127.0.0.1."""
    nobody = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), f"http://127.0.0.1:{free_port()}")
    behind = dataclasses.replace(three, environment={**three.environment, **nobody, "NO_PROXY": "", "no_proxy": ""})
    assert shown(cli(behind, tmp_path)) == list(range(100, 110))


def test_help(tmp_path: Path) -> None:
    """-h shows examples and exit codes."""
    done = cli(services(tmp_path), tmp_path, "-h")
    assert done.returncode == 0
    assert "--blended --user_id 617032 --k 10" in done.stdout
    assert "exit codes" in done.stdout


@pytest.mark.parametrize("arguments", [["--offline"], ["--add_online", "--user_id", "1"], ["--user_id", "1"], ["--offline", "--online"],
                                       ["--offline", "--user_id", "1", "--item_id", "1"]], ids=str)
def test_wrong_command(tmp_path: Path, arguments: list[str]) -> None:
    """A wrong command line ends with code 2 and a message on stderr."""
    done = cli(services(tmp_path), tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error:" in done.stderr


def test_refused_parameter(three: Services, tmp_path: Path) -> None:
    """What the service refuses ends with code 2 and the service's sentence."""
    done = cli(three, tmp_path, "--offline", "--user_id", str(USER), "--k", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "k must be a whole number from 1 to 1000\n"


def test_service_down(tmp_path: Path) -> None:
    """A service that does not run gives code 1 and one sentence with its address and the command that starts it."""
    found = services(tmp_path)
    done = cli(found, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"The recommendations service does not run at {found.url('recommendations')}; "
                           f"start it with: uvicorn recommendations_service:app --port {found.ports['recommendations']}\n")
    done = cli(found, tmp_path, "--add_online", "--user_id", "1", "--item_id", "2")
    assert done.stderr.startswith(f"The events service does not run at {found.url('events')}; start it with: uvicorn events_service:app")


def test_degraded_is_said(tmp_path: Path) -> None:
    """A list that lacks a part says so below the list."""
    published(tmp_path)
    with running(tmp_path, "recommendations") as found:
        done = cli(found, tmp_path, "--blended", "--user_id", str(USER), "--k", "2")
        assert done.returncode == 0
        assert done.stdout.splitlines()[-1].startswith("Not complete: events service at")


def test_bad_config(tmp_path: Path) -> None:
    """A bad address in the settings ends with code 2 and names the key."""
    found = services(tmp_path)
    found.environment["MUSICREC_URLS_RECOMMENDATIONS_URL"] = "nowhere"
    done = cli(found, tmp_path)
    assert done.returncode == 2
    assert "recommendations_url" in done.stderr
    assert os.linesep.join(done.stderr.splitlines()) == done.stderr.strip()
