"""Recommendations and candidates as arrays and as DataFrames."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from musicrec.dataset import Float32, Int32
from musicrec.ranking import Candidates, FeatureColumns


@dataclass(frozen=True)
class Recommendations:
    """Lists of n users: user_ids int32 (n,); item_ids int32 (n, k), best first, -1 where fewer exist; scores float32 (n, k), descending."""

    user_ids: Int32
    item_ids: Int32
    scores: Float32

    def to_pandas(self) -> pd.DataFrame:
        """Columns user_id, item_id, score, rank (1 is best); users in the order of user_ids."""
        n, k = self.item_ids.shape
        filled = self.item_ids >= 0
        users, ranks = np.broadcast_to(self.user_ids[:, None], (n, k)), np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), (n, k))
        columns = {"user_id": users, "item_id": self.item_ids, "score": self.scores, "rank": ranks}
        return pd.DataFrame({name: values[filled] for name, values in columns.items()})


@dataclass(frozen=True)
class CandidateTable:
    """The candidates of n users with their scores and features.

    candidates: items ascending within a user. user_ids: int32 (n,). item_ids: int32 (m,). scores: float32 (m,), higher is better.
    features: float32 (m, f), with the columns `columns`.
    """

    candidates: Candidates
    user_ids: Int32
    item_ids: Int32
    scores: Float32
    features: Float32
    columns: FeatureColumns

    def __len__(self) -> int:
        return len(self.item_ids)

    def to_pandas(self) -> pd.DataFrame:
        """One row per candidate, best first within a user: user_id, item_id, score, then all features."""
        position = np.repeat(np.arange(len(self.user_ids)), np.diff(self.candidates.indptr))
        order = np.lexsort((self.item_ids, -self.scores, position))
        table = pd.DataFrame({"user_id": self.user_ids[position][order], "item_id": self.item_ids[order], "score": self.scores[order]})
        return pd.concat([table, pd.DataFrame(self.features[order], columns=list(self.columns.names))], axis=1)
