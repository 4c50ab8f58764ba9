"""Training tables: candidates of one fold with their features, and whether the user played the item in the fold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicrec.dataset import Float32, Int32, Interactions, of_users
from musicrec.ranking.candidates import Candidates
from musicrec.ranking.feature_matrix import FeatureColumns, Features, columns, feature_matrix


@dataclass(frozen=True)
class TrainingTable:
    """Rows of one fold; the rows of a user are consecutive.

    features: float32 (m, f), with the columns `columns`. target: int8 (m,), 1 where the user played the item in the fold. group: int64
    (m,), the user id.
    """

    features: Float32
    columns: FeatureColumns
    target: NDArray[np.int8]
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def learnable(self) -> bool:
        """Whether some of the rows are hits and some are not: only then is there an order to learn."""
        return bool(self.target.any() and not self.target.all())

    def where(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> "TrainingTable":
        """The rows of a mask or of positions."""
        return TrainingTable(self.features[keep], self.columns, self.target[keep], self.group[keep])

    def without(self, group: str) -> "TrainingTable":
        """The same rows without the columns of a feature group."""
        columns, positions = self.columns.without(group)
        return TrainingTable(self.features[:, positions], columns, self.target, self.group)

    def sample(self, most: int, seed: int = 0) -> "TrainingTable":
        """At most `most` rows drawn at random, in their order."""
        return self.where(np.sort(np.random.default_rng(seed).permutation(len(self))[:most]))


def concatenated(tables: Sequence[TrainingTable]) -> TrainingTable:
    """All rows in one table. A user of two folds is two groups, because the candidates differ between folds."""
    groups = np.concatenate([table.group * len(tables) + fold for fold, table in enumerate(tables)])
    return TrainingTable(np.concatenate([table.features for table in tables]), tables[0].columns,
                         np.concatenate([table.target for table in tables]), groups)


def sampled_users(test: Interactions, most: int, seed: int) -> Int32:
    """At most `most` of the users of a test set, ascending ids, drawn by the seed.

    >>> from scipy import sparse
    >>> some = Interactions(np.arange(5, dtype=np.int32), sparse.csr_matrix((5, 1)), np.empty(0, np.int32))
    >>> len(sampled_users(some, 3, seed=0)), len(sampled_users(some, 9, seed=0))
    (3, 5)
    """
    if len(test.user_ids) <= most:
        return test.user_ids
    return np.sort(np.random.default_rng(seed).choice(test.user_ids, most, replace=False)).astype(np.int32)


def training_users(test: Interactions, most: int, most_pairs: int, seed: int) -> Int32:
    """At most `most` users of a test set, ascending ids, drawn by the seed; fewer where these have more than `most_pairs` pairs there.

    The rows of a ranker, and the time that it takes, grow with the pairs. At least one user where there is one.
    """
    drawn = np.random.default_rng(seed).permutation(len(test.user_ids))[:most]
    within = np.cumsum(test.n_items_of_user[drawn]) <= most_pairs
    within[:1] = True
    users: Int32 = np.sort(test.user_ids[drawn[within]])
    return users


def _targets(found: Candidates, user_ids: Int32, test: Interactions) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """1 for candidates whose play in the test set is relevant, int8 (m,), and which candidates are judged, bool (m,). user_ids (n,): the
    users of `found`, in its order."""
    # The rest of the test set, which may be millions of plays, is not compared.
    played, width = of_users(test, user_ids), test.matrix.shape[1]
    rows, owners = played.user_index(user_ids), np.repeat(np.arange(len(played.user_ids), dtype=np.int64), played.n_items_of_user)
    known = owners * width + played.matrix.indices
    users = np.repeat(rows.astype(np.int64), np.diff(found.indptr))
    hit, unjudged = (np.isin(users * width + found.item_index, known[pairs]) & (users >= 0) for pairs in (played.relevant, played.unjudged))
    return hit.astype(np.int8), ~unjudged


def training_table(found: Candidates, user_ids: Int32, test: Interactions, features: Features, negatives: int, seed: int) -> TrainingTable:
    """The rows to learn from: all candidates that were played, and for each of them `negatives` of the user's others, drawn at random.

    The share of hits is the same for all users, so that only the order can be learned, not how much a user plays. Users without a played
    candidate are left out, because their rows have no order, and so are cold users, who keep the order of rrf. Features are computed for
    the kept rows only.
    """
    target, judged = _targets(found, user_ids, test)
    kept = _kept(found, target, negatives, seed) & judged
    part = found.where(kept)
    group = np.repeat(user_ids.astype(np.int64), np.diff(part.indptr))
    return TrainingTable(feature_matrix(part, features), columns(part.models, features), target[kept], group)


def _kept(found: Candidates, target: NDArray[np.int8], negatives: int, seed: int) -> NDArray[np.bool_]:
    users = np.repeat(np.arange(len(found.user_index)), np.diff(found.indptr))
    played = np.bincount(users, weights=target, minlength=len(found.user_index)) * (found.user_index >= 0)
    draw = np.random.default_rng(seed).random(len(target))
    order = np.lexsort((draw, target, users))
    position = np.empty(len(target), np.int64)
    position[order] = np.arange(len(target)) - found.indptr[:-1][users[order]]
    kept: NDArray[np.bool_] = (played[users] > 0) & ((target == 1) | (position < negatives * played[users]))
    return kept
