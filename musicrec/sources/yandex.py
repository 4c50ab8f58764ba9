"""Reader of the Yandex Music data: three parquet files tracks, catalog_names and interactions. Generated logs have the same form."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import ibis

from musicrec.schema import RAW_INTERACTIONS, RAW_NAMES, RAW_TRACKS
from musicrec.sources.parquet import check_not_empty, check_ranges, check_unique, opened
from musicrec.sources.raw import RawTables


@dataclass(frozen=True)
class Yandex:
    """Reads `folder`/`tracks`, `folder`/`catalog_names` and `folder`/`interactions`.

    Integers of any width, dates, timestamps of any unit, columns of empty lists and additional columns (such as a stored pandas index)
    are accepted; the tables have the types of the raw schemas.
    """

    folder: Path
    tracks: str = "tracks.parquet"
    catalog_names: str = "catalog_names.parquet"
    interactions: str = "interactions.parquet"
    # The cutoff that other work on this data uses: the test set is the last two weeks of the year.
    customary_cutoff: ClassVar[datetime] = datetime(2022, 12, 16)

    def read(self, connection: Any) -> RawTables:
        """The raw tables, bound to `connection`, with played_share where the file has it. Cost: one pass over ids and times.

        Raises SourceError for a file that is missing, not parquet or truncated, for empty tracks or interactions, for track ids in
        several rows, and for ids and times out of range; SchemaError for columns that are missing or have the wrong type.
        """
        tracks, names, interactions = (Path(self.folder) / name for name in (self.tracks, self.catalog_names, self.interactions))
        files = opened(tracks, RAW_TRACKS), opened(names, RAW_NAMES), opened(interactions, RAW_INTERACTIONS)
        check_not_empty(files[0], tracks)
        check_not_empty(files[2], interactions)
        check_ranges(files[0], tracks, ("track_id",))
        check_unique(files[0], tracks, "track_id")
        check_ranges(files[2], interactions, ("user_id", "track_id"), ("started_at",))
        return RawTables(_tracks(connection.read_parquet(tracks)), _names(connection.read_parquet(names)),
                         _interactions(connection.read_parquet(interactions)))


def _tracks(table: ibis.Table) -> ibis.Table:
    lists = {name: table[name].cast("array<int64>") for name in ("albums", "artists", "genres")}
    added = {"added_at": table.added_at.cast("timestamp(6)")} if "added_at" in table.columns else {}
    return table.select(track_id=table.track_id.cast("int32"), **lists, **added)


def _names(table: ibis.Table) -> ibis.Table:
    return table.select(id=table.id.cast("int64"), type=table.type.cast("string"), name=table.name.cast("string"))


def _interactions(table: ibis.Table) -> ibis.Table:
    columns = {name: table[name].cast("int32") for name in ("user_id", "track_id", "track_seq")}
    if "played_share" in table.columns:
        columns["played_share"] = table.played_share.cast("float32")
    return table.select(**columns, started_at=table.started_at.cast("timestamp(6)"))
