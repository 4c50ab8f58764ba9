"""What changed from one published run to another, in sentences: lists and settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from musicrec.registry.fetching import fetch
from musicrec.registry.record import Manifest
from musicrec.storage import Storage


def top_lists(storage: Storage, run: Manifest, k: int, cache: Path) -> pa.Table:
    """user_id and item_id of the first k places of the published lists. Raises what `fetch` raises."""
    name = "recommendations.parquet"
    folder = fetch(storage, run.run_id, [name], cache / "runs")
    return pq.read_table(folder / name, columns=["user_id", "item_id"], filters=[("rank", "<=", k)])


def changed_lists(before: pa.Table, after: pa.Table, k: int) -> dict[str, str]:
    """What differs between two tables of top_lists, by what is counted; the order of a list does not count.

    >>> two = [pa.table({"user_id": [1, 1, 2], "item_id": items}) for items in ([5, 6, 5], [6, 5, 7])]
    >>> for name, told in changed_lists(*two, k=2).items(): print(name, "|", told)
    users with a list | 2 -> 2 (0 gained, 0 lost)
    changed lists | 50.0% of 2 users have other items in their first 2; 1.0 of 2 stay on average
    items in lists | 2 -> 3 (1 gained, 0 lost)
    """
    pairs = [np.unique(table["user_id"].to_numpy().astype(np.int64) << 32 | table["item_id"].to_numpy()) for table in (before, after)]
    kept = np.intersect1d(pairs[0], pairs[1], assume_unique=True) >> 32
    (old, _), (new, lengths) = (np.unique(one >> 32, return_counts=True) for one in pairs)
    both, unchanged = len(np.intersect1d(old, new)), int((np.bincount(new.searchsorted(kept), minlength=len(new)) == lengths).sum())
    changed = (f"{1 - unchanged / both:.1%} of {both:,} users have other items in their first {k}; {len(kept) / both:.1f} of {k} stay on "
               "average") if both else "no user has a list in both runs"
    items = _sizes(np.unique(before["item_id"].to_numpy()), np.unique(after["item_id"].to_numpy()))
    return {"users with a list": _sizes(old, new), "changed lists": changed, "items in lists": items}


def settings_difference(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> list[str]:
    """One line a setting that differs, as "ranking.k: 100 -> 50"; paths of settings files do not count."""
    lines = []
    for key in sorted({*before, *after} - {"path"}):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += settings_difference(old, new, f"{where}{key}.")
        elif old != new:
            lines.append(f"{where}{key}: {old} -> {new}")
    return lines


def _sizes(before: NDArray[Any], after: NDArray[Any]) -> str:
    both = len(np.intersect1d(before, after))
    return f"{len(before):,} -> {len(after):,} ({len(after) - both:,} gained, {len(before) - both:,} lost)"
