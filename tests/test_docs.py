"""The documentation: its site builds without a warning, and every command and code block of it runs as it is printed."""

import configparser
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer.main

from musicrec import registry, settings
from musicrec.cli import app
from musicrec.storage import storage
from tests import engines
from tests.documented import PAGES, PROJECT, Block, World, blocks, write_project
from tests.s3_server import s3_server

BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = [(str(block), command) for block in BLOCKS if block.language == "sh" for command in block.commands]
_LONG = "takes minutes; parsed here, and executed by tests/test_notebook_runner.py"
_NETWORK = "needs a network"
_ROOT = "changes the machine"
# Commands that no test executes, with the reason. They are still parsed.
NOT_EXECUTED = {
    "make demo": "installs packages and takes minutes; tests/test_makefile.py runs the targets with a stand-in for Python",
    "make test": "is what runs this test", "make test-all": "is what runs this test",
    "make check": "is what runs this test",
    "make docs": "installs packages; test_the_site_builds_without_a_warning runs its command",
    "pip install pre-commit": _NETWORK, "pre-commit install": _NETWORK,
    "pip install '.[serve]'": _NETWORK, "pip install '.[redis]'": _NETWORK, "pip install '.[spark]'": _NETWORK,
    "pip install '.[page]'": _NETWORK, "pip install '.[gpu]'": _NETWORK,
    ".venv/bin/python -m pytest tests/test_model_contract.py -k newest": "tests/test_contributing.py executes it",
    'MUSICREC_CANDIDATES_MODELS="als newest" musicrec train --data data/sample --verbose': "tests/test_contributing.py executes it",
    "useradd --system musicrec && install -d -o musicrec /opt/musicrec/var": _ROOT,
    "cp deploy/musicrec-*.service /etc/systemd/system/ && systemctl daemon-reload": _ROOT,
    "systemctl enable --now musicrec-events musicrec-features musicrec-recommendations": _ROOT,
    "apt install nginx": _ROOT,
    "cp deploy/nginx.conf /etc/nginx/nginx.conf && nginx -t && systemctl reload nginx": "needs root; tests/test_services_front.py runs it",
    "docker compose -f deploy/compose.yaml up --build": "builds images; tests/test_services_deploy.py reads the file",
    "pip install venv-pack": _NETWORK, "venv-pack -o musicrec.tar.gz": _NETWORK,
    "PYSPARK_PYTHON=./environment/bin/python musicrec predict --out lists.parquet": "needs the packed environment",
    "git tag v1.2.3": "publishes", "python -m build": _NETWORK, "python -m zipfile --list dist/musicrec-*.whl": "needs the wheel",
    "musicrec tune --data path/to/folder --minutes 30": "takes half an hour; the next block is executed",
    "musicrec events export --new --form impressions --out exports": "needs Redis; tests/test_events_new.py runs it",
    "musicrec learn": "tests/test_simulation.py runs it", "systemctl enable --now musicrec-learn.timer": _ROOT,
    "musicrec learn --data data/simulated --source botify": "tests/test_simulation.py runs it",
    "musicrec train --data data/simulated --source botify": "tests/test_simulation.py runs it",
    "musicrec simulate": "tests/test_simulation.py runs it", "musicrec simulate --round 2": "tests/test_simulation.py runs it",
    "musicrec notebook --data path/to/folder --out artifacts/mine": _LONG,
    "musicrec experiments report diverse --out report.json --picture report.svg":
        "needs users of both variants; tests/test_services_experiments.py executes one",
}


def read(path: str) -> str:
    """A file of the project."""
    return (PROJECT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project folder with two published runs, which differ in nothing but their id."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    (folder / "site").mkdir()
    found = World(folder, set())
    found.run(Block(PROJECT / "README.md", 0, "sh", "musicrec train --data path/to/folder\n", ""), {})
    place = storage(str(folder / "artifacts"), {})
    run = registry.current(place)
    registry.publish(place, folder / "artifacts" / "runs" / run.run_id, run.info)
    yield found
    found.stop()


@pytest.fixture
def world(base: World, tmp_path: Path) -> Iterator[World]:
    """A copy of the project folder, with nothing running. What was trained on one page is not trained again on another."""
    folder = tmp_path / "project"
    shutil.copytree(base.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("*.sqlite*"))
    found = World(folder, base.done, base)
    yield found
    found.stop()


def executed(page: Path) -> bool:
    """Whether test_every_block_of_a_page_runs has something to run there, and no other test runs that page."""
    return page.name not in ("CONTRIBUTING.md", "publish-to-s3.md", "spark.md") and any(block.language != "text" for block in blocks(page))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if executed(page)], ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_block_of_a_page_runs(page: Path, world: World) -> None:
    """From the first to the last block, each ends well, and no service refuses a request."""
    for block in blocks(page):
        world.run(block, NOT_EXECUTED)
        if page.name == "tutorial.md" and "verbose=true" in block.text:
            assert_alternating(world.answers[-1]["items"])


def assert_alternating(items: list[dict[str, Any]]) -> None:
    """As the tutorial says: while there are similar tracks, every second one is similar to the track just played."""
    assert {item["source"] for item in items[0::2]} == {"personal"}
    assert items[1]["source"] == "online"
    assert items[1]["reason"] == "similar to title 0 which you played"


