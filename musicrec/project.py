"""The files of a project folder that come with the package: settings, notebook, services and client."""

from pathlib import Path

from musicrec.errors import StorageError

FILES = ("config.ini", ".env.example", "recommendations.ipynb", "recommendations_service.py", "features_service.py", "events_service.py",
         "test_service.py")
_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The shipped file of this name: inside an installed package, or beside the package in a checkout."""
    inside = _PACKAGE / "project" / name
    return inside if inside.is_file() else _PACKAGE.parent / name


def add_missing(folder: Path) -> list[str]:
    """Copy those of FILES into `folder` that it lacks; returns their names. Raises StorageError when it cannot be written."""
    missing = [name for name in FILES if not (folder / name).exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in missing:
            (folder / name).write_bytes(shipped(name).read_bytes())
    except OSError as cause:
        raise StorageError(f"{folder} cannot be written: {cause.strerror or cause}; choose another folder.") from None
    return missing
