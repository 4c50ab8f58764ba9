"""What an operator copies: systemd units and the compose file start what they say they start."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
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
@pytest.mark.parametrize("name", [*sorted(APPS), "learn"])
def test_unit_syntax(name: str, tmp_path: Path) -> None:
    """systemd finds nothing wrong with the unit, but for the program that is not installed here."""
    text = (DEPLOY / f"musicrec-{name}.service").read_text()
    text = re.sub(r"/opt/musicrec/.venv/bin/(uvicorn|musicrec)", sys.executable, text)
    unit = tmp_path / f"musicrec-{name}.service"
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60)
    assert f"musicrec-{name}" not in done.stderr, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", [*sorted(APPS), "learn"])
def test_unit_security(name: str) -> None:
    """What a unit may do is rated OK (below 2 of 10) by systemd's own review."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(DEPLOY / f"musicrec-{name}.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout.splitlines()[-1:] or done.stderr
    assert "OK" in done.stdout.splitlines()[-1]


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


def test_compose_limits() -> None:
    """Every container has a read-only root, no capabilities, and limits of memory, processes and logs; none is reached from elsewhere."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["services"]) == {*APPS, "redis"}
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize(("wrong", "instead"), [("", ""), ("mem_limit:", "memory_limit:"), ("cap_drop: [ALL]", "cap_drop: ALL")])
def test_compose_schema(wrong: str, instead: str, tmp_path: Path) -> None:
    """The compose file is what the published schema allows, which knows neither other keys nor other types."""
    file = tmp_path / "compose.yaml"
    file.write_text((DEPLOY / "compose.yaml").read_text().replace(wrong, instead))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == bool(wrong), done.stdout


def test_compose_syntax() -> None:
    """docker compose reads the file without complaint."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    subprocess.run([docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "-q"], check=True, timeout=60)


def test_image_holds_what_services_import() -> None:
    """The Dockerfile copies the package, the three services and the settings, and .dockerignore lets through these and nothing else."""
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [name for line in text.splitlines() if line.startswith("COPY") for name in line.split()[1:-1]]
    services = [app.replace(":app", ".py") for app in APPS.values()]
    assert sorted(copied) == sorted(["musicrec", "config.ini", "deploy/requirements.txt", *services])
    ignored = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored[0] == "*"
    assert sorted(line[1:] for line in ignored if line.startswith("!")) == sorted(copied)


def test_image_holds_bytecode() -> None:
    """The code is compiled when the image is built: its root cannot be written when it runs."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    compiled = lines.index("RUN python -m compileall -q .")
    assert all(number < compiled for number, line in enumerate(lines) if line.startswith("COPY"))
    assert all(number > compiled for number, line in enumerate(lines) if "PYTHONDONTWRITEBYTECODE" in line)
    assert not any("--no-compile" in line for line in lines)


@pytest.mark.parametrize("file", ["compose.yaml", *(f"musicrec-{name}.service" for name in APPS)])
def test_workers_have_time_to_start(file: str) -> None:
    """Where uvicorn starts several workers, it does not take one that needs more than its five seconds on a busy machine for dead."""
    commands = [line for line in (DEPLOY / file).read_text().splitlines() if "--workers" in line]
    assert commands
    assert all("--timeout-worker-healthcheck 15 " in line for line in commands)


def test_image_runs_without_rights() -> None:
    """The last user of the Dockerfile is a number other than root's, and pip accepts only files whose checksums are listed."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert int(users[-1]) > 0
    installed = [line for line in lines if "pip install" in line]
    assert installed
    assert all("--require-hashes" in line for line in installed)


def test_dockerfile_style() -> None:
    """hadolint finds nothing wrong with the Dockerfile."""
    hadolint = shutil.which("hadolint", path=f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', '')}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def locked() -> dict[str, str]:
    """The versions in the requirements of the image; every one has checksums."""
    text = "\n".join(line for line in (DEPLOY / "requirements.txt").read_text().splitlines() if not line.startswith("#"))
    found = {}
    for entry in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = entry.split("--hash=")
        assert hashes, entry
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", one) for one in hashes), entry
        name, version = requirement.partition(";")[0].strip().split("==")
        found[name.replace("-", "_").lower()] = version
    return found


def test_bill_of_materials() -> None:
    """It names every locked package with its version and checksums, and nothing else; twice it is the same."""
    texts = [subprocess.run([sys.executable, str(DEPLOY / "sbom.py")], capture_output=True, text=True, check=True, timeout=60).stdout
             for _ in range(2)]
    assert texts[0] == texts[1]
    found = json.loads(texts[0])
    assert {one["name"].replace("-", "_").lower(): one["version"] for one in found["components"]} == locked()
    assert len(found["components"]) == len(locked())
    hashes = [one["content"] for component in found["components"] for one in component["externalReferences"][0]["hashes"]]
    assert hashes == re.findall(r"sha256:(\w+)", (DEPLOY / "requirements.txt").read_text())
    assert all(one["purl"].endswith(f"@{one['version']}") for one in found["components"])


def test_requirements_of_the_image() -> None:
    """They hold what the extras serve and redis need, at the versions that were tested, and nothing that trains."""
    found = locked()
    held = dict(line.replace("-", "_").lower().split("==") for line in (PROJECT / "constraints.txt").read_text().split())
    assert {name: held.get(name, version) for name, version in found.items()} == found
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = [*extras["dependencies"], *extras["optional-dependencies"]["serve"], *extras["optional-dependencies"]["redis"]]
    assert {re.split(r"[\[><=]", one)[0].replace("-", "_").lower() for one in wanted} <= found.keys()
    training = {re.split(r"[\[><=]", one)[0].replace("-", "_").lower() for one in extras["optional-dependencies"]["train"]}
    assert not training & found.keys()