@pytest.mark.slow
def test_publishing_to_s3_runs(world: World, tmp_path: Path) -> None:
    """With the keys of a real server in the environment, the page ends with a current run in the bucket."""
    shutil.copytree(world.folder / "path" / "to" / "folder", tmp_path / "s3" / "my-bucket" / "logs")
    with s3_server(tmp_path / "s3") as server:
        world.variables = server.environment()
        for block in blocks(PROJECT / "docs" / "how-to" / "publish-to-s3.md"):
            world.run(block, NOT_EXECUTED)
        assert registry.current(storage("s3://my-bucket/musicrec", server.environment())).files
        assert pq.read_metadata(tmp_path / "s3" / "my-bucket" / "lists.parquet").num_rows


@pytest.mark.slow
@engines.SPARKS_WARNINGS
def test_running_on_spark(world: World) -> None:
    """With one more section of settings the page ends with the lists in a file."""
    engines.skip_without_spark()
    world.variables = {"JDK_JAVA_OPTIONS": engines.QUICK}
    for block in blocks(PROJECT / "docs" / "how-to" / "spark.md")[:3]:
        world.run(block, NOT_EXECUTED)
    assert pq.read_metadata(world.folder / "lists.parquet").num_rows
    engines.stop()
    for block in blocks(PROJECT / "docs" / "how-to" / "spark.md")[3:]:
        world.run(block, NOT_EXECUTED)
    assert settings.load(world.folder / "config.ini", {}).engine_options["options"]["spark.task.cpus"] == "2"


def test_the_list_of_commands_that_are_not_executed_is_not_out_of_date() -> None:
    """Each of them is printed somewhere."""
    assert NOT_EXECUTED.keys() <= {command for _, command in COMMANDS}


def test_every_block_says_its_language() -> None:
    """Of the languages that are executed or, as output, read."""
    assert not [str(block) for block in BLOCKS if block.language not in ("sh", "python", "ini", "toml", "yaml", "text")]


@pytest.mark.parametrize(("where", "command"), COMMANDS, ids=[command for _, command in COMMANDS])
def test_every_command_line_is_valid(where: str, command: str) -> None:
    """Bash can read it, musicrec knows its subcommands and options, and make its target."""
    subprocess.run(["bash", "-n", "-c", command], check=True)
    words = [word for word in shlex.split(command, comments=True) if not re.match(r"^[A-Z_]+=", word)]
    if words[0] == "musicrec":
        parsed(typer.main.get_command(app), "musicrec", words[1:])
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", read("Makefile"), re.MULTILINE), where
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    assert set(re.findall(r"'\.\[(\w+)\]'", command)) <= extras.keys(), where
    for path in re.findall(r"\bdeploy/\S+", command):
        assert list(PROJECT.glob(path)), where


def parsed(command: Any, name: str, arguments: list[str], parent: Any = None) -> None:
    """Return when the arguments are right; click raises otherwise. Nothing is executed."""
    context = command.make_context(name, list(arguments), parent=parent, resilient_parsing="--help" in arguments)
    rest = [*context._protected_args, *context.args]
    if hasattr(command, "resolve_command") and rest:
        found, one, further = command.resolve_command(context, rest)
        parsed(one, found, further, context)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_what_prose_names_exists(page: Path) -> None:
    """`musicrec x` is a command, `make x` a target, `[section] key` a setting, `musicrec_x` a metric."""
    text = page.read_text(encoding="utf-8")
    root = typer.main.get_command(app)
    for words in re.findall(r"`musicrec ([a-z]+(?: [a-z]+)?)", text):
        command: Any = root
        for word in words.split():
            if hasattr(command, "commands"):
                assert word in command.commands, f"musicrec {words}"
                command = command.commands[word]
    assert set(re.findall(r"`make ([a-z]+)", text)) <= set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    metrics = read("musicrec/serving/metrics.py")
    for name in re.findall(r"`musicrec_(\w+)", text):
        assert f'"{name.removesuffix("_total")}"' in metrics, name
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(read("config.ini"))
    for section, key in re.findall(r"`\[([a-z_.]+)\] ([a-z_]+)", text):
        assert key in config[section], f"[{section}] {key}"


def test_hooks_and_issue_templates_are_whole() -> None:
    """The hooks before a commit are programs of the extra dev; each template says what it is for and asks for something."""
    yaml = pytest.importorskip("yaml")
    dev = " ".join(tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]["dev"])
    names = {"lint-imports": "import-linter"}
    for hook in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"][0]["hooks"]:
        program = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert names.get(program, program) in dev
    templates = [path for path in (PROJECT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert templates
    for template in templates:
        found = yaml.safe_load(template.read_text(encoding="utf-8"))
        assert found["name"]
        assert found["description"]
        assert any(part["validations"]["required"] for part in found["body"] if "validations" in part)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Strictly: all links and anchors hold; the settings, models and commands are there; nothing is loaded from elsewhere."""
    pytest.importorskip("mkdocs")
    built = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)], cwd=PROJECT, text=True,
                           capture_output=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert built.returncode == 0, built.stderr[-3000:]
    assert "WARNING" not in built.stderr
    pages = {page.relative_to(tmp_path).parent.as_posix(): page.read_text(encoding="utf-8") for page in tmp_path.rglob("index.html")}
    for text in pages.values():
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?([^\"> ]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?stylesheet[^>]*", text)
        assert not [address for address in loaded if "://" in address or address.startswith("//")]
        assert "Generated by" not in text
    settings = html.unescape(re.sub(r"<[^>]+>", "", pages["reference/settings"]))
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(read("config.ini"))
    for section in config.sections():
        assert f"[{section}]" in settings
        assert all(re.search(rf"^{key}$", settings, re.MULTILINE) for key in config[section]), section
    assert "musicrec runs rollback" in html.unescape(re.sub(r"<[^>]+>", "", pages["reference/command"]))
