"""The protocol of the reference notebooks: lists in which seen items stay, for the models whose lists were evaluated so."""

import pandas as pd

from musicrec.dataset import Interactions
from musicrec.evaluation import REFERENCE, Evaluator, figures
from musicrec.lists import Lists
from musicrec.models import WithSeenItems
from musicrec.recommender import TwoStageRecommender
from musicrec.recommender.two_stage import batches


def reference_figures(made: TwoStageRecommender, test: Interactions, size: int = 4096, length: int = 100) -> pd.DataFrame:
    """evaluation.figures of the models that can keep seen items, evaluated as the reference notebooks do; `size` users at a time.

    An item of the test set counts when somebody played it before the cutoff, also when the user did.
    """
    train = made.fitted.train
    evaluator = Evaluator(train, test, (5, length), REFERENCE)
    for users in batches(evaluator.user_ids, size):
        for name, one in made.fitted.models.items():
            if isinstance(one, WithSeenItems):
                evaluator.add(name, Lists(users, *one.recommend_with_seen(train.user_index(users), length)))
    return figures(evaluator)
