"""Where runs are published: one protocol, one file a kind of place. A storage is added by one file and one line in STORAGES."""

from collections.abc import Mapping

from musicrec.errors import StorageError
from musicrec.storage.local import LocalStorage
from musicrec.storage.protocol import SMALL_BYTES, Storage
from musicrec.storage.s3 import S3Storage

__all__ = ["SMALL_BYTES", "STORAGES", "Storage", "storage"]

STORAGES: dict[str, type[Storage]] = {
    "folder": LocalStorage,
    "s3": S3Storage,
}


def storage(location: str, environment: Mapping[str, str]) -> Storage:
    """The storage that `location` names: a folder, or scheme://... with a scheme of STORAGES. Touches nothing yet.

    `environment` holds endpoint and keys, as settings.s3_environment() finds them.
    Raises StorageError for a scheme that no storage has.

    >>> storage("artifacts", {}).location
    'artifacts'
    """
    scheme, mark, _ = location.partition("://")
    kind = STORAGES.get(scheme if mark else "folder")
    if kind is None:
        raise StorageError(f"[artifacts] location starts with {scheme}://, but only a folder or "
                           f"{', '.join(f'{name}://' for name in STORAGES if name != 'folder')} is known.")
    return kind.at(location, environment)
