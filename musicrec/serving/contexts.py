"""What is known of users at this moment, from the events and the features service."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from musicrec.errors import ServiceError
from musicrec.events.protocol import DISLIKE, LIKE, SKIP
from musicrec.serving.answers import AnswerOptions
from musicrec.serving.clients import EventsClient, FeaturesClient
from musicrec.serving.event_schemas import RememberedItems
from musicrec.serving.keys import IDS, Key, KeyIndex
from musicrec.serving.schemas import MAX_ID
from musicrec.serving.user_context import Memory, UserContext


async def user_contexts(users: Sequence[Key], options: Sequence[AnswerOptions], items: KeyIndex, events: EventsClient,
                        features: FeaturesClient, plays: int, similar_per_play: int, timeout_s: float, online: bool) -> list[UserContext]:
    """The latest `plays` of each user, what is remembered, and, by the options of each, what is similar to the `recent_items` newest plays
    and likes, where `online`, and to as many items that were skipped or disliked in the last `skip_minutes`; with one call to each service
    for all users.

    Never raises for a service: what could not be asked within `timeout_s`, the limit for both calls, is said in `missing`.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        are_ids = items.kind == IDS
        stored = [await events.latest_of(users[0], plays, deadline, are_ids)] if len(users) == 1 else \
            await events.latest(users, plays, deadline, are_ids)
    except ServiceError as cause:
        return [UserContext(missing=(str(cause),))] * len(users)
    contexts, wanted = [], list[tuple[list[int], Sequence[int]]]()
    for one, own in zip(stored, options):
        recent_items = own.recent_items if online else 0
        ids = _ids(one.plays, items) if one else []
        memory = _memory(one.remembered, items, own.skip_minutes * 60) if one else Memory()
        contexts.append(UserContext(ids, unknown=len(one.plays) - len(ids) if one else 0, blocked=one is None, memory=memory))
        recent = set(ids) | {item for item, kind in memory.types.items() if kind == LIKE}
        wanted.append(([item for item in memory.welcome if item in recent][:recent_items], memory.refused[:max(recent_items, 1)]))
    try:
        similar = await features.similar(list(dict.fromkeys(item for pair in wanted for part in pair for item in part)), similar_per_play,
                                         deadline)
    except ServiceError as cause:
        return [replace(context, missing=(str(cause),)) if any(pair) else context for context, pair in zip(contexts, wanted)]
    return [replace(context, similar=[similar[item] for item in recent], near_refused=[similar[item] for item in refused])
            for context, (recent, refused) in zip(contexts, wanted)]


def _memory(found: RememberedItems, items: KeyIndex, skip_s: float) -> Memory:
    types = {own: kind for key, kind, _ in found.feedback for own in _ids([key], items)}
    refused = [key for key, kind, age in found.feedback if kind in (SKIP, DISLIKE) and age <= skip_s]
    return Memory(_ids(found.items, items), types, _ids(refused, items), _ids(found.items[:found.session], items))


def _ids(keys: Sequence[Key], items: KeyIndex) -> list[int]:
    return [found for key in keys if 0 <= (found := items.id_of(key)) <= MAX_ID]
