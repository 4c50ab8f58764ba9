"""Small raw logs without irregularities, in the form of the Yandex Music files; tests change one thing at a time."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = dict[str, list[dict[str, Any]]]
SCHEMAS = {
    "tracks": pa.schema([("track_id", pa.int64()), *((name, pa.list_(pa.int64())) for name in ("albums", "artists", "genres"))]),
    "catalog_names": pa.schema([("id", pa.int64()), ("type", pa.string()), ("name", pa.string())]),
    "interactions": pa.schema([("user_id", pa.int32()), ("track_id", pa.int32()), ("track_seq", pa.int16()),
                               ("started_at", pa.timestamp("us")), ("played_share", pa.float32())]),
}


def raw_rows(n_users: int = 12, n_tracks: int = 10) -> Rows:
    """Every user plays every second track once, in an order that is not that of the ids; everything has a name of its own."""
    tracks = [{"track_id": 100 + t, "albums": [1000 + t], "artists": [2000 + t], "genres": [3000 + t % 3]} for t in range(n_tracks)]
    names = [{"id": track["track_id"], "type": "track", "name": f"title {track['track_id']}"} for track in tracks]
    for kind in ("album", "artist", "genre"):
        ids = sorted({ident for track in tracks for ident in track[f"{kind}s"]})
        names += [{"id": ident, "type": kind, "name": f"{kind} {ident}"} for ident in ids]
    plays = []
    for user in range(1, n_users + 1):
        mine = [100 + (7 * place + user) % n_tracks for place in range(n_tracks // 2)]
        for seq, track in enumerate(mine, 1):
            moment = datetime(2022, 1, 1, 8) + timedelta(days=30 * seq + user, minutes=user)
            plays.append({"user_id": user, "track_id": track, "track_seq": seq, "started_at": moment, "played_share": 0.5})
    return {"tracks": tracks, "catalog_names": names, "interactions": plays}


def raw_tables(rows: Rows, connection: Any, folder: Path, leave_out: tuple[str, ...] = ("played_share",)) -> list[Any]:
    """tracks, catalog_names and interactions as tables of `connection`, read from parquet files in `folder`."""
    tables = []
    for name, schema in SCHEMAS.items():
        table = pa.Table.from_pylist(rows[name], schema=schema)
        pq.write_table(table.drop_columns([column for column in leave_out if column in schema.names]), folder / f"{name}.parquet")
        tables.append(connection.read_parquet(folder / f"{name}.parquet"))
    return tables
