"""Keys of users and items as services look them up, one binary search each way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from musicrec.serving.arrays import Int32, arrays, place

Key = int | str
# What the keys of a run are: its ids, whole numbers, or text.
IDS, NUMBERS, TEXT = range(3)
_NONE: dict[str, NDArray[Any]] = {}


class User(NamedTuple):
    """Who is asked about: as asked, the id in the run (-1 for an unknown user), the key that stores know, and how answers name items."""

    asked: Key
    user_id: int
    key: Key
    by_key: bool


@dataclass(frozen=True)
class KeyIndex:
    """The keys of the users, or of the items, of one run. A run whose keys are its ids needs no arrays.

    kind: IDS, NUMBERS or TEXT. arrays: ids (int32, ascending) with key_starts and key (UTF-8) of each; hashes (uint64, ascending) with
    the place of each among the ids.
    """

    kind: int = IDS
    arrays: dict[str, NDArray[Any]] = field(default_factory=lambda: _NONE, repr=False)

    def id_of(self, key: Key) -> int:
        """The id of a key, or of an id that is no key of its own; -1 for an unknown one. About five microseconds."""
        if self.kind == IDS:
            return key if isinstance(key, int) else -1
        text = str(key)
        wanted, hashes = hash_of(text.encode()), self.arrays["hashes"]
        at = int(hashes.searchsorted(wanted))
        while at < len(hashes) and hashes[at] == wanted:
            found = int(self.arrays["places"][at])
            if self._text(found) == text:
                return int(self._ids[found])
            at += 1
        return key if isinstance(key, int) and self.kind == TEXT and place(self._ids, key) >= 0 else -1

    def key_of(self, item_id: int) -> Key:
        """The key of an id: a number in logs of whole numbers, else text; an unknown id is its own key."""
        at = -1 if self.kind == IDS else place(self._ids, item_id)
        if at < 0:
            return item_id
        text = self._text(at)
        return int(text) if self.kind == NUMBERS else text

    def canonical(self, key: Key) -> Key:
        """The key of what is a key or an id; itself where it is unknown."""
        found = self.id_of(key) if self.kind == TEXT else -1
        return key if found < 0 else self.key_of(found)

    def all_canonical(self, keys: Sequence[Key]) -> tuple[Key, ...]:
        """`canonical` of each."""
        return tuple(map(self.canonical, keys) if self.kind == TEXT else keys)

    def shown(self, item_id: int, by_key: bool) -> Key:
        """What an answer calls an id: its key where `by_key` or where keys are whole numbers, else the id."""
        return self.key_of(item_id) if self.kind == NUMBERS or (by_key and self.kind == TEXT) else item_id

    def all_shown(self, item_ids: Sequence[int], by_key: bool) -> Sequence[Key]:
        """What an answer calls each of these ids; the list itself where keys are ids."""
        return [self.shown(item, by_key) for item in item_ids] if self.kind else item_ids

    @property
    def _ids(self) -> Int32:
        return self.arrays["ids"]

    def _text(self, at: int) -> str:
        starts = self.arrays["key_starts"]
        return self.arrays["key"][int(starts[at]):int(starts[at + 1])].tobytes().decode()


class RunKeyIndexes(NamedTuple):
    """The keys of one run, of users and of items."""

    users: KeyIndex = KeyIndex()
    items: KeyIndex = KeyIndex()


KEY_PARTS = ("user_keys", "item_keys")


def run_key_indexes(folders: Mapping[str, Path]) -> RunKeyIndexes:
    """The indexes in the cache folders of KEY_PARTS, those that a run has."""
    return RunKeyIndexes(*(key_index(folders.get(part)) for part in KEY_PARTS))


def hash_of(key: bytes) -> np.uint64:
    """The same number for a key, as UTF-8, on every machine."""
    return np.uint64(int.from_bytes(blake2b(key, digest_size=8).digest(), "little"))


def name_hash(name: str) -> np.uint64:
    """What stands for the name of a genre or an artist; upper and lower case are alike."""
    return hash_of(name.strip().casefold().encode(errors="replace"))


def key_index(folder: Path | None) -> KeyIndex:
    """The index in the cache folder of a part; without one, keys are ids. Raises ArtifactError for a damaged folder."""
    if folder is None:
        return KeyIndex()
    found = arrays(folder)
    return KeyIndex(int(found["kind"][0]), found)
