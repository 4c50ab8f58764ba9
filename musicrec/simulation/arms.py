"""Simulated users in front of the real services: each arm answers its own users in one way, and their plays are reported to the service."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import requests

from musicrec.errors import ServiceError
from musicrec.progress import progress
from musicrec.simulation.sessions import MAX_TRACKS, Played, Policy, random_policy, session
from musicrec.simulation.world import World

ArmName = Literal["random", "popular", "offline", "online", "blended"]
ARMS: tuple[ArmName, ...] = ("random", "popular", "offline", "online", "blended")
_ROUTES: Mapping[str, str] = {"popular": "recommendations_default", "offline": "recommendations_offline",
                              "online": "recommendations_online", "blended": "recommendations"}
# Of the users of a round, one in so many is new: the logs know nothing of them.
NEW_ONE_IN = 10
# Of a list for everybody, enough that one is left that the session has not had; of a personal one the next track is asked for.
_POPULAR, _TIMEOUT_S = 60, 10


class Listened(NamedTuple):
    """One session: its arm, its user, and what was played, first track included."""

    arm: ArmName
    user: int
    played: list[Played]


class Player:
    """The recommendations and the events service, as a player uses them. Raises ServiceError when one fails."""

    def __init__(self, recommendations: str, events: str, api_key: str = "") -> None:
        self._urls = {"recommendations": recommendations, "events": events}
        self._session, self._answers = requests.Session(), dict[int, str]()
        self._session.trust_env = False
        if api_key:
            self._session.headers["X-API-Key"] = api_key

    def recommended(self, arm: ArmName, user: int) -> list[int]:
        """What the arm recommends to the user now, best first."""
        answer = self._post("recommendations", _ROUTES[arm], {"user_id": user, "k": _POPULAR if arm == "popular" else 1})
        self._answers[user] = answer.headers.get("X-Recommendation-Id", "")
        return [int(item) for item in answer.json()["recs"]]

    def report(self, user: int, one: Played) -> None:
        """Tell the events service what was played, how much of it, and which answer it came from."""
        self._post("events", "put", {"user_id": user, "item_id": one.track, "type": one.type, "played_share": one.share,
                                     "recommendation_id": self._answers.pop(user, "")})

    def _post(self, service: str, route: str, parameters: dict[str, str | int | float]) -> requests.Response:
        url = f"{self._urls[service]}/{route}"
        try:
            response = self._session.post(url, params=parameters, timeout=_TIMEOUT_S)
            response.raise_for_status()
        except requests.RequestException as cause:
            raise ServiceError(f"{url} did not answer as a simulated player expects: {cause}; is it running (musicrec serve)?") from cause
        return response


def listened(world: World, player: Player, arms: Sequence[ArmName], users: int, round_: int = 1, seed: int = 0,
             max_tracks: int = MAX_TRACKS) -> Iterator[Listened]:
    """One session, of at most `max_tracks` tracks, of each of `users` users an arm; no user is in two arms.

    The sessions of all arms take turns, so that every arm sees the same state of the services. The same world, services, round and seed
    give the same sessions.
    """
    rng = np.random.default_rng((world.seed, 20, seed, round_))
    people = rng.permutation(world.users + world.users // (NEW_ONE_IN - 1))
    if users * len(arms) > len(people):
        raise ServiceError(f"{users} users in each of {len(arms)} arms are more than the {len(people)} of this world; ask for fewer.")
    with progress(title="simulate", total=users * len(arms), unit=" sessions") as bar:
        for at in range(users * len(arms)):
            arm, user = arms[at % len(arms)], int(people[at])
            own = np.random.default_rng((world.seed, 21, seed, round_, user))
            yield Listened(arm, user, session(world, user, own, _policy(world, player, arm, user, own), round_, max_tracks,
                                              partial(player.report, user)))
            bar.update()


def _policy(world: World, player: Player, arm: ArmName, user: int, rng: np.random.Generator) -> Policy:
    chosen = random_policy(world, rng)

    def next_track(played: Sequence[Played]) -> int | None:
        if arm == "random":
            return chosen(played)
        earlier = {one.track for one in played}
        return next((item for item in player.recommended(arm, user) if item not in earlier), None)
    return next_track
