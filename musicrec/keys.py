"""Keys: users and tracks as the owner of the logs writes them, and the stable int32 ids by which everything else knows them.

A table of keys only grows: a key keeps its id in every later run, so that stored plays, exports and lists go on meaning the same people
and tracks. In logs of whole numbers a key is its own id.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from musicrec.errors import ArtifactError, DataError
from musicrec.files import write_parquet
from musicrec.schema import KEYS, LARGEST_ID, check

KEY_FILES = {kind: f"{kind}_keys.parquet" for kind in ("user", "item", "artist", "album", "genre")}
_WHOLE = "^(0|[1-9][0-9]{0,18})$"
_QUOTE = '"'
_LARGEST_WHOLE = str(2**63 - 1)


@dataclass(frozen=True)
class KeyTable:
    """Keys (Arrow strings, each once) and their ids (int32, each once), aligned. A first import begins with an empty table.

    >>> table = KeyTable().extended(["bob", "alice"])
    >>> table.extended(["aaron", "bob"]).ids_of(["alice", "aaron", "nobody"]).tolist()
    [0, 2, -1]
    """

    keys: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def is_identity(self) -> bool:
        """Whether every key is its id, written as a decimal number."""
        return bool((_whole_numbers(self.keys) == self.ids).all())

    @property
    def is_numeric(self) -> bool:
        """Whether every key is a whole number below 2^63, so that answers can give keys as JSON numbers."""
        return bool((_whole_numbers(self.keys) >= 0).all())

    def extended(self, keys: Iterable[str | None]) -> "KeyTable":
        """This table, and behind it those of `keys` (Arrow or Python text) that it lacks, in alphabetical order; nulls are left out.

        Where at least half of the table's keys are whole numbers below 2^63 (for an empty table: half of `keys`), a whole number is its
        own id if that is below 2^31 and free, and other keys take the highest free ids. Otherwise all take the lowest free ids.
        Cost: about a second for a million keys.
        """
        new = _distinct(keys)
        new = new.filter(pc.invert(pc.is_in(new, self.keys)))
        new = new.take(pc.sort_indices(new))
        numbers = _whole_numbers(new)
        known = _whole_numbers(self.keys) if len(self) else numbers
        ids = np.full(len(new), -1)
        free = np.arange(len(self) + 2 * len(new))
        if 2 * int((known >= 0).sum()) >= len(known):
            ids = np.where((numbers > LARGEST_ID) | np.isin(numbers, self.ids), -1, numbers)
            free = LARGEST_ID - free
        ids[ids < 0] = free[~np.isin(free, np.concatenate((self.ids, ids)))][: int((ids < 0).sum())]
        return KeyTable(pa.concat_arrays([self.keys, new]), np.concatenate((self.ids, ids.astype(np.int32))))

    def ids_of(self, keys: Iterable[str | None]) -> NDArray[np.int32]:
        """The id of each key, int32; -1 for null and for a key that the table lacks."""
        places = pc.index_in(_strings(keys), self.keys)
        found = pc.fill_null(places, -1).to_numpy(zero_copy_only=False)
        return np.where(found >= 0, np.append(self.ids, np.int32(-1))[found], np.int32(-1))

    def joined(self, other: "KeyTable", kind: str) -> "KeyTable":
        """This table and behind it the rest of `other`. Raises ArtifactError when a key or an id means two different things.

        >>> KeyTable().extended(["alice"]).joined(identity_keys(np.array([0], np.int32)), "user")
        Traceback (most recent call last):
        musicrec.errors.ArtifactError: user 0 of these logs is 'alice' in the current run; publish them at another [artifacts] location.
        """
        known = self.ids_of(other.keys)
        wrong = np.where(known < 0, np.isin(other.ids, self.ids), known != other.ids)
        if wrong.any():
            taken = other.ids[wrong][:1]
            key = self.keys.take(pc.index_in(pa.array(taken), pa.array(self.ids)))[0].as_py()
            raise ArtifactError(f"{kind} {taken[0]} of these logs is {key!r} in the current run; "
                                "publish them at another [artifacts] location.")
        rest = known < 0
        return KeyTable(pa.concat_arrays([self.keys, other.keys.filter(pa.array(rest))]), np.concatenate((self.ids, other.ids[rest])))

    def canonical(self, keys: Iterable[str | None]) -> pa.Array:
        """`keys`, with each that is no key but the id of one replaced by that one.

        >>> KeyTable().extended(["alice", "bob"]).canonical(["bob", "0", "eve"]).to_pylist()
        ['bob', 'alice', 'eve']
        """
        given = _strings(keys)
        ids = pa.array(self.ids).cast(pa.string())
        by_id = self.keys.take(pc.index_in(given, ids))
        return pc.if_else(pc.or_(pc.is_in(given, self.keys), pc.is_null(by_id)), given, by_id)

    def keys_of(self, ids: NDArray[np.int32]) -> pa.Array:
        """The key of each id, text; null for an id that the table lacks."""
        return self.keys.take(pc.index_in(pa.array(ids, pa.int32()), pa.array(self.ids)))

    def check_extends(self, earlier: "KeyTable", name: str) -> None:
        """Raise ArtifactError when a key of `earlier` is missing here or has another id: `name` would change its meaning."""
        now = self.ids_of(earlier.keys)
        changed = np.flatnonzero(now != earlier.ids)
        if len(changed):
            at = int(changed[0])
            means = "is missing" if now[at] < 0 else f"has id {now[at]}"
            raise ArtifactError(f"{name}: key {earlier.keys[at].as_py()!r} {means} and has id {earlier.ids[at]} in the current run, so "
                                "stored plays would change their owner; publish these logs at another [artifacts] location.")

    def write(self, path: Path) -> None:
        """Write the table to a parquet file of schema KEYS, by ascending id."""
        order = np.argsort(self.ids)
        write_parquet(pa.table({"key": self.keys.take(pa.array(order)), "id": self.ids[order]}), path)


def read_keys(path: Path) -> KeyTable:
    """The table in a parquet file. Raises ArtifactError for a file that is damaged or holds a key or an id twice, or a negative id."""
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as cause:
        raise ArtifactError(f"{path} is not a readable parquet file: {' '.join(str(cause).split())[:120]}.") from None
    check(table, KEYS, str(path))
    keys, ids = _strings(table["key"]), table["id"].to_numpy().astype(np.int64)
    if keys.null_count or len(pc.unique(keys)) != len(keys) or len(np.unique(ids)) != len(ids) or (ids < 0).any():
        raise ArtifactError(f"{path} holds a key or an id twice, an empty key, or a negative id; publish the run again.")
    return KeyTable(keys, ids.astype(np.int32))


@dataclass(frozen=True)
class RunKeys:
    """The tables of keys of one run: users and items, and of the names of artists, albums and genres, which have ids of their own."""

    user: KeyTable = field(default_factory=KeyTable)
    item: KeyTable = field(default_factory=KeyTable)
    artist: KeyTable = field(default_factory=KeyTable)
    album: KeyTable = field(default_factory=KeyTable)
    genre: KeyTable = field(default_factory=KeyTable)

    @classmethod
    def read(cls, folder: Path) -> "RunKeys":
        """The tables in the files of `folder`, empty where it has none. Raises ArtifactError for a damaged one."""
        paths = {kind: folder / KEY_FILES[kind] for kind in KEY_FILES}
        return cls(**{kind: read_keys(path) for kind, path in paths.items() if path.is_file()})

    def write(self, folder: Path) -> None:
        """Write all tables into `folder`."""
        for kind, name in KEY_FILES.items():
            getattr(self, kind).write(folder / name)

    def extended(self, kind: str, keys: Iterable[str | None]) -> "RunKeys":
        """These tables, with that of `kind` extended by `keys`."""
        return replace(self, **{kind: getattr(self, kind).extended(keys)})

    def check_extends(self, earlier: "RunKeys") -> None:
        """Raise ArtifactError when a user or item of `earlier` would change its meaning."""
        for kind in ("user", "item"):
            getattr(self, kind).check_extends(getattr(earlier, kind), f"{kind} keys")


def write_key_lines(keys: Iterable[object]) -> str:
    """A text with one key a line; one that holds control characters or begins with a quote as JSON.

    >>> write_key_lines([7, "a\\nb"])
    '7\\n"a\\\\nb"\\n'
    """
    texts = map(str, keys)
    return "".join(f"{text if text.isprintable() and not text.startswith(_QUOTE) else json.dumps(text)}\n" for text in texts)


def read_key_lines(path: Path) -> frozenset[str]:
    """The keys in a file of `write_key_lines`, or one written by hand. Raises DataError for a file that cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return frozenset(json.loads(line) if line.startswith(_QUOTE) else line.rstrip("\r") for line in lines if line.strip())
    except (OSError, ValueError) as cause:
        raise DataError(f"{path} cannot be read: {cause}; give a text file with one key a line.") from None


def identity_keys(ids: NDArray[np.int32]) -> KeyTable:
    """The table of whole-number logs: every id is the number that the logs have."""
    return KeyTable(pa.array(ids).cast(pa.string()), ids)


def _strings(keys: Iterable[str | None]) -> pa.Array:
    array = keys if isinstance(keys, pa.Array | pa.ChunkedArray) else pa.array(list(keys), pa.string())
    array = array.cast(pa.string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _distinct(keys: Iterable[str | None]) -> pa.Array:
    return pc.drop_null(pc.unique(_strings(keys)))


def _whole_numbers(keys: pa.Array) -> NDArray[np.int64]:
    """The whole number that a key is, -1 where it is none or 2^63 or more."""
    fits = pc.match_substring_regex(keys, _WHOLE)
    fits = pc.and_(fits, pc.or_(pc.less(pc.binary_length(keys), len(_LARGEST_WHOLE)), pc.less_equal(keys, _LARGEST_WHOLE)))
    return cast(NDArray[np.int64], pc.if_else(fits, keys, "-1").cast(pa.int64()).to_numpy(zero_copy_only=False).copy())
