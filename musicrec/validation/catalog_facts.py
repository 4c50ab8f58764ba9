"""What the checks of the catalog count, all in one query."""

from functools import reduce
from typing import Any

import ibis
from ibis.expr.types import Table, Value

KINDS = {"albums": "album", "artists": "artist", "genres": "genre"}
NAMED = ("track", *KINDS.values())


def catalog_facts(tracks: Table, catalog_names: Table) -> dict[str, dict[str, Any]]:
    """By fact: n, total, example and text; a number or text that a fact does not have, or that nothing has, is None.

    "several names": ids of a type with several rows, of all; "none": names that are the text None, nan or null, of all rows; "types": ids
    under several types, of all. "shared TYPE": ids that share their name with another of their type, of all; text is the name with most of
    them, and example their number. "unnamed": tracks without a name. For albums, artists and genres: "nameless COLUMN": ids without a name,
    total the tracks that have one; "without COLUMN": tracks without any; "repeated COLUMN": tracks that have a name twice.
    """
    facts = [*_of_names(catalog_names), *(_shared(catalog_names, kind) for kind in NAMED), _unnamed(tracks, catalog_names)]
    for column in KINDS:
        facts += _of_links(tracks, catalog_names, column)
    rows = reduce(lambda one, other: one.union(other), facts).to_pyarrow().to_pylist()
    return {row.pop("fact"): row for row in rows}


def _of_names(names: Table) -> list[Table]:
    by_type = names.group_by("type", "id").agg(times=names.count())
    by_id = names.group_by("id").agg(types=names.type.nunique())
    several, under, none = by_type.times > 1, by_id.types > 1, names.name.lower().isin(["none", "nan", "null"])
    return [_fact(by_type, "several names", n=several.sum(), total=by_type.count(), example=by_type.id.min(where=several)),
            _fact(names, "none", n=none.sum(), total=names.count(), example=names.id.min(where=none)),
            _fact(by_id, "types", n=under.sum(), total=by_id.count(), example=by_id.id.min(where=under))]


def _shared(names: Table, kind: str) -> Table:
    of_kind = names.filter(names.type == kind)
    by_name = of_kind.group_by("name").agg(ids=of_kind.id.nunique())
    by_name = by_name.mutate(most=by_name.ids.max().over(ibis.window()))
    shared = by_name.ids > 1
    return _fact(by_name, f"shared {kind}", n=by_name.ids.sum(where=shared), total=by_name.ids.sum(), example=by_name.ids.max(),
                 text=by_name.name.min(where=shared & (by_name.ids == by_name.most)))


def _unnamed(tracks: Table, names: Table) -> Table:
    titles = names.filter(names.type == "track", names.name.strip() != "")
    rows = tracks.anti_join(titles, tracks.track_id == titles.id)
    return _fact(rows, "unnamed", n=rows.count(), example=rows.track_id.min())


def _of_links(tracks: Table, names: Table, column: str) -> list[Table]:
    known = names.filter(names.type == KINDS[column], names.name.strip() != "")
    known = known.group_by("id").agg(name=known.name.min())
    links = tracks.select("track_id", id=tracks[column].cast("array<int64>")).unnest("id").left_join(known, "id")
    nameless = links.name.isnull()
    of_track = links.group_by("track_id").agg(ids=links.id.count(), named=links.name.count(), different=links.name.nunique())
    of_track = tracks.select("track_id").left_join(of_track, "track_id").select("track_id", "ids", "named", "different")
    empty, twice = of_track.ids.fill_null(0) == 0, of_track.named > of_track.different
    return [_fact(links, f"nameless {column}", n=links.id.nunique(where=nameless), total=links.track_id.nunique(where=nameless),
                  example=links.id.min(where=nameless)),
            _fact(of_track, f"without {column}", n=empty.sum(), example=of_track.track_id.min(where=empty)),
            _fact(of_track, f"repeated {column}", n=twice.sum(), example=of_track.track_id.min(where=twice))]


def _fact(table: Table, fact: str, **values: Value) -> Table:
    """One row (fact, n, total, example, text) of aggregates of `table`."""
    row = table.aggregate(**values)
    numbers = {name: row[name].cast("int64") if name in values else ibis.null("int64") for name in ("n", "total", "example")}
    return row.select(fact=ibis.literal(fact), **numbers, text=row.text if "text" in values else ibis.null("string"))
