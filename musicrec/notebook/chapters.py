"""The chapters of a notebook, its parameters cell, and the pictures that it has drawn."""

import ast
import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from musicrec.errors import SettingsError
from musicrec.files import make_folder

_HEADING = re.compile(r"^#{1,2}\s+(.+?)\s*$", re.MULTILINE)
OPENING = "Opening"


def chapters(notebook: Any) -> list[str]:
    """For each cell the chapter it stands in: the latest heading of the first or second level; OPENING before the first one."""
    found, title = [], OPENING
    for cell in notebook.cells:
        headings = _HEADING.findall(cell.source) if cell.cell_type == "markdown" else []
        title = headings[-1] if headings else title
        found.append(title)
    return found


def with_parameters(notebook: Any, values: Mapping[str, str]) -> Any:
    """A copy of `notebook` whose cell tagged `parameters` assigns `values` instead of what stands there; comments stay.

    A value is a Python literal where it reads as one, else text. Raises SettingsError for a name that the cell does not assign.
    """
    made = nbformat.from_dict(notebook)
    if not values:
        return made
    cell = next((cell for cell in made.cells if "parameters" in cell.metadata.get("tags", ())), None)
    source = cell.source if cell else ""
    statements = [node for node in ast.parse(source).body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    places = {node.targets[0].id: node.value for node in statements if isinstance(node.targets[0], ast.Name)}
    lines = source.encode().splitlines(keepends=True)
    for name in values:
        if name not in places:
            raise SettingsError(f"the notebook has no parameter {name!r}; its parameters cell assigns {', '.join(places) or 'nothing'}.")
    for name, value in sorted(values.items(), key=lambda pair: -places[pair[0]].lineno):
        old = places[name]
        assert old.end_lineno is not None
        first, last = lines[old.lineno - 1], lines[old.end_lineno - 1]
        lines[old.lineno - 1:old.end_lineno] = [first[:old.col_offset] + repr(_literal(value)).encode() + last[old.end_col_offset:]]
    if cell:
        cell.source = b"".join(lines).decode()
    return made


def write_pictures(notebook: Any, folder: Path) -> list[Path]:
    """Write every PNG output of an executed notebook into `folder`, named by number and chapter; earlier pictures there go."""
    make_folder(folder)
    for old in folder.glob("*.png"):
        old.unlink()
    written: list[Path] = []
    for cell, title in zip(notebook.cells, chapters(notebook)):
        for output in cell.get("outputs", ()):
            if picture := output.get("data", {}).get("image/png"):
                name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
                written.append(folder / f"{len(written) + 1:02d}_{name}.png")
                written[-1].write_bytes(base64.b64decode(picture))
    return written


def _literal(value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
