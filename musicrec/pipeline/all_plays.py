"""The protocol of all plays: re-listens count, and a user's own items are recommended beside new ones."""

from typing import Any, cast

import numpy as np
import pandas as pd

from musicrec.dataset import DAY, Interactions, TrainSet, of_users, train_set_of_users
from musicrec.evaluation import ALL_PLAYS, Evaluator, comparison
from musicrec.lists import Lists
from musicrec.mixing import mixed
from musicrec.models import OwnItems, WithSeenItems
from musicrec.pipeline.workspace import Workspace, model
from musicrec.ranking import sampled_users
from musicrec.recommender import TwoStageRecommender
from musicrec.runners import recommended
from musicrec.settings import Settings

MOST_PLAYED, LATEST, MIXED = "most_played", "latest", "mixed"


def has_repeats(train: TrainSet) -> bool:
    """Whether anybody has played an item twice, so that familiar items are published and evaluated."""
    return len(train.repeats.pairs) > 0


def familiar_model(settings: Settings, train: TrainSet) -> WithSeenItems:
    """The model that [candidates] familiar names, fitted to `train`."""
    fitted: Any = model(settings, settings.candidates.familiar).fit(train)
    return cast(WithSeenItems, fitted)


def mixed_lists(familiar: Lists, new: Lists, share: float) -> Lists:
    """Both lists of each user mixed as `mixing.mixed` does it, as long as the new ones; scores say the place alone, from 0 downwards."""
    k = new.items.shape[1]
    items = mixed(familiar.items, new.items, share, k)
    return Lists(new.user_ids, items, np.where(items >= 0, -np.arange(k), -np.inf).astype(np.float32))


def references(train: TrainSet) -> dict[str, WithSeenItems]:
    """The lists that a model of familiar items has to beat: the user's most played items, ties by the latest play, and the latest ones."""
    age = ((train.cutoff - train.last_played.astype(np.float64)) / DAY).astype(np.float32)
    return {MOST_PLAYED: OwnItems(train, (train.n_plays + 1 / (2 + age)).astype(np.float32)), LATEST: OwnItems(train, -age)}


def evaluated_all_plays(work: Workspace, made: TwoStageRecommender, test: Interactions) -> Evaluator | None:
    """Lists with seen items on the test set, where re-listens count, for at most [evaluation] max_users warm users; None without repeats.

    Rows: the references, the model of familiar items, the published list of new items, and both mixed.
    """
    train, settings, k = made.fitted.train, work.settings, work.settings.ranking.k
    if not has_repeats(train):
        return None
    warm, name = of_users(test, train.user_ids), settings.candidates.familiar
    sample = of_users(warm, sampled_users(warm, settings.evaluation.max_users, settings.evaluation.seed))
    with work.stages.measured("evaluate all plays"):
        evaluator, familiar = Evaluator(train, sample, rules=ALL_PLAYS), familiar_model(settings, train)
        theirs = train_set_of_users(train, evaluator.user_ids)
        to_beat = references(theirs)
        for lists in recommended(made, evaluator.user_ids, k, [made.order], settings.batch_memory, settings.engine.threads):
            new, users = lists[made.order], lists[made.order].user_ids
            own = {of: Lists(users, *one.recommend_with_seen(theirs.user_index(users), k)) for of, one in to_beat.items()}
            own[name] = Lists(users, *familiar.recommend_with_seen(train.user_index(users), k))
            together = mixed_lists(own[name], new, settings.blending.familiar_share)
            for of, one in {**own, made.order: new, MIXED: together}.items():
                evaluator.add(of, one)
    return evaluator


def all_plays_table(work: Workspace, evaluator: Evaluator) -> pd.DataFrame:
    """evaluation.comparison of the protocol of all plays, tested against the better one of the references."""
    settings = work.settings.evaluation
    references = [name for name in (MOST_PLAYED, LATEST) if name in evaluator.names]
    return comparison(evaluator, references, samples=settings.bootstrap_samples, seed=settings.seed)
