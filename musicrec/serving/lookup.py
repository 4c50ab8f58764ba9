"""Arrays on disk, mapped read-only: workers share their pages, and one question is one binary search."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import ArtifactError

Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]
# Between the names of one list; no name holds this control character.
SEPARATOR = "\x1f"
# Indices and names are small enough to be read at once, so that the first request after a swap does not wait for the disk.
_WARM_BYTES, _PAGE = 64 << 20, 4096
_NOTHING = np.empty(0, np.int32)


def place(sorted_ids: Int32, key: int) -> int:
    """Where `key` stands in ascending ids, or -1.

    >>> place(np.array([2, 5, 9], np.int32), 5), place(np.array([2, 5, 9], np.int32), 6)
    (1, -1)
    """
    # The key must have the type of the array: numpy would otherwise convert the whole array on every call.
    at = int(sorted_ids.searchsorted(np.int32(key)))
    return at if at < len(sorted_ids) and sorted_ids[at] == key else -1


def without(items: Int32, sorted_ids: Int32) -> NDArray[np.bool_]:
    """Which of `items` are not among the ascending `sorted_ids`: bool, aligned to items.

    >>> without(np.array([4, 7], np.int32), np.array([1, 7], np.int32)).tolist()
    [True, False]
    """
    if not len(sorted_ids):
        return np.ones(len(items), np.bool_)
    at = np.minimum(sorted_ids.searchsorted(items), len(sorted_ids) - 1)
    return np.asarray(sorted_ids[at] != items)


@dataclass(frozen=True)
class Grouped:
    """Rows grouped by an ascending key: items int32 and scores float32 (empty where the part has none)."""

    keys: Int32
    starts: NDArray[np.int64]
    items: Int32
    scores: Float32

    def of(self, key: int) -> tuple[Int32, Float32]:
        """Items and scores of `key` in stored order; two empty arrays for an unknown key."""
        at = place(self.keys, key)
        if at < 0:
            return _NOTHING, _NOTHING.astype(np.float32)
        rows = slice(int(self.starts[at]), int(self.starts[at + 1]))
        return self.items[rows], self.scores[rows]


@dataclass(frozen=True)
class Item:
    """What a person knows a track by. An id that the catalogue lacks has an empty name and no artists."""

    item_id: int
    name: str = ""
    artists: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    artist_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """The texts of all items, by ascending item id."""

    item_ids: Int32
    arrays: dict[str, NDArray[Any]] = field(repr=False)

    def item(self, item_id: int) -> Item:
        """The item; one with empty fields for an unknown id."""
        at = place(self.item_ids, item_id)
        if at < 0:
            return Item(item_id)
        artists, genres = (tuple(self._text(name, at).split(SEPARATOR)) if self._text(name, at) else () for name in ("artists", "genres"))
        return Item(item_id, self._text("name", at), artists, genres, self.artist_ids(item_id))

    def artist_ids(self, item_id: int) -> tuple[int, ...]:
        """Ids of the item's artists; empty for an unknown id."""
        at = place(self.item_ids, item_id)
        return tuple(self._slice("artist_ids", at).tolist()) if at >= 0 else ()

    def _slice(self, name: str, at: int) -> NDArray[Any]:
        starts = self.arrays[f"{name}_starts"]
        return self.arrays[name][int(starts[at]):int(starts[at + 1])]

    def _text(self, name: str, at: int) -> str:
        return self._slice(name, at).tobytes().decode()


@dataclass(frozen=True)
class Lookup:
    """What the recommendations service knows of one run."""

    run_id: str
    personal: Grouped
    seen: Grouped
    popular: Int32
    popular_scores: Float32
    catalogue: Catalogue


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


def grouped(folder: Path, items: str) -> Grouped:
    """The part in `folder` as groups; `items` names the column that holds them."""
    found = arrays(folder)
    scores = found.get("score", np.empty(0, np.float32))
    return Grouped(found["keys"], found["starts"], found[items], scores)


def lookup(run_id: str, folders: dict[str, Path]) -> Lookup:
    """The Lookup over the folders of the parts recommendations, seen, popular and items."""
    popular, catalogue = arrays(folders["popular"]), arrays(folders["items"])
    return Lookup(run_id, grouped(folders["recommendations"], "item_id"), grouped(folders["seen"], "item_id"),
                  popular["item_id"], popular["score"], Catalogue(catalogue["item_id"], catalogue))


def _mapped(path: Path, length: int) -> NDArray[Any]:
    # A plain view of the map is faster to slice than numpy's memmap class; an empty file cannot be mapped.
    return np.asarray(np.load(path, mmap_mode="r" if length else None, allow_pickle=False))
