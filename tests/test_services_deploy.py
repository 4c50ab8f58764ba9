"""What an operator copies: systemd units and the compose file start what they say they start."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from musicrec import settings
from tests.service_world import APPS, PROJECT

DEPLOY = PROJECT / "deploy"
PORTS = {"recommendations": "recommendations_url", "features": "features_store_url", "events": "events_store_url"}


def port(name: str) -> int | None:
    """The port at which config.ini expects the service."""
    return urlsplit(getattr(settings.load(PROJECT / "config.ini", {}).urls, PORTS[name])).port


@pytest.mark.parametrize("name", sorted(APPS))
def test_unit(name: str) -> None:
    """Each unit starts its service at the port of config.ini."""
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / f"musicrec-{name}.service")
    command = unit["Service"]["ExecStart"].split()
    assert APPS[name] in command
    assert command[command.index("--port") + 1] == str(port(name))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", sorted(APPS))
def test_unit_syntax(name: str, tmp_path: Path) -> None:
    """systemd finds nothing wrong with the unit, but for the program that is not installed here."""
    text = (DEPLOY / f"musicrec-{name}.service").read_text().replace("/opt/musicrec/.venv/bin/uvicorn", sys.executable)
    unit = tmp_path / f"musicrec-{name}.service"
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60)
    assert f"musicrec-{name}" not in done.stderr, done.stderr


def test_compose() -> None:
    """The compose file names the three services at the ports that its addresses use, and a store that they can share."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, app in APPS.items():
        service = compose["services"][name]
        command = service["command"].split()
        assert app in command
        assert command[command.index("--port") + 1] == str(port(name))
        address = urlsplit(service["environment"][f"MUSICREC_URLS_{PORTS[name].upper()}"])
        assert (address.hostname, address.port) == (name, port(name))
        settings.load(PROJECT / "config.ini", service["environment"])
        assert all(volume.split(":")[0] in compose["volumes"] or volume.startswith("../") for volume in service["volumes"])
    assert "--appendonly yes" in compose["services"]["redis"]["command"]


def test_compose_syntax() -> None:
    """docker compose reads the file without complaint."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    subprocess.run([docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "-q"], check=True, timeout=60)


def test_image_holds_what_services_import() -> None:
    """The Dockerfile copies the package, the three services and the settings."""
    text = (DEPLOY / "Dockerfile").read_text()
    for name in ("musicrec", "config.ini", *(app.replace(":app", ".py") for app in APPS.values())):
        assert name in text
