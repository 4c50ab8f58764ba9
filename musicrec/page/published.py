"""What the page reads of the published run: names and lists from the services' arrays, histories and lists of models from its files."""

import mmap
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic_core import from_json

from musicrec import registry
from musicrec.page.sorted_rows import SortedRows
from musicrec.registry import Manifest
from musicrec.serving.arrays import Int32, place
from musicrec.serving.keys import TEXT, Key
from musicrec.serving.lookup import Lookup, lookup
from musicrec.storage import Storage

LISTS = {"als": "personal_als.parquet", "content": "content_recommendations.parquet", "user_knn": "recommendations_ub.json"}
# Files in which the rows of one user, or of one item, are looked up, with the column by which they ascend.
_SORTED = {"events.parquet": "user_id", "contributions.parquet": "user_id", "lists_by_model.parquet": "user_id",
           "plays_by_month.parquet": "item_id", "similar.parquet": "item_id_1",
           **{name: "user_id" for name in LISTS.values() if name.endswith(".parquet")}}
FILES = ("items.parquet", "genres.parquet", LISTS["user_knn"], *_SORTED)
_ROWS = 1 << 24


@dataclass(frozen=True)
class Published:
    """One run, to look at. folder: its files, as far as the page reads them."""

    manifest: Manifest
    folder: Path
    lookup: Lookup

    @classmethod
    def opened(cls, place: Storage, cache: Path, run_id: str, folders: Mapping[str, Path]) -> "Published":
        """The run over the folders of the parts that services map. Raises ArtifactError for a damaged file."""
        run = registry.manifest(place, run_id)
        folder = registry.fetch(place, run_id, [name for name in FILES if name in run.files], cache / "runs")
        found = cls(run, folder, lookup(run_id, dict(folders)))
        # The footers of large files take a second, and counts of many users a while: they are there before anybody waits for a screen.
        _ = found._sorted, found.segments, found._explained
        return found

    def key(self, text: str) -> Key:
        """The key that a person means by `text`: a whole number where it is written as one."""
        text = text.strip()
        return int(text) if text.isascii() and text.isdecimal() and str(int(text)) == text else text

    @cached_property
    def _sorted(self) -> dict[str, SortedRows]:
        return {name: SortedRows(self.folder / name, key) for name, key in _SORTED.items() if name in self.manifest.files}

    @cached_property
    def listeners(self) -> Int32:
        """Listeners of each item over the whole log, aligned to lookup.catalog.item_ids."""
        table = pq.read_table(self.folder / "items.parquet", columns=["item_id", "num_users"]).sort_by("item_id")
        return np.asarray(table["num_users"].to_numpy(), np.int32)

    def listeners_of(self, item_id: int) -> int:
        """Listeners of an item; 0 for an unknown one."""
        at = place(self.lookup.catalog.item_ids, item_id)
        return int(self.listeners[at]) if at >= 0 else 0

    def position(self, item_id: int) -> int:
        """Where the item stands among all by popularity, 1 first; 0 for an unknown one."""
        found = np.flatnonzero(self.lookup.popular == item_id)
        return int(found[0]) + 1 if len(found) else 0

    @cached_property
    def _seen(self) -> NDArray[np.int64]:
        return np.diff(self.lookup.seen.starts)

    @cached_property
    def segments(self) -> dict[str, tuple[int, int]]:
        """Fewest and most tracks of users by segment: light and heavy ones are the outer thirds, as in the evaluation by segments."""
        first, second = np.quantile(self._seen, [1 / 3, 2 / 3], method="lower") if len(self._seen) else (0, 0)
        return {"cold": (0, 0), "light": (1, int(first)), "heavy": (int(second) + 1, int(self._seen.max(initial=0)))}

    @cached_property
    def _explained(self) -> Int32:
        """Ascending ids of the users for whom the run says what each model recommends."""
        if "lists_by_model.parquet" not in self._sorted:
            return np.empty(0, np.int32)
        column = pq.read_table(self.folder / "lists_by_model.parquet", columns=["user_id"])["user_id"]
        return np.unique(column.to_numpy().astype(np.int32))

    def random_user(self, segment: str) -> Key:
        """The key of a random user of a segment, if there is one of those whose lists the run explains; where the segment has no users, as
        "cold", a key that nobody has."""
        low, high = self.segments[segment]
        users = self.lookup.seen.keys[(self._seen >= low) & (self._seen <= high)]
        explained = self._explained[np.isin(self._explained, users)]
        users = explained if len(explained) else users
        if len(users):
            return self.lookup.users.key_of(int(secrets.choice(users)))
        if self.lookup.users.kind == TEXT:
            return f"new-{secrets.token_hex(4)}"
        return next(key for key in iter(lambda: 10**9 + secrets.randbelow(10**9), None) if place(self.lookup.seen.keys, key) < 0)

    def history(self, user_id: int) -> list[dict[str, Any]]:
        """The plays of a user, the latest first: item_id, started_at, and played_share and feedback where the log has them."""
        names = ("item_id", "started_at", "track_seq", "played_share", "feedback")
        table = self._sorted["events.parquet"].of(user_id, *names)
        rows: list[dict[str, Any]] = table.sort_by([("started_at", "descending"), ("track_seq", "descending")]).to_pylist()
        return rows

    def lists(self, user_id: int, k: int) -> dict[str, Int32]:
        """The first k items of the user by list: the published one, those of models as far as the run has them, and the popular items."""
        found = {"published": self.lookup.personal.of(user_id)[0][:k]}
        if "lists_by_model.parquet" in self._sorted:
            table = self._sorted["lists_by_model.parquet"].of(user_id).to_pandas()
            found |= {str(name): rows["item_id"].to_numpy()[:k] for name, rows in table.groupby("model", sort=False)}
        for name, file in LISTS.items():
            if name in found:
                continue
            if file in self._sorted:
                found[name] = self._sorted[file].of(user_id, "item_id")["item_id"].to_numpy()[:k]
            elif file in self.manifest.files:
                found[name] = _line(self.folder / file, user_id)[:k]
        return {name: items for name, items in found.items() if len(items)} | {"popular": self.lookup.popular[:k]}

    def contributions(self, user_id: int) -> dict[int, list[tuple[str, float]]]:
        """What adds most to the scores of the first places of a user's published list, by item; empty where that is not known."""
        found: dict[int, list[tuple[str, float]]] = {}
        if "contributions.parquet" in self._sorted:
            for row in self._sorted["contributions.parquet"].of(user_id).to_pylist():
                found.setdefault(row["item_id"], []).append((row["part"], row["value"]))
        return found

    def similar(self, item_id: int) -> list[dict[str, Any]]:
        """The items like this one, the most similar first: item_id_2, score, and source where the run tells it."""
        rows: list[dict[str, Any]] = self._sorted["similar.parquet"].of(item_id, "item_id_2", "score", "source").to_pylist()
        return rows

    def plays_by_month(self, item_id: int) -> dict[str, int]:
        """Plays of an item by month, as 2022-05; empty for a run without plays_by_month.parquet."""
        if "plays_by_month.parquet" not in self._sorted:
            return {}
        table = self._sorted["plays_by_month.parquet"].of(item_id)
        return {f"{month:%Y-%m}": plays for month, plays in zip(table["month"].to_pylist(), table["plays"].to_pylist())}

    def recommended_to(self, item_id: int, k: int) -> Int32:
        """Ids of the users who have the item among the first k of their published list."""
        personal, users = self.lookup.personal, list[NDArray[np.int32]]()
        for start in range(0, len(personal.items), _ROWS):
            rows = np.flatnonzero(personal.items[start:start + _ROWS] == item_id) + start
            at = personal.starts.searchsorted(rows, side="right") - 1
            users.append(personal.keys[at[rows - personal.starts[at] < k]])
        return np.concatenate(users) if users else np.empty(0, np.int32)

    def artist(self, artist_id: int) -> str | None:
        """The name of an artist; None for an unknown one."""
        first = np.flatnonzero(self.lookup.catalog.arrays["artist_ids"] == artist_id)[:1]
        return next(self.artist_names(np.array([artist_id]), first)) if len(first) else None

    def artist_names(self, artist_ids: NDArray[np.integer], entries: NDArray[np.int64]) -> Iterator[str]:
        """The names of artists, each of which stands at one of these entries of the catalog's flat array of artists."""
        items = map(self.lookup.catalog.item, self.lookup.catalog.item_ids[self._item_of(entries)].tolist())
        return (dict(zip(item.artist_ids, item.artists)).get(artist, "") for artist, item in zip(artist_ids.tolist(), items))

    @cached_property
    def genres(self) -> dict[int, str]:
        """The name of each genre, by id."""
        return dict(zip(*pq.read_table(self.folder / "genres.parquet", columns=["genre_id", "name"]).to_pydict().values()))

    def _item_of(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of the items to which entries of the flat array of artists belong."""
        return self.lookup.catalog.arrays["artist_ids_starts"].searchsorted(entries, side="right") - 1

    def items_of(self, artist_id: int, k: int) -> list[int]:
        """The k items of an artist with most listeners."""
        places = self._item_of(np.flatnonzero(self.lookup.catalog.arrays["artist_ids"] == artist_id))
        best = places[np.argsort(-self.listeners[places], kind="stable")[:k]]
        found: list[int] = self.lookup.catalog.item_ids[best].tolist()
        return found


def _line(path: Path, user_id: int) -> Int32:
    """The tracks of a user in a file of JSON lines whose users ascend: a binary search in the bytes."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        low, high = 0, len(text)
        while low < high:
            start = text.rfind(b"\n", 0, (low + high) // 2) + 1
            end = text.find(b"\n", start) if text.find(b"\n", start) >= 0 else len(text)
            found = from_json(text[start:end])
            if found["user"] == user_id:
                return np.array(found["tracks"], np.int32)
            low, high = (end + 1, high) if found["user"] < user_id else (low, start)
    return np.empty(0, np.int32)
