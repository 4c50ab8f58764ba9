"""Who is judged and which tracks count as found: the pairs of the future that the history does not hold."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.errors import SplitError
from musicrec.matrix import History, Int32, Plays

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Rules:
    """What counts as a target and who is judged. The defaults are the honest ones of this project.

    repeats_count: a pair of the future that is already in the history is a target too.
    unheard_items_count: a track that nobody played in the history is a target too.
    users_without_targets: users of the future who have no target left are judged as well; they score 0.
    """

    repeats_count: bool = False
    unheard_items_count: bool = True
    users_without_targets: bool = False


TEMPORAL = Rules()
SEEDS = Rules(repeats_count=True, unheard_items_count=False, users_without_targets=True)


@dataclass(frozen=True)
class Targets:
    """The judged users, ascending, and the tracks that each should have been offered.

    user_ids: int32 (n,). history_rows: int32 (n,), rows of the history, -1 for cold users. indptr: int64 (n + 1,) and
    items: int32 (n_pairs,): the targets of user i are items[indptr[i]:indptr[i + 1]], ascending.
    """

    user_ids: Int32
    history_rows: Int32
    indptr: Int64
    items: Int32

    def __len__(self) -> int:
        return len(self.user_ids)

    @cached_property
    def counts(self) -> Int64:
        """Targets per user, int64 (n,)."""
        return np.diff(self.indptr)

    @cached_property
    def warm(self) -> NDArray[np.bool_]:
        """True for users who have a history, (n,)."""
        warm: NDArray[np.bool_] = self.history_rows >= 0
        return warm


def targets(history: History, future: Plays, rules: Rules = TEMPORAL) -> Targets:
    """The users of `future` with at least one target, and their targets, under `rules`.

    `history` and `future` have user axes of their own and share the item axis. O(plays of the future x log history).
    Raises SplitError when the item axes differ or nobody is left to judge.
    """
    n_items = history.matrix.shape[1]
    if future.matrix.shape[1] != n_items:
        raise SplitError(f"the future has {future.matrix.shape[1]} items and the history {n_items}; build both from one catalogue.")
    rows = history.user_index(future.user_ids)
    kept = np.ones(len(future.matrix.indices), bool)
    if not rules.repeats_count:
        mark_unheard(*csr(future.matrix), rows, *csr(history.matrix), kept)
    if not rules.unheard_items_count:
        kept &= history.n_listeners[future.matrix.indices] > 0
    return _chosen(future, rows, kept, rules.users_without_targets)


def _chosen(future: Plays, rows: Int32, kept: NDArray[np.bool_], everyone: bool) -> Targets:
    before = np.concatenate([[0], np.cumsum(kept)])
    counts = np.diff(before[future.matrix.indptr])
    judged = np.ones(len(counts), bool) if everyone else counts > 0
    if not judged.any():
        raise SplitError("no user of the future has a track that the history lacks; move the cutoff to an earlier day.")
    indptr = np.concatenate([[0], np.cumsum(counts[judged])]).astype(np.int64)
    return Targets(future.user_ids[judged], rows[judged], indptr, future.matrix.indices[kept].astype(np.int32))


def csr(matrix: Any) -> tuple[Int64, Int32]:
    """indptr (int64) and indices (int32) of a CSR matrix, in the types that the kernels are compiled for."""
    return matrix.indptr.astype(np.int64, copy=False), matrix.indices.astype(np.int32, copy=False)


@njit(cache=True, nogil=True)
def mark_unheard(indptr, indices, rows, heard_indptr, heard_indices, kept):  # type: ignore[no-untyped-def]
    """Set kept[p] to whether the pair stored at p is absent from the history row of its user."""
    for user in range(len(rows)):
        row = rows[user]
        if row < 0:
            continue
        heard = heard_indices[heard_indptr[row]:heard_indptr[row + 1]]
        for place in range(indptr[user], indptr[user + 1]):
            at = np.searchsorted(heard, indices[place])
            kept[place] = at == len(heard) or heard[at] != indices[place]
