"""Runners: the lists of a fitted recommender for many users, on the threads of this machine."""

from musicrec.runners.local import prefetched, recommended

__all__ = ["prefetched", "recommended"]
