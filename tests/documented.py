"""The code blocks of the documentation, and a small project folder in which they run as printed."""

import configparser
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import requests

from tests import taste_logs
from tests.commands import environment, exit_code
from tests.logs import SCHEMAS
from tests.service_world import free_port

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
# People, tracks, genres and artists of the sample that the documentation names, in place of those of the small logs.
USERS = {3: 617032, 4: 1291248}
TRACKS = {100: 99262, 101: 590303, 102: 597196}
NAMES = {"genre 1": "rock", "artist 1": "Tove Birch"}
RENAMED = {"tracks": {"track_id": TRACKS}, "catalog_names": {"id": TRACKS, "name": NAMES},
           "interactions": {"user_id": USERS, "track_id": TRACKS}}
FILES = ("config.ini", "test_service.py", "recommendations_service.py", "features_service.py", "events_service.py", "README.md",
         ".env.example")
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
_SERVER = re.compile(r"^(?:\w+=\S+ )*(?:musicrec serve|uvicorn)\b")
# A musicrec command that needs no shell: it runs in this process, where everything is imported already.
_PLAIN = re.compile(r"(?P<variables>(?:[A-Z_]+=(?:\"[^\"$]*\"|[^\s\"'$]+) )*)musicrec (?!serve)(?P<arguments>[^|&;<>$]+)")
_ASKS = re.compile(r"127\.0\.0\.1:80\d0|test_service")
_PORTS = {8000: "recommendations", 8010: "features", 8020: "events"}


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, the line on which it begins, its language and text, and the line of prose above it."""

    page: Path
    line: int
    language: str
    text: str
    above: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT).as_posix()}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block without comments."""
        return [line.partition("  #")[0].strip() for line in self.text.splitlines() if line.strip()]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        above = text[: match.start()].rstrip().rpartition("\n\n")[2]
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, match["language"], textwrap.dedent(match["text"]), above))
    return found


def write_logs(folder: Path) -> None:
    """The small logs with the ids that the documentation names, and the same plays as a CSV."""
    taste_logs.write(folder)
    for name, columns in RENAMED.items():
        rows = pq.read_table(folder / f"{name}.parquet").to_pylist()
        for row in rows:
            row.update({column: changed.get(row[column], row[column]) for column, changed in columns.items()})
        schema = pa.schema([kind for kind in SCHEMAS[name] if kind.name != "played_share"])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{name}.parquet")
    titles = {row["id"]: row["name"] for row in pq.read_table(folder / "catalog_names.parquet").to_pylist() if row["type"] == "track"}
    plays = pq.read_table(folder / "interactions.parquet")
    pc.write_csv(plays.append_column("title", [[titles[track] for track in plays["track_id"].to_pylist()]]), folder / "plays.csv")


