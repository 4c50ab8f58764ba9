"""MkDocs hook: what the code says about itself takes the place of `<!-- generated: NAME -->` when the site is built.

A new model, feature group, setting or command is therefore in the reference without a line written here.
"""

import configparser
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main
from pydantic import TypeAdapter

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from musicrec import schema  # noqa: E402
from musicrec.cli import app  # noqa: E402
from musicrec.events import EVENT_STORES  # noqa: E402
from musicrec.features import FEATURES  # noqa: E402
from musicrec.models import MODELS  # noqa: E402
from musicrec.settings import Settings  # noqa: E402
from musicrec.settings.presets import PRESETS  # noqa: E402
from musicrec.sources import SOURCES  # noqa: E402
from musicrec.storage import STORAGES  # noqa: E402

REGISTRIES = {"candidates": MODELS, "features": FEATURES, "sources": SOURCES}
_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The text of a page with every mark replaced."""
    return _MARK.sub(lambda found: GENERATED[found[1]](), markdown)


# Settings: keys, defaults and effects from config.ini, types from the classes that read it.


def settings() -> str:
    """One table per section of config.ini."""
    shipped = configparser.ConfigParser(interpolation=None)
    text = (PROJECT / "config.ini").read_text(encoding="utf-8")
    shipped.read_string(text)
    effects = comments(text)
    parts = []
    for section in shipped.sections():
        rows = [(f"`{key}`", type_of(section, key), _default(value), effects[section, key]) for key, value in shipped[section].items()]
        parts.append(f"## [{section}]\n\n{_table(('key', 'type', 'default', 'effect'), rows)}")
    return "\n\n".join(parts)


def presets() -> str:
    """One row per setting that a preset changes."""
    rows = [(f"`{name}`", f"`{variable}`", f"`{value}`") for name, values in PRESETS.items() for variable, value in values.items()]
    return _table(("preset", "variable", "value"), rows)


def comments(text: str) -> dict[tuple[str, str], str]:
    """(section, key) -> the comment above the key, or above the keys that follow it without a gap."""
    section, comment, fresh, found = "", "", True, {}
    for line in text.splitlines():
        if line.startswith("["):
            section, comment = line.strip("[]"), ""
        elif line.startswith("#"):
            comment, fresh = (line[2:] if fresh else f"{comment} {line[2:]}"), False
        elif "=" in line and not line.startswith(" "):
            found[section, line.partition("=")[0].strip()] = comment
            fresh = True
    return found


def type_of(section: str, key: str) -> str:
    """The type and range of a key in words."""
    registry, _, name = section.partition(".")
    if name:
        return _words(TypeAdapter(typing.get_type_hints(REGISTRIES[registry][name])[key]).json_schema())
    kind = Settings.model_fields[section].annotation
    assert kind is not None
    field = kind.model_fields[key]
    annotation = typing.Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return _words(TypeAdapter(annotation).json_schema())


def _words(kind: Mapping[str, Any]) -> str:
    if "anyOf" in kind:
        return "date, time, number of days, or empty"
    if "enum" in kind or "const" in kind:
        return " or ".join(f"`{value}`" for value in kind.get("enum", [kind.get("const")]))
    if kind["type"] == "array":
        return "names separated by spaces"
    if kind["type"] == "string":
        if "pattern" in kind:
            return "URL" if "http" in kind["pattern"] else "size, such as `1GB`"
        return {"path": "path", "password": "text, never shown"}.get(kind.get("format", ""), "text")
    name = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`"}[kind["type"]]
    return name + _range(kind)


def _range(kind: Mapping[str, Any]) -> str:
    low, high = kind.get("minimum"), kind.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    words = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "up to"}
    return "".join(f" {word} {kind[name]:g}" for name, word in words.items() if name in kind)


def _default(value: str) -> str:
    return f"`{' '.join(value.split())}`" if value else "empty"


# The command: the help of every subcommand.


def command() -> str:
    """One section per command with what `--help` prints."""
    return "\n\n".join(_help(typer.main.get_command(app), "musicrec", None))


def _help(one: Any, name: str, parent: Any) -> Iterator[str]:
    context = one.context_class(one, info_name=name, parent=parent, **{**one.context_settings, "terminal_width": 110})
    yield f"## {context.command_path}\n\n```text\n{one.get_help(context)}\n```"
    for sub in one.list_commands(context) if hasattr(one, "list_commands") else ():
        yield from _help(one.get_command(context, sub), sub, context)


# Registries: name, class and first sentence, then the whole docstring by mkdocstrings.


def _registry(registry: Mapping[str, type[Any]]) -> str:
    rows = [(f"[`{name}`](#{kind.__module__}.{kind.__qualname__})", _sentence(kind)) for name, kind in registry.items()]
    seen = dict.fromkeys(f"{kind.__module__}.{kind.__qualname__}" for kind in registry.values())
    return "\n\n".join([_table(("name", "what it does"), rows), *(f"::: {path}" for path in seen)])


def _sentence(kind: type[Any]) -> str:
    first, _, _ = (inspect.getdoc(kind) or "").partition("\n\n")
    return " ".join(first.split())


# Files of a run: columns from the schemas.


def files() -> str:
    """One table per file that has a schema."""
    tables = (schema.ITEMS, schema.EVENTS, schema.GENRES, schema.TOP_POPULAR, schema.RECOMMENDATIONS, schema.SIMILAR, schema.PERSONAL)
    return "\n\n".join(f"## {_title(table.name)}\n\n{_columns(table)}" for table in tables)


def logs() -> str:
    """One table per file of the three-file form."""
    tables = (schema.RAW_TRACKS, schema.RAW_NAMES, schema.RAW_INTERACTIONS)
    return "\n\n".join(f"### {table.name}.parquet\n\n{_columns(table)}" for table in tables)


def _title(name: str) -> str:
    return "personal_als.parquet and content_recommendations.parquet" if name == "personal" else f"{name}.parquet"


def _columns(table: schema.TableSchema) -> str:
    return _table(("column", "type", "meaning"),
                  [(f"`{column.name}`", str(column.type), column.meaning + (" (optional)" if column.optional else ""))
                   for column in table.columns])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def _included(name: str) -> Callable[[], str]:
    """The text of a file of the project folder, its links made relative to docs/."""
    return lambda: (PROJECT / name).read_text(encoding="utf-8").replace("](docs/", "](")


GENERATED: dict[str, Callable[[], str]] = {
    "settings": settings, "presets": presets, "command": command, "files": files, "logs": logs,
    "models": lambda: _registry(MODELS), "features": lambda: _registry(FEATURES), "sources": lambda: _registry(SOURCES),
    "event_stores": lambda: _registry(EVENT_STORES), "storages": lambda: _registry(STORAGES),
    "changelog": _included("CHANGELOG.md"), "contributing": _included("CONTRIBUTING.md"),
    "measurements": _included("benchmarks/RESULTS.md"),
}
