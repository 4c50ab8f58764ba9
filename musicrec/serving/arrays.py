"""Arrays on disk, mapped read-only: workers share their pages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import ArtifactError

# Between the names of one list; no name holds this control character.
SEPARATOR = "\x1f"
# The day of an item that nobody knows when it was added.
NO_DAY = -(2**31)
# What makes up the items of each name; see filters.ItemsByName.
NAME_ARRAYS = ("hashes", "starts", "places", "rows", "bits")
Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]
# Indices and names are small enough to be read at once, so that the first request after a swap does not wait for the disk.
_WARM_BYTES, _PAGE = 64 << 20, 4096
_LARGEST = 2**31 - 1


def place(sorted_ids: Int32, key: int) -> int:
    """Where `key` stands in ascending ids, or -1, also for a key that no int32 can hold.

    >>> place(np.array([2, 5, 9], np.int32), 5), place(np.array([2, 5, 9], np.int32), 6)
    (1, -1)
    """
    if not -_LARGEST <= key <= _LARGEST:
        return -1
    # The key must have the type of the array: numpy would otherwise convert the whole array on every call.
    at = int(sorted_ids.searchsorted(np.int32(key)))
    return at if at < len(sorted_ids) and sorted_ids[at] == key else -1


def arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a part's folder by name, mapped read-only, the small ones read once.

    Raises ArtifactError when a file is missing, cut off, or not what index.json says.
    """
    try:
        index: dict[str, list[Any]] = json.loads((folder / "index.json").read_text())
        found = {name: _mapped(folder / f"{name}.npy", int(length)) for name, (_, length) in index.items()}
    except (OSError, ValueError, EOFError) as cause:
        raise ArtifactError(f"cache folder {folder} is damaged ({cause}); remove it and start again.") from None
    for name, (dtype, length) in index.items():
        if (str(found[name].dtype), len(found[name])) != (dtype, length):
            raise ArtifactError(f"cache folder {folder} is damaged ({name}.npy is not what index.json says); remove it and start again.")
        if found[name].nbytes < _WARM_BYTES:
            found[name][::_PAGE // found[name].itemsize].max(initial=0)
    return found


def _mapped(path: Path, length: int) -> NDArray[Any]:
    # A plain view of the map is faster to slice than numpy's memmap class; an empty file cannot be mapped.
    return np.asarray(np.load(path, mmap_mode="r" if length else None, allow_pickle=False))
