"""Which items one request lets into its lists: parameters, and boolean masks over the items of a run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, WithJsonSchema

from musicrec.serving.arrays import NAME_ARRAYS, Int32, arrays
from musicrec.serving.keys import name_hash
from musicrec.serving.parameters import refusal
from musicrec.serving.schemas import MAX_BATCH, MAX_KEY, WHOLE, DefaultRequest, Id, ModeRequest, Parameters, Somebody, UserRequest

_EPOCH = date(1970, 1, 1).toordinal()
_MAX_NAMES, _MAX_OFFSET = 100, 10_000
_SCANNED, _AT_ONCE = 1 << 16, 256


def listed(value: object) -> object:
    """A list also of what is sent as one value."""
    return [value] if isinstance(value, str | int) else value


def _day(value: object) -> date | None:
    return None if value in ("", None) else date.fromisoformat(str(value))


def _names(description: str) -> Any:
    return Field(description=f"{description} May be repeated.", examples=[[]])


Names = Annotated[tuple[Annotated[str, Field(max_length=MAX_KEY)], ...], Field(max_length=_MAX_NAMES), BeforeValidator(listed)]
Day = Annotated[date | None, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class Filters(Parameters):
    """Which items a list may hold, and where it begins. Examples let everything through, so that they work on every run."""

    genres: Annotated[Names, _names("Only tracks of these genres, such as rock.")] = ()
    not_genres: Annotated[Names, _names("No tracks of these genres.")] = ()
    artists: Annotated[Names, _names("Only tracks of these artists, by name.")] = ()
    not_artists: Annotated[Names, _names("No tracks of these artists.")] = ()
    exclude: Annotated[tuple[Id, ...], Field(max_length=MAX_BATCH), BeforeValidator(listed), Field(
        description="Tracks to leave out. May be repeated.", examples=[[99262]])] = ()
    added_since: Annotated[Day, Field(description="Only tracks that were added on this day, such as 2024-05-01, or later.",
                                      examples=[""])] = None
    max_per_artist: Annotated[int, Field(ge=0, le=MAX_BATCH), WHOLE, Field(
        description="Most tracks of an artist while there are others; 0: as [blending] max_per_artist says.", examples=[0])] = 0
    diversity: Annotated[float, Field(ge=0, le=1, description="How much a track of an artist who has better ones in the list loses of its "
                                      "worth by each of them: 0 nothing, 1 all.", examples=[0])] = 0.0
    offset: Annotated[int, Field(ge=0, le=_MAX_OFFSET), WHOLE, Field(description="Places of the list to leave out: k for the second page.",
                                                                     examples=[0])] = 0

    @property
    def restricts(self) -> bool:
        """Whether some items were asked for and others not."""
        return not self.model_fields_set.isdisjoint(_RESTRICTING)


_RESTRICTING = frozenset(Filters.model_fields) - {"offset", "max_per_artist", "diversity"}


class FilteredUserRequest(UserRequest, Filters):
    """A list for one user."""


class FilteredModeRequest(ModeRequest, FilteredUserRequest):
    """A list for one user, of new items, of the user's own, or of both."""


class FilteredDefaultRequest(DefaultRequest, Filters):
    """A list for nobody in particular."""

    user_id: Somebody = None


