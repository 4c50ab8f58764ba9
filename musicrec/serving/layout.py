"""The layout of a run on the disk of a service: published parquet files as sorted .npy arrays, one folder a part.

Written in a stream, so that memory stays small. To add a part: name its artifacts in cache.PARTS, and its function here in WRITERS.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib import format as npy
from numpy.typing import NDArray

from musicrec import schema
from musicrec.errors import ArtifactError
from musicrec.files import parquet_in_parts
from musicrec.keys import read_keys
from musicrec.progress import progress
from musicrec.serving import shards
from musicrec.serving.arrays import NAME_ARRAYS, NO_DAY, SEPARATOR
from musicrec.serving.keys import IDS, NUMBERS, TEXT, hash_of, name_hash

_ROWS = 4_000_000
_HEADER = 128
# Genres and artists of more than this share of the items get one bit an item; there are few of them.
_MANY = 1 / 64


class GrowingArray:
    """A one-dimensional .npy file that is written piece by piece, so that an array larger than memory can be made.

    A context manager: `add` appends values of one dtype; the header gets the final length at the end. numpy pads the header so
    that a longer length fits into the same bytes, which is what makes rewriting it safe.
    """

    def __init__(self, path: Path, dtype: type[np.generic]) -> None:
        self.path, self.dtype, self.length = path, np.dtype(dtype), 0

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._header()
        self._start = self._file.tell()
        return self

    def add(self, values: NDArray[Any]) -> None:
        """Append `values`, converted to the dtype of the file."""
        self._file.write(np.ascontiguousarray(values, self.dtype).data)
        self.length += len(values)

    def __exit__(self, *_: object) -> None:
        try:
            self._file.seek(0)
            self._header()
            assert self._file.tell() == self._start, "numpy changed the length of its header"
        finally:
            self._file.close()

    def _header(self) -> None:
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        npy.write_array_header_1_0(self._file, header)


def _opened(path: Path, kind: schema.TableSchema) -> pq.ParquetFile:
    try:
        file = parquet_in_parts(path, memory_map=True)
    except (OSError, pa.ArrowException) as cause:
        raise ArtifactError(f"{path} is not a readable parquet file: {cause}; publish the run again.") from None
    schema.check(file.schema_arrow, kind, path.name)
    return file


def _batches(path: Path, kind: schema.TableSchema, columns: tuple[str, ...]) -> Iterator[list[NDArray[Any]]]:
    file = _opened(path, kind)
    with progress(title=f"mapping {path.stem}", total=file.metadata.num_rows, unit="row") as bar:
        for batch in file.iter_batches(_ROWS, columns=list(columns)):
            yield [batch.column(name).to_numpy(zero_copy_only=False) for name in columns]
            bar.update(batch.num_rows)


def _grouped(path: Path, into: Path, kind: schema.TableSchema, key: str, columns: dict[str, type[np.generic]]) -> None:
    """keys.npy (ascending), starts.npy (one more than keys) and one array a column, from rows sorted by `key`."""
    last, rows = np.iinfo(np.int64).min, 0
    with ExitStack() as stack:
        keys, starts = (stack.enter_context(GrowingArray(into / f"{name}.npy", dtype))
                        for name, dtype in (("keys", np.int32), ("starts", np.int64)))
        values = [stack.enter_context(GrowingArray(into / f"{name}.npy", dtype)) for name, dtype in columns.items()]
        for key_values, *batch in _batches(path, kind, (key, *columns)):
            before = np.concatenate(([last], key_values[:-1]))
            if (key_values < before).any():
                raise ArtifactError(f"{path.name} is not sorted by {key}; publish the run again.")
            first = np.flatnonzero(key_values != before)
            keys.add(key_values[first])
            starts.add(first + rows)
            for array, column in zip(values, batch):
                array.add(column)
            last, rows = key_values[-1], rows + len(key_values)
        starts.add(np.array([rows]))


def _lists(path: Path, into: Path) -> None:
    _grouped(path, into, schema.PERSONAL, "user_id", {"item_id": np.int32, "score": np.float32})


def _similar(source: Path, into: Path) -> None:
    _grouped(source / "similar.parquet", into, schema.SIMILAR, "item_id_1", {"item_id_2": np.int32, "score": np.float32})


def _user_item_keys(path: Path) -> Iterator[NDArray[np.int64]]:
    """Unique (user_id << 32 | item_id) ascending, whole users at a time; the last user of a batch waits for the next one."""
    rest: NDArray[np.int64] = np.empty(0, np.int64)
    for users, items in _batches(path, schema.EVENTS, ("user_id", "item_id")):
        if len(users) and (np.any(users[1:] < users[:-1]) or (len(rest) and users[0] < rest[0] >> 32)):
            raise ArtifactError(f"{path.name} is not sorted by user_id; publish the run again.")
        pairs = np.concatenate((rest, users.astype(np.int64) << 32 | items))
        whole = int(np.searchsorted(pairs, pairs[-1] >> 32 << 32)) if len(pairs) else 0
        yield _sorted_unique(pairs[:whole])
        rest = pairs[whole:]
    yield _sorted_unique(rest)


def _sorted_unique(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    # numpy's unique hashes first, which is many times slower than its sort for millions of numbers that are nearly in order.
    pairs = np.sort(pairs, kind="stable")
    return pairs[np.append(True, pairs[1:] != pairs[:-1])] if len(pairs) else pairs


def _seen(source: Path, into: Path) -> None:
    rows = 0
    with GrowingArray(into / "keys.npy", np.int32) as keys, GrowingArray(into / "starts.npy", np.int64) as starts, \
            GrowingArray(into / "item_id.npy", np.int32) as items:
        for pairs in _user_item_keys(source / "events.parquet"):
            users = (pairs >> 32).astype(np.int32)
            first = np.flatnonzero(np.diff(users, prepend=np.int32(-1)))
            keys.add(users[first])
            starts.add(first + rows)
            items.add(pairs & 0xFFFFFFFF)
            rows += len(pairs)
        starts.add(np.array([rows]))


def _by_popularity(source: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Items and scores of the published top list, then the rest of the catalog by listeners, so that a list can be filled to any length."""
    top = _opened(source / "top_popular.parquet", schema.TOP_POPULAR).read(["rank", "item_id", "score"]).sort_by("rank")
    rest = _opened(source / "items.parquet", schema.ITEMS).read(["item_id", "num_users"])
    rest = rest.filter(pc.invert(pc.is_in(rest["item_id"], top["item_id"])))
    rest = rest.sort_by([("num_users", "descending"), ("item_id", "ascending")])
    items = np.concatenate((top["item_id"].to_numpy(), rest["item_id"].to_numpy()))
    scores = np.concatenate((top["score"].to_numpy(), np.zeros(rest.num_rows)))
    return items.astype(np.int32), scores.astype(np.float32)


