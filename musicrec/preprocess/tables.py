"""The tables as Ibis expressions. Lists are unnested, joined with names and collected again, which every engine supports."""

import ibis
from ibis.expr.types import Table

from musicrec.schema import EVENTS, GENRES, ITEMS

EVENT_ORDER = ("user_id", "started_at", "track_seq", "item_id")
KINDS = {"albums": "album", "artists": "artist", "genres": "genre"}


def links(tracks: Table, column: str) -> Table:
    """Rows (track_id, id, place): the ids in the list `column` of each track without repeats, and the place of their first mention."""
    flat = tracks.select("track_id", id=tracks[column].cast("array<int64>")).unnest("id", offset="place")
    flat = flat.filter(flat.id.notnull())
    return flat.group_by("track_id", "id").agg(place=flat.place.min())


def names(catalog_names: Table, kind: str) -> Table:
    """Rows (id, name) of one type, without blank names; of several names of an id the first in alphabetical order."""
    rows = catalog_names.filter(catalog_names.type == kind, catalog_names.name.strip() != "")
    return rows.group_by("id").agg(name=rows.name.min())


def named_links(tracks: Table, catalog_names: Table, column: str) -> Table:
    """Rows (track_id, id, place, name); a genre without a name becomes other_genre_{id}, other ids without a name have null."""
    rows = links(tracks, column).left_join(names(catalog_names, KINDS[column]), "id")
    rows = rows.select("track_id", "id", "place", "name")
    if column == "genres":
        rows = rows.mutate(name=ibis.coalesce(rows.name, ibis.literal("other_genre_") + rows.id.cast("string")))
    return rows


def complete_tracks(tracks: Table, catalog_names: Table) -> Table:
    """The tracks that have a title and at least one named album, one named artist and one genre."""
    kept = tracks.semi_join(_titles(catalog_names), "track_id")
    for column in KINDS:
        rows = named_links(tracks, catalog_names, column)
        kept = kept.semi_join(rows.filter(rows.name.notnull()), "track_id")
    return kept


def genres(tracks: Table, catalog_names: Table) -> Table:
    """Columns of GENRES for every genre of a track."""
    rows = named_links(tracks, catalog_names, "genres")
    counted = rows.group_by(genre_id=rows.id).agg(name=rows.name.min(), items_count=rows.count())
    counted = counted.mutate(score=counted.items_count / counted.items_count.sum().over(ibis.window()))
    return _typed(counted, GENRES.names).order_by(ibis.desc("items_count"), "genre_id")


def events(interactions: Table) -> Table:
    """Columns of EVENTS, one row per play, in no order; EVENT_ORDER is the order in which they are written."""
    rows = interactions.mutate(item_id=interactions.track_id, listened=ibis.literal(1, "int32"))
    columns = [name for name in EVENTS.names if name in rows.columns]
    return _typed(rows, columns)


def plays_by_month(events: Table) -> Table:
    """Columns of PLAYS_BY_MONTH for every item and month with plays, by item and month."""
    counted = events.group_by("item_id", month=events.started_at.truncate("M")).agg(plays=events.count())
    return counted.order_by("item_id", "month")


def items(tracks: Table, catalog_names: Table, listeners: Table, by_genre: Table, low: int, high: int) -> Table:
    """Columns of ITEMS for the tracks with ids from low to high, ascending.

    A track without a name becomes unnamed_track_{id}; a list without names is empty. listeners: rows (track_id, num_users,
    num_users_norm). by_genre: columns of GENRES. Lists are collected in memory, so many tracks should be computed in several ranges.
    """
    tracks = tracks.filter(tracks.track_id.between(low, high))
    rows = tracks.select("track_id").left_join(_titles(catalog_names), "track_id").select("track_id", "name")
    for column, kind in KINDS.items():
        found = named_links(tracks, catalog_names, column)
        rows = _joined(rows, _listed(found, "name", column), _EMPTY_NAMES)
        rows = _joined(rows, _listed(found, "id", f"{kind}_ids"), _EMPTY_IDS)
    rows = rows.inner_join(listeners, "track_id").select(*rows.columns, "num_users", "num_users_norm")
    rows = _joined(rows, _genre_scores(tracks, by_genre), {"genre_score_mean": 0.0})
    rows = rows.mutate(item_id=rows.track_id, num_albums=rows.album_ids.length(),
                       name=ibis.coalesce(rows.name, ibis.literal("unnamed_track_") + rows.track_id.cast("string")))
    if "added_at" in tracks.columns:
        rows = rows.inner_join(tracks.select("track_id", "added_at"), "track_id").select(*rows.columns, "added_at")
    return _typed(rows, [name for name in ITEMS.names if name in rows.columns]).order_by("item_id")


_EMPTY_NAMES = {column: ibis.literal([], "array<string>") for column in KINDS}
_EMPTY_IDS = {f"{kind}_ids": ibis.literal([], "array<int64>") for kind in KINDS.values()}


def _titles(catalog_names: Table) -> Table:
    return names(catalog_names, "track").rename(track_id="id")


def _joined(left: Table, right: Table, empty: dict[str, object]) -> Table:
    column = next(name for name in right.columns if name != "track_id")
    both = left.left_join(right, "track_id").select(*left.columns, column)
    return both.mutate(**{column: ibis.coalesce(both[column], empty[column])})


def _listed(found: Table, value: str, column: str) -> Table:
    once = found.filter(found[value].notnull())
    once = once.group_by("track_id", value).agg(place=once.place.min())
    # Structs are collected and then sorted because not every engine can collect in a given order.
    pairs = ibis.struct({"place": once.place, "value": once[value]}).collect().sort()
    return once.group_by("track_id").agg(**{column: pairs.map(lambda pair: pair.value)})


def _genre_scores(tracks: Table, by_genre: Table) -> Table:
    rows = links(tracks, "genres").inner_join(by_genre, [("id", "genre_id")])
    return rows.group_by("track_id").agg(genre_score_mean=rows.score.mean())


_TYPES = {"int8": "int8", "int32": "int32", "float": "float32", "string": "string", "timestamp[us]": "timestamp(6)",
          "list<item: int32>": "array<int32>", "list<item: string>": "array<string>"}


def _typed(rows: Table, columns: tuple[str, ...] | list[str]) -> Table:
    kinds = {c.name: _TYPES[str(c.type)] for table in (ITEMS, EVENTS, GENRES) for c in table.columns}
    return rows.select(**{name: rows[name].cast(kinds[name]) for name in columns})
