"""Checks of tracks and their names."""

import numpy as np

from musicrec.validation.catalog_facts import KINDS, NAMED
from musicrec.validation.logs import Finding, Logs


def repeated_track_ids(logs: Logs) -> list[Finding]:
    """Tracks with several rows."""
    ids, times = np.unique(logs.track_ids.drop_null().to_numpy(), return_counts=True)
    repeated = ids[times > 1]
    return _found("error", "track ids with several rows in tracks", len(repeated), logs.n_tracks, f"track {next(iter(repeated), '')}",
                  "Not accepted: keep one row per track.")


def ids_with_several_names(logs: Logs) -> list[Finding]:
    """Ids with several names of one type."""
    fact = logs.of_catalog["several names"]
    return _found("warning", "ids with several rows of one type in catalog_names", fact["n"], fact["total"], f"id {fact['example']}",
                  "The first name in alphabetical order is used.")


def ids_without_names(logs: Logs) -> list[Finding]:
    """Tracks, albums, artists and genres without a name in the catalog."""
    fact = logs.of_catalog["unnamed"]
    found = _found("warning", "tracks without a name", fact["n"], logs.n_tracks, f"track {fact['example']}", "Called unnamed_track_{id}.")
    actions = {"albums": "Left out of the list of names; the id stays.", "artists": "Left out of the list of names; the id stays.",
               "genres": "Called other_genre_{id}."}
    for column, action in actions.items():
        fact = logs.of_catalog[f"nameless {column}"]
        found += _found("warning", f"{KINDS[column]} ids without a name (share: tracks that have one)", fact["n"], logs.n_tracks,
                        f"{KINDS[column]} {fact['example']}", action, fact["total"])
    return found


def empty_lists(logs: Logs) -> list[Finding]:
    """Tracks without albums, artists or genres."""
    found = []
    for column in KINDS:
        fact = logs.of_catalog[f"without {column}"]
        found += _found("warning", f"tracks without {column}", fact["n"], logs.n_tracks, f"track {fact['example']}",
                        "Kept; [data] only_complete_tracks leaves them out.")
    return found


def names_spelled_none(logs: Logs) -> list[Finding]:
    """Names that are the text None, nan or null: a missing value converted to text, or a real title."""
    fact = logs.of_catalog["none"]
    return _found("note", "names that are the text None, nan or null", fact["n"], fact["total"], f"id {fact['example']}",
                  "Kept: such titles and artists exist.")


def names_of_several_ids(logs: Logs) -> list[Finding]:
    """Different ids of one type with the same name."""
    found = []
    for kind in NAMED:
        fact = logs.of_catalog[f"shared {kind}"]
        found += _found("note", f"{kind} ids that share their name with another", fact["n"], fact["total"],
                        f"{fact['text']!r}: {fact['example'] or 0:,} ids", "Kept apart: they are identified by id.")
    return found


def names_repeated_inside_lists(logs: Logs) -> list[Finding]:
    """Tracks whose list has the same album, artist or genre twice."""
    found = []
    for column in KINDS:
        fact = logs.of_catalog[f"repeated {column}"]
        found += _found("note", f"tracks whose {column} repeat a name", fact["n"], logs.n_tracks, f"track {fact['example']}",
                        "Repeats are removed; the order is kept.")
    return found


def ids_under_several_types(logs: Logs) -> list[Finding]:
    """The same number as an id of, say, a track and an album."""
    fact = logs.of_catalog["types"]
    return _found("note", "ids that occur under several types", fact["n"], fact["total"], f"id {fact['example']}",
                  "Names are looked up by type and id.")


def _found(severity: str, what: str, n: int | None, total: int | None, example: str, action: str,
           touched: int | None = None) -> list[Finding]:
    share = ((n if touched is None else touched) or 0) / max(total or 0, 1)
    return [Finding(severity, what, n, share, example, action)] if n else []
