"""Lists of any system, as a table, against plays, as a table; the metrics are those of metrics.RELEVANCE."""

import numpy as np
import pandas as pd

from musicrec.errors import SplitError
from musicrec.evaluation.metrics import relevance
from musicrec.evaluation.significance import bootstrap_means, interval
from musicrec.evaluation.targets import Targets

_PAIR = ["user_id", "item_id"]


def evaluated(lists: pd.DataFrame, plays: pd.DataFrame, seen: pd.DataFrame | None, k: int, *, samples: int = 1000,
              seed: int = 0) -> pd.DataFrame:
    """Columns metric, mean, low, high (95 % bootstrap interval over users): one row per metric at k, then users, served and coverage.

    lists: user_id, item_id and rank (ascending) or score (descending); of equal ones the row that comes first; an item counts once a user.
    plays: user_id, item_id. seen: earlier plays; a pair in it is neither a target nor a place of a list, and only its users are evaluated.
    coverage: different items in the lists, divided by those of `seen`, or of plays and lists together without it.
    Raises SplitError when no user has anything left to find.
    """
    found, ranked = plays[_PAIR].drop_duplicates(), _ranked(lists)
    if seen is not None:
        earlier = seen[_PAIR].drop_duplicates()
        found, ranked = _without(found, earlier), _without(ranked, earlier)
        found = found[found["user_id"].isin(earlier["user_id"])]
    if found.empty:
        raise SplitError("No user has a play that could be found: check that both files name users and items in the same way.")
    ranked = ranked[ranked["user_id"].isin(found["user_id"])]
    ranked = ranked.assign(place=ranked.groupby("user_id", sort=False).cumcount() + 1)
    ranked = ranked[ranked["place"] <= k]
    found = found.sort_values("user_id", kind="stable")
    ranks = found.merge(ranked, how="left", on=_PAIR)["place"].fillna(0).to_numpy(np.uint16)
    counts = found.groupby("user_id", sort=True).size().to_numpy()
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    numbers = np.arange(len(counts), dtype=np.int32)
    columns = relevance(Targets(numbers, numbers, indptr, np.arange(len(found), dtype=np.int32)), ranks, (k,))
    low, high = interval(bootstrap_means(np.column_stack(list(columns.values())), samples, seed))
    rows = [(name, float(values.mean()), low[i], high[i]) for i, (name, values) in enumerate(columns.items())]
    catalog = pd.concat([found["item_id"], ranked["item_id"]]) if seen is None else seen["item_id"]
    rows += [("users", float(len(counts)), np.nan, np.nan), ("served", ranked["user_id"].nunique() / len(counts), np.nan, np.nan),
             (f"coverage@{k}", ranked["item_id"].nunique() / max(catalog.nunique(), 1), np.nan, np.nan)]
    return pd.DataFrame(rows, columns=["metric", "mean", "low", "high"])


def _ranked(lists: pd.DataFrame) -> pd.DataFrame:
    by, ascending = ("rank", True) if "rank" in lists else ("score", False)
    return lists.sort_values(["user_id", by], ascending=[True, ascending], kind="stable").drop_duplicates(_PAIR)[_PAIR]


def _without(pairs: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    marked = pairs.merge(others, how="left", on=_PAIR, indicator=True)
    return marked.loc[marked["_merge"] == "left_only", _PAIR]
