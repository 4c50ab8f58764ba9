"""Storages to which runs are published, one file each. A storage is added by one file and one line in STORAGES."""

import uuid
from collections.abc import Mapping
from pathlib import Path

from musicrec.errors import StorageError
from musicrec.settings import Settings, s3_environment
from musicrec.storage.local import LocalStorage
from musicrec.storage.protocol import SMALL_BYTES, Storage
from musicrec.storage.s3 import S3Storage

__all__ = ["SMALL_BYTES", "STORAGES", "Storage", "artifacts_storage", "scratch_storage", "storage"]

STORAGES: dict[str, type[Storage]] = {
    "folder": LocalStorage,
    "s3": S3Storage,
}


def storage(location: str, environment: Mapping[str, str]) -> Storage:
    """The storage at `location`: a folder, or scheme://... with a scheme of STORAGES; s3a:// is s3://. Nothing is read or written yet.

    environment: endpoint and keys, see settings.s3_environment(). Raises StorageError for an unknown scheme.

    >>> storage("artifacts", {}).location
    'artifacts'
    """
    location = location.replace("s3a://", "s3://", 1) if location.startswith("s3a://") else location
    scheme, separator, _ = location.partition("://")
    kind = STORAGES.get(scheme if separator else "folder")
    if kind is None:
        raise StorageError(f"a location starts with {scheme}://; use a folder or "
                           f"{', '.join(f'{name}://' for name in STORAGES if name != 'folder')}.")
    return kind.at(location, environment)


def scratch_storage(settings: Settings, folder: Path) -> Storage:
    """Where this machine and the executors of Spark leave files for each other: `folder`, or a name like it below [engine] scratch."""
    if settings.engine.scratch:
        return storage(f"{settings.engine.scratch}/{folder.name}-{uuid.uuid4().hex[:12]}", s3_environment(settings.path))
    return LocalStorage(folder.resolve())


def artifacts_storage(settings: Settings) -> Storage:
    """The storage at [artifacts] location, with the S3 secrets of .env and the environment."""
    return storage(settings.artifacts.location, s3_environment(settings.path))
