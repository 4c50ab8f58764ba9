"""The files of a run, required and optional, with their sizes, checksums and numbers of rows."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec import schema
from musicrec.errors import ArtifactError
from musicrec.keys import KEY_FILES
from musicrec.registry.record import File
from musicrec.schema import TableSchema

REQUIRED: dict[str, TableSchema] = {
    "items.parquet": schema.ITEMS,
    "events.parquet": schema.EVENTS,
    "genres.parquet": schema.GENRES,
    "top_popular.parquet": schema.TOP_POPULAR,
    "similar.parquet": schema.SIMILAR,
    "recommendations.parquet": schema.RECOMMENDATIONS,
}
OPTIONAL: dict[str, TableSchema | None] = {
    **dict.fromkeys(KEY_FILES.values(), schema.KEYS),
    "plays_by_month.parquet": schema.PLAYS_BY_MONTH,
    "familiar.parquet": schema.PERSONAL,
    "personal_als.parquet": schema.PERSONAL,
    "content_recommendations.parquet": schema.PERSONAL,
    "contributions.parquet": schema.CONTRIBUTIONS,
    "lists_by_model.parquet": schema.LISTS_BY_MODEL,
    "recommendations_ub.json": None,
    "als_model.npz": None,
    "cb_model.cbm": None,
}
# The folder of the saved recommender: published with all of its files or not at all.
RECOMMENDER = "recommender"


def run_files(folder: Path) -> dict[str, File]:
    """The files of `folder` that belong to the run, by name. Optional files older than items.parquet are of an earlier run and left out.

    Raises ArtifactError when a required file is missing or a file is damaged, SchemaError for a missing column.
    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(f"{folder} lacks {', '.join(missing)}; a run needs all required files.")
    schemas: dict[str, TableSchema | None] = {**REQUIRED, **OPTIONAL}
    start = (folder / "items.parquet").stat().st_mtime_ns
    names = [name for name in schemas if name in REQUIRED or ((folder / name).is_file() and (folder / name).stat().st_mtime_ns >= start)]
    names += _recommender(folder, start)
    return {name: _file(folder / name, schemas.get(name)) for name in names}


def _recommender(folder: Path, start: int) -> list[str]:
    description = folder / RECOMMENDER / f"{RECOMMENDER}.json"
    if not description.is_file() or description.stat().st_mtime_ns < start:
        return []
    return sorted(f"{RECOMMENDER}/{path.name}" for path in description.parent.iterdir())


def _file(path: Path, columns: TableSchema | None) -> File:
    rows = None
    if columns is not None:
        try:
            table = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as cause:
            raise ArtifactError(f"{path} is not a complete parquet file: {' '.join(str(cause).split())}.") from None
        with table:
            schema.check(table.schema_arrow, columns, str(path))
            rows = table.metadata.num_rows
    elif path.suffix == ".json" and path.parent.name != RECOMMENDER:
        with path.open("rb") as lines:
            rows = sum(1 for _ in lines)
    return File(path.stat().st_size, sha256(path), rows)


def sha256(path: Path) -> str:
    """The SHA-256 of the file as hexadecimal text. About a second per gigabyte."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