def write_project(folder: Path) -> None:
    """What a clone holds, as far as commands need it, with small logs as the sample and at path/to/folder."""
    for name in FILES:
        shutil.copy(PROJECT / name, folder)
    for name in ("docs/tools", "docs/images"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_logs(folder / "data" / "sample")
    shutil.copytree(folder / "data" / "sample", folder / "path" / "to" / "folder")
    seen = pq.read_table(folder / "data" / "sample" / "interactions.parquet", columns=["user_id", "track_id"]).to_pylist()
    later = {(one["user_id"], other["track_id"]) for one, other in pairwise(seen)} - {tuple(one.values()) for one in seen}
    pq.write_table(pa.table(dict(zip(("user_id", "track_id"), zip(*sorted(later))))), folder / "plays.parquet")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "var").mkdir()
    shim = folder / "bin" / "musicrec"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m musicrec "$@"\n')
    shim.chmod(0o755)


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in what a command has printed, also without a line end between them."""
    place = text.find("{")
    while place >= 0:
        try:
            found, place = json.JSONDecoder().raw_decode(text, place)
            yield found
        except ValueError:
            place += 1
        place = text.find("{", place)


@dataclass
class World:
    """A project folder in which blocks run: its environment, the ports of its services, and those that run.

    done: trainings that need not run again. asked: the world whose services answer where a page starts none; None: this one.
    answers: what services have answered to the latest block.
    """

    folder: Path
    done: set[str]
    asked: "World | None" = None
    ports: dict[int, int] = field(default_factory=lambda: {port: free_port() for port in _PORTS})
    variables: dict[str, str] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "documentation"})
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make a training small, put services on free ports and find the command."""
        small = taste_logs.environment(self.folder, self.folder)
        for name in ("DATA_FOLDER", "DATA_WORK_FOLDER", "ENGINE_TEMP_FOLDER", "ARTIFACTS_LOCATION", "ARTIFACTS_CACHE_FOLDER"):
            del small[f"MUSICREC_{name}"]
        path = os.pathsep.join([str(self.folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**os.environ, **small, **_urls(self._answering_ports), "PATH": path,
                "PYTHONPATH": os.pathsep.join([str(self.folder / "site"), str(PROJECT)]),
                "MUSICREC_RANKING_N_SEEDS": "1", "MUSICREC_PAGE_URL": f"http://127.0.0.1:{free_port()}",
                "MUSICREC_ARTIFACTS_CACHE_FOLDER": str(self.folder / "cache"),
                "MUSICREC_SERVICE_RELOAD_KEY": "reload-key", "MUSICREC_SERVICE_TIMEOUT_MS": "2000", **self.variables}

    def run(self, block: Block, skipped: dict[str, str]) -> None:
        """Run a block as its language says, without the commands in `skipped`; raises AssertionError when it fails."""
        getattr(self, f"_{block.language}")(block, skipped)

    def stop(self) -> None:
        """End the services."""
        while self.servers:
            server = self.servers.pop()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)

    def _sh(self, block: Block, skipped: dict[str, str]) -> None:
        lines = [line for line in block.commands if line not in skipped and line not in self.done]
        servers = [line for line in lines if _SERVER.match(line)]
        if plain := [line for line in lines if line not in servers]:
            if any(_ASKS.search(line) for line in plain):
                self._answering(block)
            if all(_PLAIN.fullmatch(line) for line in plain) and not any((self.folder / "site").iterdir()):
                self._in_process(block, plain)
            else:
                self._in_bash(block, plain)
            self.done.update(line for line in plain if line.startswith("musicrec train"))
        if servers == ["musicrec serve"] and self._is_as_asked:
            self._answering(block)
        elif servers:
            self._serve(servers, block)

    def _in_bash(self, block: Block, lines: list[str]) -> None:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self._here("\n".join(lines))], cwd=self.folder, env=self.environment,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{block}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        self.answers = list(json_objects(done.stdout))
        assert not [answer for answer in self.answers if answer.get("detail")], f"{block}\n{done.stdout}"

    def _in_process(self, block: Block, lines: list[str]) -> None:
        for line in lines:
            found = _PLAIN.fullmatch(self._here(line))
            assert found is not None
            variables = dict(word.split("=", 1) for word in shlex.split(found["variables"]))
            told = io.StringIO()
            with (contextlib.chdir(self.folder), environment({**self.environment, **variables}),
                  contextlib.redirect_stdout(told), contextlib.redirect_stderr(told)):
                code = exit_code(*shlex.split(found["arguments"]))
            assert code == 0, f"{block}\n{line}\n{told.getvalue()[-1500:]}"

    def _python(self, block: Block, _: dict[str, str]) -> None:
        if file := re.search(r"`(\w+\.py)`", block.above):
            (self.folder / "site" / file[1]).write_text(block.text, encoding="utf-8")
            return
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(io.StringIO()):
            exec(compile(self._here(block.text), str(block), "exec"), self.names)

    def _ini(self, block: Block, _: dict[str, str]) -> None:
        if not block.text.startswith("["):
            names = {line.partition("=")[0] for line in (self.folder / ".env.example").read_text().splitlines() if "=" in line}
            assert {line.partition("=")[0] for line in block.text.split()} == names, str(block)
            return
        config, given = configparser.ConfigParser(interpolation=None), configparser.ConfigParser(interpolation=None)
        given.optionxform = config.optionxform = str  # type: ignore[assignment,method-assign]  # as Spark writes its keys
        config.read(self.folder / "config.ini", encoding="utf-8")
        given.read_string(block.text)
        if "engine.spark" in given and "engine.spark" not in config:
            config.add_section("engine.spark")
        for section in given.sections():
            for key, value in given[section].items():
                assert section in config, f"{block}: no section {section}"
                config[section][key] = value
        with (self.folder / "config.ini").open("w", encoding="utf-8") as file:
            config.write(file)

    def _toml(self, block: Block, _: dict[str, str]) -> None:
        """A file of experiments, or what pip would leave of a package with this pyproject.toml."""
        if "`experiments.toml`" in block.above:
            (self.folder / "experiments.toml").write_text(block.text, encoding="utf-8")
            return
        project = tomllib.loads(block.text)["project"]
        folder = self.folder / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
        groups = project["entry-points"].items()
        text = "\n".join(f"[{group}]\n" + "\n".join(f"{name} = {value}" for name, value in names.items()) for group, names in groups)
        (folder / "entry_points.txt").write_text(text)

    def _yaml(self, block: Block, _: dict[str, str]) -> None:
        import yaml

        assert yaml.safe_load(block.text), str(block)

    def _text(self, block: Block, _: dict[str, str]) -> None:
        """Output and drawings are read by people."""

    @property
    def _answering_ports(self) -> dict[int, int]:
        """Those of `asked` where nothing serves here."""
        return self.asked.ports if self.asked and not self.servers else self.ports

    @property
    def _is_as_asked(self) -> bool:
        """Whether `musicrec serve` would answer here as in `asked`: with the same settings, from the same run."""
        if self.asked is None or self.variables:
            return False
        same = ("config.ini", "artifacts/current.json")
        return all((self.folder / name).read_bytes() == (self.asked.folder / name).read_bytes() for name in same)

    def _answering(self, block: Block) -> None:
        """Return when services answer, those that the page has started or else those of `asked`."""
        other = self.asked or self
        if not self.servers and not other.servers:
            other._serve(["musicrec serve"], block)

    def _serve(self, lines: list[str], block: Block) -> None:
        """Start the services of these lines side by side, and return when they are ready."""
        self.stop()
        for line in lines:
            app = re.search(r"uvicorn (\w+)_service:app(?!.*--port)", line)
            port = "".join(f" --port {port}" for port, name in _PORTS.items() if app and name == app[1])
            with (self.folder / "services.log").open("ab") as log:
                command = ["bash", "-c", f"exec env {self._here(line + port, True)}"]
                self.servers.append(subprocess.Popen(command, cwd=self.folder, env={**self.environment, **_urls(self.ports)}, stdout=log,
                                                     stderr=log, start_new_session=True))
        named = [port for port, name in _PORTS.items() if any(name in line or f"--port {port}" in line for line in lines)]
        deadline = time.monotonic() + 120
        for port in named or _PORTS:
            while not self._ready(port):
                ended = [server for server in self.servers if server.poll() is not None]
                assert not ended, f"{block}\n{(self.folder / 'services.log').read_text()[-1500:]}"
                assert time.monotonic() < deadline, f"{block}\n{(self.folder / 'services.log').read_text()[-1500:]}"
                time.sleep(0.05)

    def _ready(self, port: int) -> bool:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{self.ports[port]}/ready", timeout=5).ok
        return False

    def _here(self, text: str, serving: bool = False) -> str:
        """The text with the ports and the first run of this world; with the ports of `asked` where nothing serves here."""
        for port, free in (self.ports if serving else self._answering_ports).items():
            text = re.sub(rf"(127\.0\.0\.1:|--port ){port}\b", rf"\g<1>{free}", text)
        ids = sorted(path.name for path in (self.folder / "artifacts" / "runs").iterdir()) if (self.folder / "artifacts").is_dir() else []
        if ids:
            text = re.sub(r"\bRUN_ID\b", ids[0], text)
        return text


def _urls(ports: dict[int, int]) -> dict[str, str]:
    return {f"MUSICREC_URLS_{key}_URL": f"http://127.0.0.1:{ports[port]}"
            for key, port in (("RECOMMENDATIONS", 8000), ("FEATURES_STORE", 8010), ("EVENTS_STORE", 8020))}
