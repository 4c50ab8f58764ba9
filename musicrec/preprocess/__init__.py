"""Raw tables in, the tables of the product out: items, events and genres, as Ibis expressions that any engine computes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import ibis
from ibis.expr.types import Table

from musicrec.errors import DataError
from musicrec.preprocess.refusals import orphans, readable, refuse_unusable
from musicrec.preprocess.tables import complete_tracks, events, genres, items
from musicrec.preprocess.writing import write

__all__ = ["Preprocessed", "preprocessed", "write"]


@dataclass(frozen=True)
class Preprocessed:
    """Ibis expressions, not yet computed, with the columns of ITEMS, EVENTS and GENRES, and what was left out on the way.

    events: in no order; `write` orders them. genres: most items first, ties by genre_id. item_ids: column track_id of the tracks that
    are kept. items_of: the items with ids from low to high, given the listeners (see streaming.Listeners) and the genres as tables,
    which `write` has by then. item_columns: the columns of tracks. report: one sentence for each thing left out.
    """

    events: Table
    genres: Table
    item_ids: Table
    items_of: Callable[[Table, Table, int, int], Table]
    item_columns: tuple[str, ...]
    report: tuple[str, ...] = ()


def preprocessed(tracks: Table, catalog_names: Table, interactions: Table, *, only_complete_tracks: bool = False, keep_every: int = 1,
             max_orphan_share: float = 0.01) -> Preprocessed:
    """Items, events and genres made of the three raw tables (columns of RAW_TRACKS, RAW_NAMES, RAW_INTERACTIONS).

    only_complete_tracks: keep tracks with a named title, album, artist and at least one genre, and their events.
    keep_every: keep the events at places 1, 1 + n, 1 + 2n, ... of each history (by track_seq).
    Events of tracks that `tracks` lacks are dropped and reported when their share is at most max_orphan_share.
    Nothing is computed but the checks: one pass over tracks and two over interactions.
    Raises DataError for empty tables, missing or negative ids, repeated track ids, dates outside 1677..2262, too many orphans,
    and files that turn out damaged.
    """
    with readable():
        refuse_unusable(tracks, interactions)
        lost, played = orphans(tracks, interactions)
    if lost > max_orphan_share * played:
        raise DataError(f"interactions: {lost:,} of {played:,} rows ({lost / played:.1%}) name a track_id that tracks lacks, more than "
                        f"max_orphan_share {max_orphan_share:g}; complete tracks or raise [data] max_orphan_share.")
    report = [f"{lost:,} plays of tracks that the catalog lacks were dropped."] if lost else []
    kept_tracks = tracks
    if only_complete_tracks:
        # Held as ids, so that the ranges of events that `write` asks for do not search for complete tracks again and again.
        ids = complete_tracks(tracks, catalog_names).select("track_id").to_pyarrow()
        kept_tracks = tracks.semi_join(ibis.memtable(ids), "track_id")
        report.append("Only tracks with a named title, album, artist and a genre are kept.")
    if lost or only_complete_tracks:
        interactions = interactions.semi_join(kept_tracks.select("track_id"), "track_id")
    if keep_every > 1:
        interactions = interactions.filter((interactions.track_seq - 1) % keep_every == 0)
        report.append(f"One play in {keep_every} of each history is kept.")
    return Preprocessed(events(interactions), genres(kept_tracks, catalog_names), kept_tracks.select("track_id"),
                    partial(items, kept_tracks, catalog_names), tuple(kept_tracks.columns), tuple(report))
