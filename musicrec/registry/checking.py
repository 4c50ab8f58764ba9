"""What a run must hold, and size, checksum and rows of what it does hold."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from musicrec import schema
from musicrec.errors import ArtifactError
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
    "personal_als.parquet": schema.PERSONAL,
    "content_recommendations.parquet": schema.PERSONAL,
    "recommendations_ub.json": None,
    "als_model.npz": None,
    "cb_model.cbm": None,
}
# A folder of files, all of them or none.
RECOMMENDER = "recommender"


def described(folder: Path) -> dict[str, File]:
    """The files of `folder` that a run holds; an optional one older than items.parquet is left from an earlier run and left out.

    Raises ArtifactError when a file is missing or cut off, SchemaError for a missing column.
    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(f"{folder} lacks {', '.join(missing)}; a run is published whole or not at all.")
    schemas: dict[str, TableSchema | None] = {**REQUIRED, **OPTIONAL}
    begun = (folder / "items.parquet").stat().st_mtime_ns
    fresh = [name for name in schemas if name in REQUIRED or ((folder / name).is_file() and (folder / name).stat().st_mtime_ns >= begun)]
    fresh += _recommender(folder, begun)
    return {name: _file(folder / name, schemas.get(name)) for name in fresh}


def _recommender(folder: Path, begun: int) -> list[str]:
    described = folder / RECOMMENDER / f"{RECOMMENDER}.json"
    if not described.is_file() or described.stat().st_mtime_ns < begun:
        return []
    return sorted(f"{RECOMMENDER}/{path.name}" for path in described.parent.iterdir())


def _file(path: Path, columns: TableSchema | None) -> File:
    rows = None
    if columns is not None:
        try:
            table = pq.ParquetFile(path)
        except (pa.ArrowInvalid, OSError) as cause:
            raise ArtifactError(f"{path} is not a whole parquet file: {' '.join(str(cause).split())}.") from None
        with table:
            schema.check(table.schema_arrow, columns, str(path))
            rows = table.metadata.num_rows
    elif path.suffix == ".json" and path.parent.name != RECOMMENDER:
        with path.open("rb") as lines:
            rows = sum(1 for _ in lines)
    return File(path.stat().st_size, sha256(path), rows)


def sha256(path: Path) -> str:
    """SHA-256 of the file, hex. About a second a gigabyte."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
