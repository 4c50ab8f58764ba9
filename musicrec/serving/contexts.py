"""What is known of users at this moment, from the events and the features service."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from musicrec.errors import ServiceError
from musicrec.events.protocol import DISLIKE, LIKE, SKIP
from musicrec.serving.answers import AnswerOptions
from musicrec.serving.clients import EventsClient, FeaturesClient, StoredOfUser
from musicrec.serving.event_schemas import RememberedItems
from musicrec.serving.keys import IDS, Key, KeyIndex
from musicrec.serving.schemas import MAX_ID
from musicrec.serving.user_context import NO_CONTEXT, Memory, UserContext

_BLOCKED = UserContext(blocked=True)


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
    contexts = [_context(one, items, own.skip_minutes * 60) for one, own in zip(stored, options)]
    wanted = [_wanted(context, own.recent_items if online else 0) for context, own in zip(contexts, options)]
    if not any(map(any, wanted)):
        return contexts
    try:
        ask = features.similar_of if len(users) == 1 else features.similar
        similar = await ask(list(dict.fromkeys(item for pair in wanted for part in pair for item in part)), similar_per_play, deadline)
    except ServiceError as cause:
        return [replace(context, missing=(str(cause),)) if any(pair) else context for context, pair in zip(contexts, wanted)]
    return [replace(context, similar=[similar[item] for item in recent], near_refused=[similar[item] for item in refused])
            for context, (recent, refused) in zip(contexts, wanted)]


def _context(found: StoredOfUser | None, items: KeyIndex, skip_s: float) -> UserContext:
    if found is None:
        return _BLOCKED
    if not found.plays and not found.remembered.items:
        return NO_CONTEXT
    ids = _ids(found.plays, items)
    return UserContext(ids, unknown=len(found.plays) - len(ids), memory=_memory(found.remembered, items, skip_s))


def _wanted(context: UserContext, recent_items: int) -> tuple[Sequence[int], Sequence[int]]:
    """The items whose similar ones are recommended, and those whose similar ones are not."""
    memory, recent = context.memory, list[int]()
    if recent_items:
        among = {*context.plays, *memory.of_type(LIKE)}
        recent = [item for item in memory.welcome if item in among][:recent_items]
    return recent, memory.refused[:max(recent_items, 1)]


def _memory(found: RememberedItems, items: KeyIndex, skip_s: float) -> Memory:
    types = {own: kind for key, kind, _ in found.feedback for own in _ids([key], items)}
    refused = [key for key, kind, age in found.feedback if kind in (SKIP, DISLIKE) and age <= skip_s]
    return Memory(_ids(found.items, items), types, _ids(refused, items), _ids(found.items[:found.session], items))


def _ids(keys: Sequence[Key], items: KeyIndex) -> list[int]:
    found = keys if items.kind == IDS else map(items.id_of, keys)
    return [item for item in found if isinstance(item, int) and 0 <= item <= MAX_ID]
