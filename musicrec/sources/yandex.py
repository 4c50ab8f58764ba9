"""The three parquet files of the exercise: tracks, catalog_names, interactions. Generated data has the same form."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import ibis

from musicrec.schema import RAW_INTERACTIONS, RAW_NAMES, RAW_TRACKS
from musicrec.sources.parquet import opened, refuse_bad_values, refuse_empty, refuse_repeats
from musicrec.sources.raw import RawTables


@dataclass(frozen=True)
class Yandex:
    """Reads `folder`/`tracks`, `folder`/`catalog_names` and `folder`/`interactions`.

    Wider or narrower whole numbers, dates, timestamps of any unit, lists without any element and further columns (such as a
    stored pandas index) are taken as they come; what leaves has the types of the raw schemas.
    """

    folder: Path
    tracks: str = "tracks.parquet"
    catalog_names: str = "catalog_names.parquet"
    interactions: str = "interactions.parquet"
    # Where others who use this data cut it; the last two weeks of its year are the test set.
    customary_cutoff: ClassVar[datetime] = datetime(2022, 12, 16)

    def read(self, connection: Any) -> RawTables:
        """The three tables, bound to `connection`; played_share is there when the file has it.

        Refuses with one sentence: SourceError for a file that is missing, not parquet, cut off or (tracks, interactions) empty, for
        track ids in several rows, ids below 0 or above int32, moments outside a timestamp; SchemaError for missing or
        wrongly typed columns. Cost: one pass over ids and moments.
        """
        tracks, names, interactions = (Path(self.folder) / name for name in (self.tracks, self.catalog_names, self.interactions))
        files = opened(tracks, RAW_TRACKS), opened(names, RAW_NAMES), opened(interactions, RAW_INTERACTIONS)
        refuse_empty(files[0], tracks)
        refuse_empty(files[2], interactions)
        refuse_bad_values(files[0], tracks, ("track_id",))
        refuse_repeats(files[0], tracks, "track_id")
        refuse_bad_values(files[2], interactions, ("user_id", "track_id"), ("started_at",))
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
