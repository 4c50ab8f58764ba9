"""Runners: the lists of a fitted recommender for many users, on the threads of this machine or on the executors of Spark.

There is one for each engine. A runner is added by one file and one line in RUNNERS.
"""

from musicrec.runners import spark
from musicrec.runners.local import prefetched, recommended
from musicrec.runners.protocol import Runner, Shared

__all__ = ["RUNNERS", "Runner", "Shared", "prefetched", "recommended"]

RUNNERS: dict[str, Runner] = {
    "duckdb": recommended,
    "spark": spark.recommended,
}
