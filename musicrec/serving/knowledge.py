"""What the neighbours know of users at this moment: their latest plays and what is similar to these."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from musicrec.errors import ServiceError
from musicrec.serving.neighbours import Plays, Similar, SimilarItems


@dataclass(frozen=True)
class Known:
    """Latest plays, newest first; similar items of the newest of them; one sentence for each neighbour that did not answer."""

    plays: tuple[int, ...] = ()
    similar: tuple[Similar, ...] = ()
    missing: tuple[str, ...] = ()


NOTHING_KNOWN = Known()


@dataclass(frozen=True)
class Questions:
    """How much is asked: plays a user, how many of them give similar items, similar items a play, and the time for all of it."""

    plays: int = 10
    seeds: int = 3
    similar_per_play: int = 100
    timeout_s: float = 0.15
    batch_timeout_s: float = 2.0


async def known(user_ids: Sequence[int], plays: Plays, similar: SimilarItems, questions: Questions) -> list[Known]:
    """What is known of each user, with one call to each neighbour for all of them, within one time limit for both calls.

    Never raises for a neighbour: what could not be asked is said in `missing`.
    """
    limit = questions.timeout_s if len(user_ids) == 1 else questions.batch_timeout_s
    deadline = asyncio.get_running_loop().time() + limit
    try:
        played = await plays.latest(user_ids, questions.plays, deadline)
    except ServiceError as cause:
        return [Known(missing=(str(cause),))] * len(user_ids)
    seeds = list(dict.fromkeys(item for items in played for item in items[:questions.seeds]))
    try:
        found = await similar.of(seeds, questions.similar_per_play, deadline)
    except ServiceError as cause:
        return [Known(tuple(items), missing=(str(cause),) if items else ()) for items in played]
    return [Known(tuple(items), tuple(found[item] for item in items[:questions.seeds])) for items in played]
