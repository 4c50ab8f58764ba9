"""Reader of the Yandex Music data: three parquet files tracks, catalog_names and interactions. Generated logs have the same form."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import ibis

from musicrec.schema import RAW_INTERACTIONS, RAW_NAMES, RAW_TRACKS
from musicrec.sources.account import Account
from musicrec.sources.further import with_further_plays, without_users
from musicrec.sources.parquet import check_not_empty, check_ranges, check_unique, opened
from musicrec.sources.raw import FIRST_IMPORT, Earlier, Example, RawTables


@dataclass(frozen=True)
class Yandex:
    """Reads `folder`/`tracks`, `folder`/`catalog_names` and `folder`/`interactions`.

    Each may be a file or a folder of files as Spark writes it. Integers of any width, categories, dates, timestamps of any unit, columns of
    empty lists and additional columns (such as a stored pandas index) are accepted; the tables have the types of the raw schemas. Without
    track_seq plays are ordered by time.
    """

    folder: Path
    tracks: str = "tracks.parquet"
    catalog_names: str = "catalog_names.parquet"
    interactions: str = "interactions.parquet"
    example: ClassVar[Example] = {
        "tracks.parquet": [{"track_id": 26, "albums": [3], "artists": [16], "genres": [11, 20]}],
        "catalog_names.parquet": [{"id": 26, "type": "track", "name": "Morning"}, {"id": 16, "type": "artist", "name": "The Larks"}],
        "interactions.parquet": [{"user_id": 0, "track_id": 26, "track_seq": 1, "started_at": datetime(2022, 7, 17)},
                                 {"user_id": 1, "track_id": 26, "track_seq": 1, "started_at": datetime(2022, 7, 22)}],
    }
    # The cutoff that other work on this data uses: the test set is the last two weeks of the year.
    customary_cutoff: ClassVar[datetime] = datetime(2022, 12, 16)

    def read(self, connection: Any, earlier: Earlier = FIRST_IMPORT) -> RawTables:
        """The raw tables, bound to `connection`, with played_share and feedback where the file has them. Cost: one pass over ids and times.

        Raises SourceError for a file that is missing, not parquet or truncated, for empty tracks or interactions, for track ids in
        several rows, and for ids and times out of range; SchemaError for columns that are missing or have the wrong type.
        """
        paths = (Path(self.folder) / name for name in (self.tracks, self.catalog_names, self.interactions))
        tracks, names, interactions = map(opened, paths, (RAW_TRACKS, RAW_NAMES, RAW_INTERACTIONS))
        for table in (tracks, interactions):
            check_not_empty(table)
        check_ranges(tracks, ("track_id",))
        check_unique(tracks, "track_id")
        check_ranges(interactions, ("user_id", "track_id"), ("started_at",))
        raw = without_users(RawTables(_tracks(connection.read_parquet(tracks.readable)), _names(connection.read_parquet(names.readable)),
                        _interactions(connection.read_parquet(interactions.readable)), Account([interactions.count()])), earlier.excluded)
        if earlier.further_plays is None:
            return raw
        return without_users(with_further_plays(raw, earlier.further_plays, connection), earlier.excluded)


def _tracks(table: ibis.Table) -> ibis.Table:
    lists = {name: table[name].cast("array<int64>") for name in ("albums", "artists", "genres")}
    added = {"added_at": table.added_at.cast("timestamp(6)")} if "added_at" in table.columns else {}
    return table.select(track_id=table.track_id.cast("int32"), **lists, **added)


def _names(table: ibis.Table) -> ibis.Table:
    return table.select(id=table.id.cast("int64"), type=table.type.cast("string"), name=table.name.cast("string"))


def _interactions(table: ibis.Table) -> ibis.Table:
    columns = {name: table[name].cast("int32") for name in ("user_id", "track_id")}
    order = ibis.row_number().over(group_by=table.user_id, order_by=(table.started_at, table.track_id)) + 1
    columns["track_seq"] = (table.track_seq if "track_seq" in table.columns else order).cast("int32")
    columns["started_at"] = table.started_at.cast("timestamp(6)")
    optional = {"played_share": "float32", "feedback": "string", "was_recommended": "int8"}
    return table.select(**columns, **{name: table[name].cast(kind) for name, kind in optional.items() if name in table.columns})
