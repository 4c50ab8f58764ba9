"""What the documents say holds for the code, and the code keeps the rules of the house."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pytest

from musicrec.events import EVENT_STORES
from musicrec.experiments.assignment import Experiment
from musicrec.experiments.attribution import GUARDRAILS, METRICS
from musicrec.features import FEATURES
from musicrec.models import MODELS
from musicrec.page import texts
from musicrec.registry.difference import changed_lists
from musicrec.sources import SOURCES
from musicrec.storage import STORAGES

PROJECT = Path(__file__).parents[1]
MODULES = sorted([*PROJECT.glob("musicrec/**/*.py"), *PROJECT.glob("benchmarks/*.py"), *PROJECT.glob("*_service.py")])
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("benchmarks/*.md")])
TOLD = [PROJECT / name for name in ("config.ini", "Makefile", "recommendations.ipynb")]
OVERVIEW, OWN_LOGS = PROJECT / "docs/explanation/overview.md", PROJECT / "docs/how-to/own-logs.md"
CONTRIBUTING = PROJECT / "CONTRIBUTING.md"


def named(path: Path) -> str:
    """The path as a test id."""
    return path.relative_to(PROJECT).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_a_module_is_told_and_short(module: Path) -> None:
    """It begins with a docstring and has at most 300 lines."""
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    if text.strip():
        assert ast.get_docstring(ast.parse(text))


def test_no_two_classes_of_the_package_have_the_same_name() -> None:
    """Upper and lower case aside, a class name means one class."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PROJECT.glob("musicrec/**/*.py")]
    names = Counter(node.name.lower() for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("path", [*MODULES, *DOCUMENTS, *TOLD], ids=named)
def test_no_file_names_a_place_of_one_machine(path: Path) -> None:
    """No absolute path of somebody's machine, no unfinished business."""
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w.:/])/(?:work|root|home|Users|tmp)/[\w.-]+", text)
    assert not re.findall(r"\b(?:TODO|FIXME|XXX)\b", text)


@pytest.mark.parametrize("name", MODELS)
def test_the_overview_says_what_every_model_recommends(name: str) -> None:
    """Each has its row in the table of models."""
    assert f"| `{name}` |" in OVERVIEW.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SOURCES)
def test_the_page_on_own_logs_names_every_source(name: str) -> None:
    """Each has its row in the table of sources."""
    assert f"| `{name}` |" in OWN_LOGS.read_text(encoding="utf-8")


def test_the_contributing_page_names_every_registry_entry_point() -> None:
    """Folder and dictionary of each registry stand in its table."""
    text = CONTRIBUTING.read_text(encoding="utf-8")
    registries = {"features": FEATURES, "sources": SOURCES, "storage": STORAGES, "events": EVENT_STORES}
    for (folder, entries), registry in zip(registries.items(), ("FEATURES", "SOURCES", "STORAGES", "EVENT_STORES")):
        assert f"`musicrec/{folder}/` | `{registry}`" in text
        assert entries


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_commands_and_links_of_a_document_exist(document: Path) -> None:
    """`make x` is a target, `python -m musicrec.x` a module, a relative link a file."""
    text = document.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`|\$ )make ([a-z]+)", text, re.MULTILINE)) <= targets
    for module in re.findall(r"python -m ((?:musicrec|benchmarks)[\w.]*)", text):
        place = PROJECT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), module
    for link in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert (document.parent / link).exists(), link


def test_every_requirement_is_pinned_and_held() -> None:
    """Exact versions, each of them also in constraints.txt."""
    held = {line.replace("-", "_") for line in (PROJECT / "constraints.txt").read_text(encoding="utf-8").split()}
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (PROJECT / file).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "-")):
                assert re.sub(r"\[.*\]", "", line).replace("-", "_") in held, f"{file}: {line}"


def test_what_is_made_is_not_committed() -> None:
    """Data, artifacts, work, logs and secrets are ignored by git."""
    made = ["data/x", "artifacts/x", "work/x", "var/x", ".env", ".venv/x", "test_service.log", "musicrec/__pycache__/x.pyc"]
    ignored = subprocess.run(["git", "check-ignore", *made], cwd=PROJECT, capture_output=True, text=True)
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.stdout.split() == made


SHOWING = {"text", "link", "card", "bars", "months", "table", "paged", "button", "input", "notify", "expansion", "toggle", "tooltip",
           "label", "page_title"}


def literals(node: ast.AST) -> Iterator[str]:
    """Texts with letters that a value is made of; not what is called or looked up for it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and any(map(str.isalpha, node.value)):
        yield node.value
    elif isinstance(node, ast.JoinedStr | ast.Tuple | ast.List | ast.BoolOp):
        yield from chain.from_iterable(map(literals, getattr(node, "values", None) or getattr(node, "elts", ())))
    elif isinstance(node, ast.IfExp | ast.BinOp):
        yield from chain.from_iterable(map(literals, (node.body, node.orelse) if isinstance(node, ast.IfExp) else (node.left, node.right)))


def test_every_text_of_the_page_stands_in_one_file() -> None:
    """No call that shows something is given a text of its own, and what columns, metrics and states are called is in texts."""
    shown, called = list[str](), {*METRICS, *GUARDRAILS}
    for path in sorted((PROJECT / "musicrec/page").glob("*.py")):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name in ("records", "heads"):
                called.update(literals(call.args[-1 if name == "heads" else 1]))
            elif name in SHOWING:
                shown += [f"{path.name}:{call.lineno}: {text}" for text in literals(call.args[0])]
    assert shown == []
    assert called <= texts.HEADS.keys()
    now = datetime(2026, 1, 2, tzinfo=UTC)
    states = {Experiment("x", (), start=start, end=end, paused=paused).state(now) for start in (None, now + timedelta(1))
              for end in (None, now) for paused in (True, False)}
    assert states == texts.STATES.keys()
    assert changed_lists(*[pa.table({"user_id": [1], "item_id": [5]})] * 2, k=1).keys() == texts.CHANGED_LISTS.keys()
