"""The tables that musicrec reads and writes: their columns, types and meanings.

>>> EVENTS.names
('user_id', 'item_id', 'track_seq', 'started_at', 'listened', 'played_share', 'feedback', 'was_recommended', 'num_users_norm')
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.types as pt

from musicrec.errors import SchemaError

# Ids are int32; times must fit a timestamp in nanoseconds, which has the smallest range of the types in use.
LARGEST_ID = 2**31 - 1
EARLIEST, LATEST = datetime(1677, 9, 22), datetime(2262, 4, 11)
_FAMILIES: dict[str, Callable[[pa.DataType], bool]] = {
    "integers": pt.is_integer,
    "numbers": lambda t: pt.is_floating(t) or pt.is_integer(t),
    "text": lambda t: pt.is_string(t) or pt.is_large_string(t) or pt.is_string_view(t),
    "timestamps": lambda t: pt.is_timestamp(t) or pt.is_date(t),
    "lists of integers": lambda t: _is_list_of(t, pt.is_integer),
    "lists of text": lambda t: _is_list_of(t, _FAMILIES["text"]),
}


def _is_list_of(kind: pa.DataType, inner: Callable[[pa.DataType], bool]) -> bool:
    # A column whose lists are all empty is stored as list<null> by most writers.
    return (pt.is_list(kind) or pt.is_large_list(kind)) and (inner(kind.value_type) or pt.is_null(kind.value_type))


def _family(kind: pa.DataType) -> str:
    return next(name for name, belongs in _FAMILIES.items() if belongs(kind))


@dataclass(frozen=True)
class Column:
    """One column: its name, the Arrow type with which it is written, its meaning, and whether it may be missing."""

    name: str
    type: pa.DataType
    meaning: str
    optional: bool = False


@dataclass(frozen=True)
class TableSchema:
    """The columns of one table, in the order in which they are written."""

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of all columns."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    @property
    def required(self) -> pa.Schema:
        """The Arrow schema without the optional columns."""
        return pa.schema([(column.name, column.type) for column in self.columns if not column.optional])


def check(table: pa.Table | pa.Schema, schema: TableSchema, name: str) -> None:
    """Raise SchemaError when `table` (a table or its Arrow schema) lacks a column of `schema` or has it with a type of another family.

    Widths are not compared: int16 is accepted for int32, and list<null> for lists. Additional columns are allowed.
    name: what the message calls the table, usually its file. The message names the table, the column and what was found.

    >>> check(pa.schema([("rank", pa.int32())]), TableSchema("top", (Column("rank", pa.int32(), "1 is best"),)), "top.parquet")
    """
    found: pa.Schema = table.schema if isinstance(table, pa.Table) else table
    for column in schema.columns:
        if column.name not in found.names:
            if column.optional:
                continue
            raise SchemaError(f"{name} has no column {column.name!r} ({column.meaning}); it has {', '.join(found.names) or 'none'}.")
        kind, family = found.field(column.name).type, _family(column.type)
        # What pandas calls a category.
        kind = kind.value_type if pt.is_dictionary(kind) else kind
        if not _FAMILIES[family](kind):
            raise SchemaError(f"{name}: column {column.name!r} holds {kind}, expected {family} such as {column.type}.")


_I32, _F32, _TEXT, _DAY = pa.int32(), pa.float32(), pa.string(), pa.timestamp("us")
_IDS, _NAMES = pa.list_(pa.int32()), pa.list_(pa.string())

RAW_TRACKS = TableSchema("tracks", (
    Column("track_id", pa.int64(), "identity of the track"),
    Column("albums", pa.list_(pa.int64()), "ids of its albums"),
    Column("artists", pa.list_(pa.int64()), "ids of its artists"),
    Column("genres", pa.list_(pa.int64()), "ids of its genres"),
    Column("added_at", _DAY, "when the track was added to the catalog, UTC", optional=True),
))
RAW_NAMES = TableSchema("catalog_names", (
    Column("id", pa.int64(), "identity within its type; the same number occurs under several types"),
    Column("type", _TEXT, "track, album, artist or genre"),
    Column("name", _TEXT, "name or title"),
))
RAW_INTERACTIONS = TableSchema("interactions", (
    Column("user_id", _I32, "identity of the user"),
    Column("track_id", _I32, "identity of the track"),
    Column("track_seq", pa.int16(), "position of the play among the user's plays, from 1; else they are ordered by time", optional=True),
    Column("started_at", _DAY, "when the play began"),
    Column("played_share", _F32, "share of the track that was played, 0..1", optional=True),
    Column("feedback", _TEXT, "play, skip, like or dislike", optional=True),
    Column("was_recommended", pa.int8(), "1 where feedback names the answer that brought the play; present where some does", optional=True),
))
KEYS = TableSchema("keys", (
    Column("key", _TEXT, "the user or track as the owner of the logs writes it"),
    Column("id", _I32, "the id that stands for it in all other tables and never changes its meaning"),
))
ITEMS = TableSchema("items", (
    Column("item_id", _I32, "identity of the track"),
    Column("name", _TEXT, "title"),
    Column("albums", _NAMES, "names of its albums, repeats removed"),
    Column("artists", _NAMES, "names of its artists, repeats removed"),
    Column("genres", _NAMES, "names of its genres, repeats removed; other_genre_{id} where the catalog has none"),
    Column("num_users", _I32, "users who played it, over the whole log; not a feature, because it includes the test set"),
    Column("num_users_norm", _F32, "num_users scaled to 0..1"),
    Column("num_albums", _I32, "number of albums that hold the track"),
    Column("genre_score_mean", _F32, "mean score of its genres (share of genre mentions in the catalog)"),
    Column("album_ids", _IDS, "ids behind albums, repeats removed"),
    Column("artist_ids", _IDS, "ids behind artists, repeats removed"),
    Column("genre_ids", _IDS, "ids behind genres, repeats removed"),
    Column("added_at", _DAY, "when the track came into the catalog, UTC; empty where that is not known", optional=True),
))
EVENTS = TableSchema("events", (
    Column("user_id", _I32, "identity of the user"),
    Column("item_id", _I32, "identity of the track"),
    Column("track_seq", _I32, "place in the listener's history, from 1"),
    Column("started_at", _DAY, "when the listening began, UTC"),
    Column("listened", pa.int8(), "1: the flag that the metrics count"),
    Column("played_share", _F32, "share of the track that was played, 0..1; present where the source has listening time", optional=True),
    Column("feedback", _TEXT, "play, skip, like or dislike; present where the source has it", optional=True),
    Column("was_recommended", pa.int8(), "1 where feedback names the answer that brought the play; present where some does", optional=True),
    Column("num_users_norm", _F32, "num_users_norm of the track; present with [data] extended_columns", optional=True),
))
GENRES = TableSchema("genres", (
    Column("genre_id", _I32, "identity of the genre"),
    Column("name", _TEXT, "name, or other_genre_{id}"),
    Column("items_count", _I32, "tracks of the genre"),
    Column("score", _F32, "items_count as a share of all genre mentions"),
))
PLAYS_BY_MONTH = TableSchema("plays_by_month", (
    Column("item_id", _I32, "identity of the track, ascending"),
    Column("month", _DAY, "the first day of the month, UTC, ascending within item_id"),
    Column("plays", _I32, "plays of the track that began in this month"),
))
TOP_POPULAR = TableSchema("top_popular", (
    Column("rank", _I32, "1 is the most popular"),
    Column("item_id", _I32, "identity of the track"),
    Column("users", _I32, "users who played it, as counted by the model of the list"),
    Column("score", _F32, "score by which the list is sorted"),
    Column("name", _TEXT, "title"),
    Column("genres", _NAMES, "names of its genres"),
    Column("artists", _NAMES, "names of its artists"),
    Column("albums", _NAMES, "names of its albums"),
    Column("users_top", _I32, "the same as users; present, like the next two, with [data] extended_columns", optional=True),
    Column("users_top_norm", _F32, "users as a share of the largest of the list", optional=True),
    Column("num_users_norm", _F32, "num_users_norm of the track, over the whole log", optional=True),
))
PERSONAL = TableSchema("personal", (
    Column("user_id", _I32, "identity of the user, ascending"),
    Column("item_id", _I32, "identity of the track"),
    Column("score", _F32, "score by the model, descending within a user"),
    Column("rank", _I32, "1 is best"),
))
RECOMMENDATIONS = TableSchema("recommendations", PERSONAL.columns)
CONTRIBUTIONS = TableSchema("contributions", (
    Column("user_id", _I32, "identity of the user, ascending"),
    Column("item_id", _I32, "identity of the track"),
    Column("rank", _I32, "place of the track in recommendations.parquet"),
    Column("part", _TEXT, "a model, agreement (of models), or a feature group"),
    Column("value", _F32, "what it adds to the score of the ranker, in log-odds; those of largest size alone, the largest first"),
))
LISTS_BY_MODEL = TableSchema("lists_by_model", (
    Column("user_id", _I32, "identity of the user, ascending"),
    Column("model", _TEXT, "the model that recommends the track"),
    Column("rank", _I32, "1 is best"),
    Column("item_id", _I32, "identity of the track"),
))
SIMILAR = TableSchema("similar", (
    Column("item_id_1", _I32, "identity of the track, ascending"),
    Column("item_id_2", _I32, "identity of a similar track, never the same"),
    Column("score", _F32, "similarity 0..1, descending within item_id_1"),
    Column("source", _TEXT, "what tells of it: als (factors of the items), co-listening or content", optional=True),
))
