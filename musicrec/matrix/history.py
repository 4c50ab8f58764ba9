"""Who played what and when: the plays of a period, and the history that everything learns from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from musicrec.matrix.arrays import Int32, index_of, parts
from musicrec.matrix.catalogue import Catalogue


@dataclass(frozen=True)
class Plays:
    """Who played what: one row a user, one column an item of the catalogue, one entry a (user, item) pair.

    user_ids: ascending int32 (n_users,). matrix: CSR float32 (n_users, n_items), item indices ascending within a row, the
    value is the weight of the pair (plays, or the sum of played shares). minutes: int32 (nnz,), aligned with matrix.data:
    minutes since 1970-01-01 UTC of the latest play of the pair.
    """

    user_ids: Int32
    matrix: sparse.csr_matrix
    minutes: Int32

    def user_index(self, user_ids: NDArray[np.integer]) -> Int32:
        """Rows of these users; -1 for users without plays."""
        return index_of(self.user_ids, user_ids)

    @cached_property
    def n_listeners(self) -> Int32:
        """Users per item, int32 (n_items,)."""
        indices, counts = self.matrix.indices, np.zeros(self.matrix.shape[1], np.int64)
        # bincount copies what it counts into int64.
        for part in parts(len(indices)):
            counts += np.bincount(indices[part], minlength=len(counts))
        return counts.astype(np.int32)

    @cached_property
    def n_items_of_user(self) -> Int32:
        """Items per user, int32 (n_users,)."""
        counts: Int32 = np.diff(self.matrix.indptr).astype(np.int32)
        return counts


@dataclass(frozen=True)
class History(Plays):
    """All plays before `cutoff` (minutes since 1970-01-01 UTC, exclusive) and the catalogue: all that generators and features see."""

    catalogue: Catalogue
    cutoff: int

    @property
    def item_ids(self) -> Int32:
        """Ascending ids of the item axis, int32 (n_items,)."""
        return self.catalogue.item_ids
