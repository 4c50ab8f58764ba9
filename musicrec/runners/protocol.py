"""What a runner is: it answers many users with a fitted recommender."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from musicrec.dataset import Int32
from musicrec.lists import Lists
from musicrec.recommender import TwoStageRecommender
from musicrec.storage import Storage


@dataclass(frozen=True)
class Shared:
    """What a runner on several machines needs; one on this machine uses none of it.

    connection: returns the engine. saved: returns the folder in which the recommender is saved. scratch: where the parts of the result lie
    until the end, which holds nothing else. All machines reach it; where it is a folder, both folders under the same path.
    """

    connection: Callable[[], Any]
    saved: Callable[[], Path]
    scratch: Storage


class Runner(Protocol):
    """Lists of many users; whichever runner makes them, they are the same to the last bit."""

    def __call__(self, recommender: TwoStageRecommender, user_ids: Int32, k: int, orders: Collection[str], batch_memory: int, threads: int,
                 shared: Shared) -> Iterator[dict[str, Lists]]:
        """The lists of these users, no one twice, in several orders, batch by batch in the order of user_ids.

        Items are indices of the train set. batch_memory: bytes for the candidates of one batch.
        """
        ...
