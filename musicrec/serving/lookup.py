"""What services look up in one run, one question being one binary search."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.errors import MisdirectedError
from musicrec.serving.arrays import SEPARATOR, Float32, Int32, arrays, place
from musicrec.serving.filters import ItemColumns, item_columns
from musicrec.serving.fold_in import FoldIn, fold_in
from musicrec.serving.keys import Key, KeyIndex, User, run_key_indexes
from musicrec.serving.shards import Shard, plain, shard_of

_NOTHING = np.empty(0, np.int32)


def without(items: Int32, sorted_ids: Int32) -> NDArray[np.bool_]:
    """Which of `items` are not among the ascending `sorted_ids`: bool, aligned to items.

    >>> without(np.array([4, 7], np.int32), np.array([1, 7], np.int32)).tolist()
    [True, False]
    """
    if not len(sorted_ids):
        return np.ones(len(items), np.bool_)
    return np.asarray(sorted_ids.take(sorted_ids.searchsorted(items), mode="clip") != items)


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


NO_GROUPS = Grouped(_NOTHING, np.zeros(1, np.int64), _NOTHING, np.empty(0, np.float32))


@dataclass(frozen=True)
class Item:
    """What a person knows a track by. An id that the catalog lacks has an empty name and no artists."""

    item_id: int
    name: str = ""
    artists: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    artist_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class ItemNames:
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

    def artists_of(self, items: Int32) -> tuple[NDArray[np.int64], Int32]:
        """The artists of many items, a row an artist: the place of its item in `items`, int64, and its id, int32."""
        at = np.minimum(self.item_ids.searchsorted(items), len(self.item_ids) - 1)
        starts = self.arrays["artist_ids_starts"]
        counts = np.where(self.item_ids[at] == items, starts[at + 1] - starts[at], 0)
        owners = np.repeat(np.arange(len(items)), counts)
        rows = np.arange(len(owners)) + np.repeat(starts[at] - np.cumsum(counts) + counts, counts)
        return owners, self.arrays["artist_ids"][rows]

    def _slice(self, name: str, at: int) -> NDArray[Any]:
        starts = self.arrays[f"{name}_starts"]
        return self.arrays[name][int(starts[at]):int(starts[at + 1])]

    def _text(self, name: str, at: int) -> str:
        return self._slice(name, at).tobytes().decode()


@dataclass(frozen=True)
class Lookup:
    """What the recommendations service knows of one run. blocked: ascending ids that are never recommended; allowed: ascending ids that
    alone are, None for all items. fold_in: None for a run without item factors. shard: the users that are held, None for all.
    """

    run_id: str
    personal: Grouped
    seen: Grouped
    popular: Int32
    popular_scores: Float32
    catalog: ItemNames
    columns: ItemColumns
    familiar: Grouped = NO_GROUPS
    users: KeyIndex = field(default_factory=KeyIndex)
    items: KeyIndex = field(default_factory=KeyIndex)
    blocked: Int32 = field(default_factory=lambda: _NOTHING)
    allowed: Int32 | None = None
    fold_in: FoldIn | None = None
    shard: Shard | None = None

    @property
    def has_keys(self) -> bool:
        """Whether keys of users or items are other than ids."""
        return bool(self.users.kind or self.items.kind)

    def user(self, asked: Key, request: object) -> User:
        """The user that `asked` means; the request may ask for keys in the answer, and a key in text does.

        Raises MisdirectedError for a user of another shard.
        """
        by_key = isinstance(asked, str) or (self.has_keys and getattr(request, "keys", False))
        user = User(asked, self.users.id_of(asked), self.users.canonical(asked), by_key)
        if self.shard is not None and not self.shard.holds(user.key):
            right = Shard(shard_of(user.key, self.shard.of), self.shard.of)
            raise MisdirectedError(f"this user belongs to shard {right}, and this service holds {self.shard}; ask the other one.")
        return user

    def ruled(self, blocked: Sequence[Key], allowed: Sequence[Key] | None) -> "Lookup":
        """The same run with these keys, or ids, blocked and allowed; those that it does not know are ignored."""
        return replace(self, blocked=self._known(blocked), allowed=None if allowed is None else self._known(allowed))

    def _known(self, keys: Sequence[Key]) -> Int32:
        ids = {self.items.id_of(key) for key in keys}
        return np.array(sorted(item for item in ids if 0 <= item < 2**31), np.int32)


def grouped(folder: Path, items: str) -> Grouped:
    """The part in `folder` as groups; `items` names the column that holds them."""
    found = arrays(folder)
    scores = found.get("score", np.empty(0, np.float32))
    return Grouped(found["keys"], found["starts"], found[items], scores)


def lookup(run_id: str, folders: dict[str, Path], shard: Shard | None = None) -> Lookup:
    """The Lookup over the folders of the parts recommendations, seen, popular, items, filters, and those of familiar, user_keys, item_keys
    and factors that the run has; the parts are whole, or all of the shard."""
    folders = {plain(part): folder for part, folder in folders.items()}
    familiar = grouped(folders["familiar"], "item_id") if "familiar" in folders else NO_GROUPS
    popular, catalog = arrays(folders["popular"]), arrays(folders["items"])
    return Lookup(run_id, grouped(folders["recommendations"], "item_id"), grouped(folders["seen"], "item_id"),
                  popular["item_id"], popular["score"], ItemNames(catalog["item_id"], catalog),
                  item_columns(folders["filters"]), familiar, *run_key_indexes(folders), fold_in=fold_in(folders.get("factors")),
                  shard=shard)
