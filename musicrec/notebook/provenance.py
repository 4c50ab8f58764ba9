"""From what a run was made: logs, settings and code, as one short text that differs when any of them does."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from musicrec.settings import Settings

_NO_MATTER = {"urls", "artifacts", "events", "blending", "service", "path"}


def provenance(settings: Settings, notebook: Any, package: Path) -> str:
    """A SHA-256 (hex) of the files in [data] folder, the settings that shape a run, the notebook's code and all modules of `package`.

    Reads every byte of the logs: about a second a gigabyte.
    """
    shaping = settings.model_dump(mode="json", exclude=_NO_MATTER)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    digest = hashlib.sha256(json.dumps([shaping, code], sort_keys=True).encode())
    for folder, files in ((settings.data.folder, settings.data.folder.rglob("*")), (package, package.rglob("*.py"))):
        _add(digest, folder, files)
    return digest.hexdigest()


def _add(digest: Any, folder: Path, files: Iterable[Path]) -> None:
    for path in sorted(path for path in files if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
