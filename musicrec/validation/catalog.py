"""Checks of tracks and their names."""

from ibis.expr.types import Table

from musicrec.validation.logs import KINDS, Finding, Logs, frame


def repeated_track_ids(logs: Logs) -> list[Finding]:
    """Tracks with several rows."""
    counted = logs.tracks.group_by("track_id").agg(times=logs.tracks.count())
    repeated = counted.filter(counted.times > 1)
    n, example = _counted(repeated, "track_id")
    return _found("error", "track ids with several rows in tracks", n, logs.n_tracks, f"track {example}",
                  "Not accepted: keep one row per track.")


def ids_with_several_names(logs: Logs) -> list[Finding]:
    """Ids with several names of one type."""
    names = logs.catalog_names
    counted = names.group_by("type", "id").agg(times=names.count())
    total = int(counted.count().to_pyarrow().as_py())
    n, example = _counted(counted.filter(counted.times > 1), "id")
    return _found("warning", "ids with several rows of one type in catalog_names", n, total, f"id {example}",
                  "The first name in alphabetical order is used.")


def ids_without_names(logs: Logs) -> list[Finding]:
    """Tracks, albums, artists and genres without a name in the catalog."""
    titles = logs.catalog_names.filter(logs.catalog_names.type == "track", logs.catalog_names.name.strip() != "")
    nameless = logs.tracks.anti_join(titles, logs.tracks.track_id == titles.id)
    n, example = _counted(nameless, "track_id")
    found = _found("warning", "tracks without a name", n, logs.n_tracks, f"track {example}", "Called unnamed_track_{id}.")
    actions = {"albums": "Left out of the list of names; the id stays.", "artists": "Left out of the list of names; the id stays.",
               "genres": "Called other_genre_{id}."}
    for column, action in actions.items():
        rows = logs.links[column].filter(logs.links[column].name.isnull())
        touched = rows.aggregate(ids=rows.id.nunique(), tracks=rows.track_id.nunique(), example=rows.id.min())
        ids, tracks, example = frame(touched).iloc[0]
        found += _found("warning", f"{KINDS[column]} ids without a name (share: tracks that have one)", int(ids), logs.n_tracks,
                        f"{KINDS[column]} {example}", action, int(tracks))
    return found


def empty_lists(logs: Logs) -> list[Finding]:
    """Tracks without albums, artists or genres."""
    found = []
    for column in KINDS:
        full = logs.links[column]
        rows = logs.tracks.anti_join(full.filter(full.id.notnull()), "track_id")
        n, example = _counted(rows, "track_id")
        found += _found("warning", f"tracks without {column}", n, logs.n_tracks, f"track {example}",
                        "Kept; [data] only_complete_tracks leaves them out.")
    return found


def names_spelled_none(logs: Logs) -> list[Finding]:
    """Names that are the text None, nan or null: a missing value converted to text, or a real title."""
    names = logs.catalog_names
    rows = names.filter(names.name.lower().isin(["none", "nan", "null"]))
    n, example = _counted(rows, "id")
    return _found("note", "names that are the text None, nan or null", n, int(names.count().to_pyarrow().as_py()), f"id {example}",
                  "Kept: such titles and artists exist.")


def names_of_several_ids(logs: Logs) -> list[Finding]:
    """Different ids of one type with the same name."""
    found = []
    for kind in ("track", *KINDS.values()):
        names = logs.catalog_names.filter(logs.catalog_names.type == kind)
        counted = names.group_by("name").agg(ids=names.id.nunique())
        shared = counted.filter(counted.ids > 1)
        n = int(shared.ids.sum().to_pyarrow().as_py() or 0)
        total = int(counted.ids.sum().to_pyarrow().as_py() or 0)
        example = shared.order_by(shared.ids.desc(), "name").limit(1).to_pyarrow().to_pylist()
        text = f"{example[0]['name']!r}: {example[0]['ids']:,} ids" if example else ""
        found += _found("note", f"{kind} ids that share their name with another", n, total, text, "Kept apart: they are identified by id.")
    return found


def names_repeated_inside_lists(logs: Logs) -> list[Finding]:
    """Tracks whose list has the same album, artist or genre twice."""
    found = []
    for column in KINDS:
        rows = logs.links[column].filter(logs.links[column].name.notnull())
        counted = rows.group_by("track_id", "name").agg(times=rows.count())
        repeated = counted.filter(counted.times > 1).select("track_id").distinct()
        n, example = _counted(repeated, "track_id")
        found += _found("note", f"tracks whose {column} repeat a name", n, logs.n_tracks, f"track {example}",
                        "Repeats are removed; the order is kept.")
    return found


def ids_under_several_types(logs: Logs) -> list[Finding]:
    """The same number as an id of, say, a track and an album."""
    counted = logs.catalog_names.group_by("id").agg(types=logs.catalog_names.type.nunique())
    total = int(counted.count().to_pyarrow().as_py())
    n, example = _counted(counted.filter(counted.types > 1), "id")
    return _found("note", "ids that occur under several types", n, total, f"id {example}", "Names are looked up by type and id.")


def _counted(rows: Table, column: str) -> tuple[int, int]:
    row = rows.aggregate(n=rows.count(), example=rows[column].min()).to_pyarrow().to_pylist()[0]
    return int(row["n"]), int(row["example"] or 0)


def _found(severity: str, what: str, n: int, total: int, example: str, action: str, touched: int | None = None) -> list[Finding]:
    share = (n if touched is None else touched) / max(total, 1)
    return [Finding(severity, what, n, share, example, action)] if n else []
