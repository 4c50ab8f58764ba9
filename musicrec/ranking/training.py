"""Training tables: candidate pairs of one label window with their features and whether the user went on to play the item."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.matrix import Float32, Int32, Plays
from musicrec.ranking.matrices import Features, feature_matrix, feature_names
from musicrec.ranking.pairs import Pairs


@dataclass(frozen=True)
class TrainingTable:
    """Rows of one label window, a user's rows together.

    features: float32 (m, f), columns as `names`. target: int8 (m,), 1 where the user played the item in the window.
    group: int64 (m,), the user id.
    """

    features: Float32
    names: tuple[str, ...]
    target: NDArray[np.int8]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)


def sampled_users(labels: Plays, most: int, seed: int) -> Int32:
    """At most `most` of the users with labels, ascending ids; which ones depends on the seed alone.

    >>> from scipy import sparse
    >>> some = Plays(np.arange(5, dtype=np.int32), sparse.csr_matrix((5, 1)), np.empty(0, np.int32))
    >>> len(sampled_users(some, 3, seed=0)), len(sampled_users(some, 9, seed=0))
    (3, 5)
    """
    if len(labels.user_ids) <= most:
        return labels.user_ids
    return np.sort(np.random.default_rng(seed).choice(labels.user_ids, most, replace=False)).astype(np.int32)


def targets(found: Pairs, user_ids: Int32, labels: Plays) -> NDArray[np.int8]:
    """1 for pairs that are among the labels, int8 (m,). user_ids (n,) are the ids of the users of `found`, in its order."""
    rows = labels.user_index(user_ids)
    width = labels.matrix.shape[1]
    owners = np.repeat(np.arange(len(labels.user_ids), dtype=np.int64), labels.n_items_of_user)
    known = owners * width + labels.matrix.indices
    users = np.repeat(rows.astype(np.int64), np.diff(found.indptr))
    hit: NDArray[np.int8] = (np.isin(users * width + found.item_index, known) & (users >= 0)).astype(np.int8)
    return hit


def training_table(found: Pairs, user_ids: Int32, labels: Plays, features: Features, negatives: int, seed: int) -> TrainingTable:
    """The rows to learn from: all candidates that were played, and `negatives` of the user's others for each, drawn at random.

    So many for each played one, not for each user: then a model cannot gain by telling busy users from idle ones, only by order.
    Users without a played candidate are left out: their rows say nothing about order. So are users without history: what decides
    between popular tracks for a stranger is not what decides for a known user. Features are computed for kept rows only.
    """
    target = targets(found, user_ids, labels)
    kept = _kept(found, target, negatives, seed)
    part = found.where(kept)
    group = np.repeat(user_ids.astype(np.int64), np.diff(part.indptr))
    return TrainingTable(feature_matrix(part, features), feature_names(part, features), target[kept], group)


def _kept(found: Pairs, target: NDArray[np.int8], negatives: int, seed: int) -> NDArray[np.bool_]:
    users = np.repeat(np.arange(len(found.user_index)), np.diff(found.indptr))
    played = np.bincount(users, weights=target, minlength=len(found.user_index)) * (found.user_index >= 0)
    draw = np.random.default_rng(seed).random(len(target))
    order = np.lexsort((draw, target, users))
    place = np.empty(len(target), np.int64)
    place[order] = np.arange(len(target)) - found.indptr[:-1][users[order]]
    kept: NDArray[np.bool_] = (played[users] > 0) & ((target == 1) | (place < negatives * played[users]))
    return kept
