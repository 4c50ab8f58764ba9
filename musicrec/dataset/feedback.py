"""Feedback strength: how much a play says that its user likes the item, and what models learn from it.

A play has the strength of its played share, or 1 where the log does not say; a like has LIKE, a dislike DISLIKE, and a skip without a share
0. The strength of a (user, item) pair is the mean over its plays. What a share means differs between users, so models learn from strengths
relative to the mean of the user, as in user-based collaborative filtering with mean-centered ratings (Herlocker et al., "An algorithmic
framework for performing collaborative filtering", 1999).
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from musicrec.dataset.arrays import Float32, Int32

LIKE, DISLIKE = 2.0, -1.0
# The strength from which on a pair is relevant: it counts as a hit where lists are evaluated, and rankers learn to find it.
RELEVANT = 0.5
# The mean of a user is taken over this many more plays of mean strength, so that a first play says something.
PRIOR_PLAYS = 5.0


def strengths(plays: pa.Table) -> Float32 | None:
    """The strength of each play, float32 (n,), from the columns played_share and feedback; None where there is neither."""
    columns = plays.column_names
    if "played_share" not in columns and "feedback" not in columns:
        return None
    shares = pc.cast(plays.column("played_share"), pa.float32()) if "played_share" in columns else pa.nulls(len(plays), pa.float32())
    if "feedback" not in columns:
        return np.asarray(pc.fill_null(shares, 1.0).to_numpy(), np.float32)
    feedback = pc.fill_null(plays.column("feedback"), "play")
    known = pc.fill_null(shares, pc.if_else(pc.equal(feedback, "skip"), pa.scalar(0, pa.float32()), pa.scalar(1, pa.float32())))
    for kind, strength in (("like", LIKE), ("dislike", DISLIKE)):
        known = pc.if_else(pc.equal(feedback, kind), pa.scalar(strength, pa.float32()), known)
    return np.asarray(known.to_numpy(), np.float32)


def centered(strength: Float32, n_plays: Int32, indptr: NDArray[np.integer]) -> tuple[Float32, Float32]:
    """Strength minus the mean of the pair's user, and that mean, float32 (nnz,) each.

    n_plays: int32 (nnz,). indptr: where the pairs of each user begin and end. A mean is over plays, each from 0 to 1, with PRIOR_PLAYS of
    the mean of all users added.
    """
    users = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    plays = np.bincount(users, n_plays, len(indptr) - 1)
    total = np.bincount(users, np.clip(strength, 0, 1) * n_plays, len(indptr) - 1)
    overall = total.sum() / max(plays.sum(), 1)
    mean = ((total + PRIOR_PLAYS * overall) / (plays + PRIOR_PLAYS)).astype(np.float32)[users]
    return strength - mean, mean


def learned_weights(strength: Float32, n_plays: Int32, indptr: NDArray[np.integer]) -> Float32:
    """The weights from which models learn, float32 (nnz,): plays times how far the strength is above the mean of the user.

    The mean has weight 0, what is below it too: such a pair is seen, but nothing is learned from it. A whole play has weight 1, whatever
    the mean, and a like has LIKE.

    >>> plays = np.ones(4, np.int32)
    >>> learned_weights(np.array([1, 0.5, 0, 2], np.float32), plays, np.array([0, 4])).tolist()
    [1.0, 0.0, 0.0, 2.0]
    """
    above, mean = centered(strength, n_plays, indptr)
    scaled = np.where(strength >= 1, strength, np.maximum(above, 0) / np.maximum(1 - mean, np.float32(1e-6)))
    weights: Float32 = (scaled * n_plays).astype(np.float32)
    return weights
