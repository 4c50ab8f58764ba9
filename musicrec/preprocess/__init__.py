"""The tables items, events and genres, made of the raw tables as Ibis expressions for any engine."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import ibis
from ibis.expr.types import Table

from musicrec.errors import DataError
from musicrec.preprocess.checks import check_raw_tables, orphans, readable
from musicrec.preprocess.tables import complete_tracks, events, genres, items
from musicrec.preprocess.writing import write

__all__ = ["Preprocessed", "preprocessed", "write"]


@dataclass(frozen=True)
class Preprocessed:
    """Ibis expressions, not yet computed, with the columns of ITEMS, EVENTS and GENRES.

    events: in no order; `write` orders them. genres: most items first, ties by genre_id. item_ids: column track_id of the kept tracks.
    items_of: a function of a table of listeners (see streaming.ListenerCounts), the genres, and the lowest and highest id, which returns
    these items. item_columns: the columns of tracks. report: one sentence about each kind of rows left out.
    """

    events: Table
    genres: Table
    item_ids: Table
    items_of: Callable[[Table, Table, int, int], Table]
    item_columns: tuple[str, ...]
    report: tuple[str, ...] = ()


def preprocessed(tracks: Table, catalog_names: Table, interactions: Table, *, only_complete_tracks: bool = False, keep_every: int = 1,
             max_orphan_share: float = 0.01) -> Preprocessed:
    """Items, events and genres of the three raw tables (columns of RAW_TRACKS, RAW_NAMES, RAW_INTERACTIONS).

    only_complete_tracks: keep only tracks with a title, a named album, a named artist and a genre, and their events.
    keep_every: keep every n-th event of each user, the 1st, the (1 + n)-th and so on by track_seq.
    max_orphan_share: events of tracks that are not in `tracks` are dropped and reported, up to this share.
    Only the checks are computed: one pass over tracks and two over interactions.
    Raises DataError for empty tables, missing or negative ids, repeated track ids, times outside 1677..2262, more orphans than
    max_orphan_share, and damaged files.
    """
    with readable():
        check_raw_tables(tracks, interactions)
        n_orphans, n_plays = orphans(tracks, interactions)
    if n_orphans > max_orphan_share * n_plays:
        raise DataError(f"interactions: {n_orphans:,} of {n_plays:,} rows ({n_orphans / n_plays:.1%}) have a track_id that is not in "
                        f"tracks, more than max_orphan_share {max_orphan_share:g}; complete tracks or raise [data] max_orphan_share.")
    report = [f"{n_orphans:,} plays of tracks that are not in the catalog were dropped."] if n_orphans else []
    kept_tracks = tracks
    if only_complete_tracks:
        # Computed once, not again for each range of events that `write` reads.
        ids = complete_tracks(tracks, catalog_names).select("track_id").to_pyarrow()
        kept_tracks = tracks.semi_join(ibis.memtable(ids), "track_id")
        report.append("Only tracks with a title, a named album, a named artist and a genre are kept.")
    if n_orphans or only_complete_tracks:
        interactions = interactions.semi_join(kept_tracks.select("track_id"), "track_id")
    if keep_every > 1:
        interactions = interactions.filter((interactions.track_seq - 1) % keep_every == 0)
        report.append(f"One in {keep_every} plays of each user is kept.")
    return Preprocessed(events(interactions), genres(kept_tracks, catalog_names), kept_tracks.select("track_id"),
                    partial(items, kept_tracks, catalog_names), tuple(kept_tracks.columns), tuple(report))