def _popular(source: Path, into: Path) -> None:
    for name, values in zip(("item_id", "score"), _by_popularity(source)):
        np.save(into / f"{name}.npy", values)


def _filters(source: Path, into: Path) -> None:
    """Sorted item ids with their places by popularity; the places of the items of each genre and artist; the day of each place."""
    popular, _ = _by_popularity(source)
    places = np.argsort(popular, kind="stable").astype(np.int32)
    np.save(into / "item_id.npy", popular[places])
    np.save(into / "place.npy", places)
    file = _opened(source / "items.parquet", schema.ITEMS)
    is_dated = "added_at" in file.schema_arrow.names
    table = file.read(["item_id", "genres", "artists", *(["added_at"] if is_dated else [])])
    place_of_row = places[popular[places].searchsorted(table["item_id"].to_numpy().astype(np.int32))]
    for name in ("genres", "artists"):
        _items_by_name(table[name], place_of_row, into, name, len(popular))
    days = np.full(len(popular) if is_dated else 0, NO_DAY, np.int32)
    if is_dated:
        added = table["added_at"].to_numpy().astype("datetime64[D]")
        days[place_of_row] = np.where(np.isnat(added), NO_DAY, added.astype(np.int64))
    np.save(into / "added_on.npy", days)


def _items_by_name(column: pa.ChunkedArray, place_of_row: NDArray[np.int32], into: Path, name: str, n: int) -> None:
    lists = column.cast(pa.list_(pa.string())).combine_chunks()
    flat = pc.list_flatten(lists).dictionary_encode()
    hashes, numbers = np.unique(np.fromiter(map(name_hash, flat.dictionary.to_pylist()), np.uint64), return_inverse=True)
    named, places = numbers[flat.indices.to_numpy()], place_of_row[pc.list_parent_indices(lists).to_numpy()]
    order = np.lexsort((places, named))
    places, starts = places[order], named[order].searchsorted(np.arange(len(hashes) + 1))
    many = np.flatnonzero(np.diff(starts) > n * _MANY)
    rows, bits = np.full(len(hashes), -1, np.int32), np.zeros((len(many), -(-n // 8)), np.uint8)
    rows[many] = np.arange(len(many))
    for row, at in zip(bits, many):
        flags = np.zeros(n, np.bool_)
        flags[places[starts[at]:starts[at + 1]]] = True
        row[:] = np.packbits(flags)
    for part, values in zip(NAME_ARRAYS, (hashes, starts, places, rows, bits)):
        np.save(into / f"{name}_{part}.npy", values)


def _text(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets (n + 1) and UTF-8 bytes; names of a list are joined with SEPARATOR, null is empty."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = pc.binary_join(column.cast(pa.list_(pa.string())), SEPARATOR)
    flat = pc.fill_null(column, "").cast(pa.large_string()).combine_chunks()
    flat = pa.concat_arrays([flat, pa.array([], pa.large_string())])
    lengths = pc.binary_length(flat).to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    start = int(np.frombuffer(flat.buffers()[1], np.int64)[flat.offset]) if len(flat) else 0
    data = flat.buffers()[2]
    content = np.frombuffer(data, np.uint8)[start:start + offsets[-1]] if data is not None and offsets[-1] else np.empty(0, np.uint8)
    return offsets, content


def _items(source: Path, into: Path) -> None:
    """Sorted item ids with their texts (name, artists, genres) and the ids of their artists."""
    table = _opened(source / "items.parquet", schema.ITEMS).read(["item_id", "name", "artists", "genres", "artist_ids"]).sort_by("item_id")
    np.save(into / "item_id.npy", table["item_id"].to_numpy().astype(np.int32))
    for name in ("name", "artists", "genres"):
        offsets, content = _text(table[name])
        np.save(into / f"{name}_starts.npy", offsets)
        np.save(into / f"{name}.npy", content)
    artists = pc.fill_null(table["artist_ids"].cast(pa.list_(pa.int32())), pa.scalar([], pa.list_(pa.int32())))
    lengths = pc.list_value_length(artists).to_numpy()
    np.save(into / "artist_ids_starts.npy", np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))
    np.save(into / "artist_ids.npy", pc.list_flatten(artists).to_numpy().astype(np.int32))


def _keys(table: Path, into: Path) -> None:
    """Write the arrays of a parquet file of schema KEYS; of ids that are their own keys only that they are."""
    keys = read_keys(table)
    kind = IDS if keys.is_identity else NUMBERS if keys.is_numeric else TEXT
    np.save(into / "kind.npy", np.array([kind], np.uint8))
    if kind == IDS:
        return
    order = np.argsort(keys.ids)
    texts = [text.encode() for text in keys.keys.take(order).to_pylist()]
    hashes = np.fromiter(map(hash_of, texts), np.uint64, len(texts))
    places = np.argsort(hashes, kind="stable")
    np.save(into / "ids.npy", keys.ids[order])
    np.save(into / "key_starts.npy", np.concatenate(([0], np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts))))).astype(np.uint32))
    np.save(into / "key.npy", np.frombuffer(b"".join(texts), np.uint8))
    np.save(into / "hashes.npy", hashes[places])
    np.save(into / "places.npy", places.astype(np.int32))