@dataclass(frozen=True)
class ItemsByName:
    """The items of each genre, or of each artist: hashes of names (uint64, ascending), and the places of the items of each.

    For names of many items, whose places would take long to go through, there is also one bit an item: `rows` says in which row of
    `bits` (uint8), -1 for the others.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    places: Int32
    rows: Int32
    bits: NDArray[np.uint8]

    def of(self, parameter: str, name: str) -> Int32:
        """The places of the items, ascending. Raises RequestValidationError for a name that no item has."""
        return self._places(self._at(parameter, name))

    def flags(self, parameter: str, names: Iterable[str], n: int) -> NDArray[np.bool_]:
        """Whether each of the n places has an item of one of these names; raises RequestValidationError for a name that no item has."""
        bits, rest = np.zeros(-(-n // 8), np.uint8), []
        for name in names:
            at = self._at(parameter, name)
            if self.rows[at] < 0:
                rest.append(self._places(at))
            else:
                bits |= self.bits[self.rows[at]]
        flags = np.unpackbits(bits, count=n).view(np.bool_)
        for places in rest:
            flags[places] = True
        return flags

    def _at(self, parameter: str, name: str) -> int:
        wanted = name_hash(name)
        at = int(self.hashes.searchsorted(wanted))
        if at < len(self.hashes) and self.hashes[at] == wanted:
            return at
        what = parameter.removeprefix("not_").removesuffix("s")
        raise refusal(parameter, f"{parameter}: no track of this run has the {what} {name[:50]!r}; /items/ID shows those of a track", name)

    def _places(self, at: int) -> Int32:
        return self.places[int(self.starts[at]):int(self.starts[at + 1])]


@dataclass(frozen=True)
class ItemColumns:
    """What items are filtered by. The place of an item is its place in the list of all items by popularity.

    item_ids: ascending, with the place of each in `places`. added_on: days since 1970 by place, NO_DAY of arrays where not known; empty
    where the run knows of none.
    """

    item_ids: Int32
    places: Int32
    genres: ItemsByName
    artists: ItemsByName
    added_on: Int32

    def places_of(self, item_ids: Int32) -> tuple[Int32, NDArray[np.bool_]]:
        """The place of each item, and whether the item is known; of an unknown one the place means nothing."""
        at = self.item_ids.searchsorted(item_ids)
        return self.places.take(at, mode="clip"), np.asarray(self.item_ids.take(at, mode="clip") == item_ids)

    def mask(self, asked: Filters, excluded: Iterable[int]) -> "ItemMask":
        """The items that pass `asked` and are not `excluded`. O(items), about a millisecond for a million.

        Raises RequestValidationError in one sentence for a genre or an artist that no item has, and for a bound on a day that no item has.
        """
        n = len(self.item_ids)
        passes = np.ones(n, np.bool_)
        for parameter, by_name in (("genres", self.genres), ("artists", self.artists)):
            if names := getattr(asked, parameter):
                passes &= by_name.flags(parameter, names, n)
            if names := getattr(asked, f"not_{parameter}"):
                np.greater(passes, by_name.flags(f"not_{parameter}", names, n), out=passes)
        if asked.added_since:
            if not len(self.added_on):
                raise refusal("added_since", "added_since cannot be used: this run does not say when tracks were added", asked.added_since)
            passes &= self.added_on >= asked.added_since.toordinal() - _EPOCH
        places, known = self.places_of(np.array([item for item in excluded if 0 <= item < 2**31], np.int32))
        passes[places[known]] = False
        return ItemMask(self, passes)

    def split(self, mask: "ItemMask | None", items: Int32, inside: bool) -> "ItemMask":
        """Of the items that pass `mask`, those among `items`, or the others."""
        places, known = self.places_of(items)
        passes = np.full(len(self.item_ids), not inside)
        passes[places[known]] = inside
        return ItemMask(self, passes if mask is None else passes & mask.passes)


@dataclass(frozen=True)
class ItemMask:
    """Which items pass, by place."""

    columns: ItemColumns
    passes: NDArray[np.bool_]

    def of(self, item_ids: Int32) -> NDArray[np.bool_]:
        """Whether each of these items passes; an unknown one does not."""
        places, known = self.columns.places_of(item_ids)
        return known & self.passes[places]

    def places(self) -> Iterator[NDArray[np.int64]]:
        """The places that pass, ascending, a few hundred at a time."""
        for start in range(0, len(self.passes), _SCANNED):
            found = np.flatnonzero(self.passes[start:start + _SCANNED]) + start
            for first in range(0, len(found), _AT_ONCE):
                yield found[first:first + _AT_ONCE]


def item_columns(folder: Path) -> ItemColumns:
    """The columns in the cache folder of the part `filters`."""
    found = arrays(folder)
    genres, artists = (ItemsByName(*(found[f"{name}_{part}"] for part in NAME_ARRAYS)) for name in ("genres", "artists"))
    return ItemColumns(found["item_id"], found["place"], genres, artists, found["added_on"])
