"""Whether a run that nobody looks at may be published."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from musicrec.errors import RefusedError

_METRIC = "ndcg@10"


def check_acceptable(findings: pd.DataFrame, measured: Mapping[str, Any], baselines: Sequence[str],
                     before: Mapping[str, Any] | None = None) -> None:
    """Raise RefusedError where the findings of validation hold an error, or where the published list loses on the test set.

    measured, before: metrics of the new run and of the current one. A list loses when one of `baselines` has a better mean over the warm
    users, or all users where nobody is warm, or when its 95 % interval lies below that of the list the current run publishes.
    """
    errors = findings[findings["severity"] == "error"]
    if len(errors):
        first = errors.iloc[0]
        raise RefusedError(f"Nothing was published: validation found an error in the logs, {first['finding']} "
                           f"({first['count']:,}, such as {first['example']}); correct it, or publish all the same with musicrec train.")
    rows = _rows(measured)
    if measured["published"] not in rows:
        return
    new = rows[measured["published"]]
    better = [name for name in baselines if name in rows and rows[name][_METRIC] > new[_METRIC]]
    if better:
        best = max(better, key=lambda name: float(rows[name][_METRIC]))
        raise RefusedError(_sentence(new, f"the baseline {best} has {rows[best][_METRIC]:.4f}"))
    old = _rows(before or {}).get((before or {}).get("published", ""))
    if old is not None and new[f"{_METRIC}_high"] < old[f"{_METRIC}_low"]:
        raise RefusedError(_sentence(new, f"the list of the current run had {old[_METRIC]:.4f} on its own test set"))


def _rows(measured: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    table = measured.get("warm") or measured.get("comparison") or []
    return {row["model"]: row for row in table}


def _sentence(new: Mapping[str, Any], why: str) -> str:
    return (f"Nothing was published: the list {new['model']} reaches NDCG@10 {new[_METRIC]:.4f} and {why}; the current run stays. "
            "Look at musicrec train --verbose, which publishes all the same.")
