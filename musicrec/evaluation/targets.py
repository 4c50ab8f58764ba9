"""Who is evaluated and which items count as found: the pairs of the test set that the train set does not hold."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from musicrec.dataset import Int32, Interactions, TrainSet
from musicrec.errors import SplitError

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class TargetRules:
    """What counts as a target and who is evaluated. The defaults are those of discovery; in ALL_PLAYS re-listens count as well.

    repeats_count: pairs of the test set that are also in the train set are targets. unplayed_items_count: items without a play in the
    train set are targets. users_without_targets: users of the test set without a target are evaluated, and score 0. relevant_only: pairs
    that are not relevant (see Interactions.relevant), such as skips, are no targets.
    """

    repeats_count: bool = False
    unplayed_items_count: bool = True
    users_without_targets: bool = False
    relevant_only: bool = True


DISCOVERY = TargetRules()
ALL_PLAYS = TargetRules(repeats_count=True)
REFERENCE = TargetRules(repeats_count=True, unplayed_items_count=False, users_without_targets=True, relevant_only=False)


@dataclass(frozen=True)
class Targets:
    """The evaluated users, ascending, and the items that their lists should hold.

    user_ids: int32 (n,). train_rows: int32 (n,), rows of the train set, -1 for cold users. indptr: int64 (n + 1,) and
    items: int32 (n_pairs,): the targets of user i are items[indptr[i]:indptr[i + 1]], ascending.
    """

    user_ids: Int32
    train_rows: Int32
    indptr: Int64
    items: Int32

    def __len__(self) -> int:
        return len(self.user_ids)

    @cached_property
    def counts(self) -> Int64:
        """Number of targets per user, int64 (n,)."""
        return np.diff(self.indptr)

    @cached_property
    def warm(self) -> NDArray[np.bool_]:
        """True for users of the train set, (n,)."""
        warm: NDArray[np.bool_] = self.train_rows >= 0
        return warm


def targets(train: TrainSet, test: Interactions, rules: TargetRules = DISCOVERY) -> Targets:
    """The users of the test set with at least one target, and their targets, under `rules`.

    The columns of `test` begin with those of `train`; an item behind them came after the cutoff and is a target that no list can hold.
    O(interactions of the test set x log of those of a user).
    Raises SplitError when the test set has fewer items than the train set.
    """
    if test.matrix.shape[1] < train.matrix.shape[1]:
        raise SplitError(f"the test set has {test.matrix.shape[1]} items and the train set {train.matrix.shape[1]}; "
                         "cut both from one dataset.")
    rows = train.user_index(test.user_ids)
    kept = test.relevant if rules.relevant_only else np.ones(len(test.matrix.indices), bool)
    if not rules.repeats_count:
        unseen = np.ones(len(kept), bool)
        _mark_unseen(*csr(test.matrix), rows, *csr(train.matrix), unseen)
        kept = kept & unseen
    if not rules.unplayed_items_count:
        played = np.zeros(test.matrix.shape[1], bool)
        played[:train.matrix.shape[1]] = train.n_listeners > 0
        kept &= played[test.matrix.indices]
    return _evaluated(test, rows, kept, rules.users_without_targets)


def _evaluated(test: Interactions, rows: Int32, kept: NDArray[np.bool_], everyone: bool) -> Targets:
    before = np.concatenate([[0], np.cumsum(kept)])
    counts = np.diff(before[test.matrix.indptr])
    evaluated = np.ones(len(counts), bool) if everyone else counts > 0
    indptr = np.concatenate([[0], np.cumsum(counts[evaluated])]).astype(np.int64)
    return Targets(test.user_ids[evaluated], rows[evaluated], indptr, test.matrix.indices[kept].astype(np.int32))


def csr(matrix: Any) -> tuple[Int64, Int32]:
    """indptr (int64) and indices (int32) of a CSR matrix, in the types that the kernels are compiled for."""
    return matrix.indptr.astype(np.int64, copy=False), matrix.indices.astype(np.int32, copy=False)


@njit(cache=True, nogil=True)
def _mark_unseen(indptr, indices, rows, seen_indptr, seen_indices, unseen):  # type: ignore[no-untyped-def]
    """Set unseen[p] to whether the pair stored at p is absent from the user's row of the train set."""
    for user in range(len(rows)):
        row = rows[user]
        if row < 0:
            continue
        seen = seen_indices[seen_indptr[row]:seen_indptr[row + 1]]
        for place in range(indptr[user], indptr[user + 1]):
            at = np.searchsorted(seen, indices[place])
            unseen[place] = at == len(seen) or seen[at] != indices[place]
