"""Lists for many users on the threads of this machine: the next batches are computed while the present one is written."""

from collections.abc import Collection, Iterator

from threadpoolctl import threadpool_limits

from musicrec.dataset import Int32
from musicrec.lists import Lists
from musicrec.prefetching import prefetched
from musicrec.progress import progress
from musicrec.recommender import TwoStageRecommender
from musicrec.recommender.two_stage import batches
from musicrec.runners.protocol import Shared


def recommended(recommender: TwoStageRecommender, user_ids: Int32, k: int, orders: Collection[str], batch_memory: int,
                threads: int, shared: Shared | None = None) -> Iterator[dict[str, Lists]]:
    """See runners.Runner; users may be there twice. Up to threads + 1 batches are in memory. Shows a progress bar.
    """
    parts = batches(user_ids, recommender.batch_users(batch_memory))
    with threadpool_limits(1, user_api="blas"), \
            progress(title="recommend", total=len(user_ids), unit="user") as bar:
        for lists in prefetched(lambda part: recommender.lists(part, k, orders), parts, threads):
            yield lists
            bar.update(len(next(iter(lists.values()))))
