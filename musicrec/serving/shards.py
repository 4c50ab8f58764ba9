"""Shards: one run answered by several recommendations services, each with the lists and plays of its own users.

The key of a user says the shard, so that a client or a proxy knows where to ask without a table, also for a user whom no run knows.
"""

from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec.keys import KEY_FILES, read_keys
from musicrec.serving.keys import Key

# The parts of a run that hold rows of users, and the artifact in which these lie.
SHARDED = {"recommendations": "recommendations.parquet", "familiar": "familiar.parquet", "seen": "events.parquet"}
USER_KEYS = KEY_FILES["user"]
_MARK = "@"
_ROWS = 1_000_000


class Shard(NamedTuple):
    """One of `of` shards, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def holds(self, user: Key) -> bool:
        """Whether the user with this key belongs to it.

        >>> [number for number in (1, 2, 3, 4) if Shard(number, 4).holds("alice")]
        [4]
        """
        return shard_of(user, self.of) == self.number

    def parts(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """The names of these parts, in which those with rows of users name the shard, too."""
        return tuple(f"{part}{_MARK}{self.number}of{self.of}" if part in SHARDED else part for part in parts)


def shard_of(user: Key, shards: int) -> int:
    """The number of the shard to which the user with this key belongs, from 1."""
    return crc32(str(user).encode()) % shards + 1


def plain(part: str) -> str:
    """The name of a part without that of a shard."""
    return part.partition(_MARK)[0]


def shard_in(part: str) -> Shard | None:
    """The shard that the name of a part holds; None for a whole part."""
    shard = part.partition(_MARK)[2]
    return Shard(*map(int, shard.split("of"))) if shard else None


def write_rows(shard: Shard, rows: pq.ParquetFile, keys: Path, path: Path) -> None:
    """Write those `rows` to the parquet file `path` whose user_id belongs to the shard. keys: the file of the keys of users; without one,
    ids are keys."""
    own = None
    if keys.is_file():
        table = read_keys(keys)
        own = np.sort(table.ids[np.fromiter(map(shard.holds, table.keys.to_pylist()), np.bool_, len(table))])
    with pq.ParquetWriter(path, rows.schema_arrow) as writer:
        for batch in rows.iter_batches(_ROWS):
            users, at = np.unique(batch.column("user_id").to_numpy(), return_inverse=True)
            held = np.isin(users, own) if own is not None else np.fromiter(map(shard.holds, users.tolist()), np.bool_, len(users))
            writer.write_batch(batch.filter(pa.array(held[at])))
