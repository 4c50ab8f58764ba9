"""The seeds' own protocol: lists in which heard tracks stay, for the generators whose lists the seeds judged so."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import sparse
from tqdm import tqdm

from musicrec.candidates.als import AlsRecommender
from musicrec.candidates.tops import Tops
from musicrec.evaluation import SEEDS, Judge, figures
from musicrec.lists import Lists, Recommender
from musicrec.matrix import Float32, Int32, Plays
from musicrec.pipeline.contending import Fitted, batches

Answer = Callable[[Int32, int], tuple[Int32, Float32]]


def as_the_seeds(made: Fitted, future: Plays, size: int = 4096, length: int = 100) -> pd.DataFrame:
    """evaluation.figures of the popular lists and of ALS with heard tracks kept, judged as the seeds judge; `size` users at a time.

    A track of the future counts when somebody played it in the history, also when the user himself did.
    """
    judge = Judge(made.history, future, (5, length), SEEDS)
    answering = {name: answer for name, one in {**made.baselines, **made.recommenders}.items() if (answer := heard_kept(one))}
    for users, rows in tqdm(batches(judge.user_ids, judge.history_rows, size), desc="as the seeds", disable=None, leave=False):
        for name, answer in answering.items():
            judge.add(name, Lists(users, *answer(rows, length)))
    return figures(judge)


def heard_kept(recommender: Recommender) -> Answer | None:
    """What `recommender` answers when heard tracks stay in its lists; None for kinds that the seeds did not judge so."""
    if isinstance(recommender, AlsRecommender):
        return lambda rows, k: _of_als(recommender, rows, k)
    if isinstance(recommender, Tops) and (recommender.group < 0).all():
        return lambda rows, k: recommender.recommend(np.full(len(rows), -1, np.int32), k)
    return None


def _of_als(recommender: AlsRecommender, rows: Int32, k: int) -> tuple[Int32, Float32]:
    nothing = sparse.csr_matrix((len(rows), len(recommender.item_factors)), dtype=np.float32)
    return recommender.order.top_k(recommender.factors_of(rows), nothing, k)
