"""A saved recommender with everything in it, and its lists by any runner, bit by bit."""

from pathlib import Path
from typing import Any

import numpy as np

from musicrec.dataset import DAY, interactions
from musicrec.features import FEATURES
from musicrec.models import MODELS
from musicrec.ranking import Constraints, RankerSettings, fit_ranker
from musicrec.recommender import RANKED, TwoStageRecommender
from musicrec.runners import RUNNERS, Shared
from musicrec.storage import Storage, storage
from tests.worlds import random_world

K, MEMORY = 12, 1 << 20
Saved = tuple[TwoStageRecommender, Path]


def saved_recommender(folder: Path) -> Saved:
    """A recommender of every model and feature group, with ranker and constraints, and the folder in which it is saved."""
    world = random_world(n_users=400, n_plays=4000)
    made = TwoStageRecommender({name: kind() for name, kind in MODELS.items()}, {name: kind() for name, kind in FEATURES.items()},
                               constraints=Constraints(max_per_artist=2), candidates_per_model=20, max_candidates=60).fit(world)
    rng = np.random.default_rng(1)
    items = np.minimum(rng.geometric(0.05, 800), len(world.item_ids)) - 1
    test = interactions(rng.choice(world.user_ids, 800), items, np.full(800, 2000 * DAY), None, len(world.item_ids))
    table = made.training_table(test.user_ids, test, negatives=10)
    made = made.with_ranker(fit_ranker([table], RankerSettings(iterations=20, depth=3, learning_rate=0.2))).with_order(RANKED)
    made.save(folder)
    return made, folder


def lists_of(runner: str, saved: Saved, scratch: Path | Storage, users: Any = None) -> dict[str, list[bytes]]:
    """All lists in all orders, in bytes."""
    place = storage(str(scratch), {}) if isinstance(scratch, Path) else scratch
    made, folder = saved
    asked = made.fitted.train.user_ids if users is None else users
    parts = list(RUNNERS[runner](made, asked, K, made.orders, MEMORY, 2, Shared(lambda: None, lambda: folder, place)))
    return {order: [np.concatenate([getattr(part[order], name) for part in parts]).tobytes() for name in ("user_ids", "items", "scores")]
            for order in made.orders}
