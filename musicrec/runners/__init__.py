"""Runners: the lists of a fitted recommender for many users, on the threads of this machine or on the executors of Spark.

There is one for each engine. A runner is added by one file and one line in RUNNERS.
"""

from contextlib import AbstractContextManager, nullcontext

from musicrec.runners import spark
from musicrec.runners.local import recommended
from musicrec.runners.protocol import Runner, Shared
from musicrec.runners.spark_fits import fits_on_executors
from musicrec.storage import Storage

__all__ = ["RUNNERS", "Runner", "Shared", "fits_by", "recommended"]

RUNNERS: dict[str, Runner] = {
    "duckdb": recommended,
    "spark": spark.recommended,
}


def fits_by(name: str, place: Storage) -> AbstractContextManager[None]:
    """Let the machines of an engine fill the lists of fits inside; one that has this machine alone does so here. place: see Shared."""
    return fits_on_executors(place) if name == "spark" else nullcontext()