def _factors(source: Path, into: Path) -> None:
    """What FoldIn needs of als_model.npz; nothing of one that does not say how it was trained."""
    with np.load(source / "als_model.npz", allow_pickle=False) as stored:
        whole = "alpha" in stored
        ids, factors = (stored[name] if whole else stored[name][:0] for name in ("item_ids", "item_factors"))
        alpha, regularization = (float(stored[name]) if whole else 0.0 for name in ("alpha", "regularization"))
    norms = np.sqrt(np.einsum("if,if->i", factors, factors))
    order = np.argsort(-norms, kind="stable")
    system = factors.T.astype(np.float64) @ factors + regularization * np.eye(factors.shape[1])
    np.save(into / "item_id.npy", ids[order].astype(np.int32))
    np.save(into / "factors.npy", factors[order])
    np.save(into / "norms.npy", norms[order])
    np.save(into / "ids.npy", ids.astype(np.int32))
    np.save(into / "rows.npy", np.argsort(order).astype(np.int32))
    np.save(into / "system.npy", system)
    np.save(into / "alpha.npy", np.array([alpha]))


WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "recommendations": lambda source, into: _lists(source / "recommendations.parquet", into),
    "familiar": lambda source, into: _lists(source / "familiar.parquet", into),
    "seen": _seen,
    "popular": _popular,
    "items": _items,
    "filters": _filters,
    "similar": _similar,
    "user_keys": lambda source, into: _keys(source / "user_keys.parquet", into),
    "item_keys": lambda source, into: _keys(source / "item_keys.parquet", into),
    "factors": _factors,
}


def write(part: str, source: Path, into: Path) -> None:
    """Write the arrays of `part` into the empty folder `into`, from the artifacts in `source`, and index.json beside them; of a part that
    names a shard those of its users.

    index.json holds {array: [dtype, length]}. Raises ArtifactError or SchemaError naming file and column.
    """
    if shard := shards.shard_in(part):
        part, scratch = shards.plain(part), into / "rows"
        artifact = shards.SHARDED[part]
        scratch.mkdir()
        rows = _opened(source / artifact, schema.EVENTS if part == "seen" else schema.PERSONAL)
        shards.write_rows(shard, rows, source / shards.USER_KEYS, scratch / artifact)
        WRITERS[part](scratch, into)
        shutil.rmtree(scratch)
    else:
        WRITERS[part](source, into)
    found = {path.stem: np.load(path, mmap_mode="r") if path.stat().st_size > _HEADER else np.load(path) for path in into.glob("*.npy")}
    index = {name: [str(array.dtype), len(array)] for name, array in sorted(found.items())}
    (into / "index.json").write_text(json.dumps(index))
