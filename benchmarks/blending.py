"""How much simulated listeners hear under several ways of blending: the same users in each, without services in between.

    python -m benchmarks.blending FOLDER [--users 100]

FOLDER: where `musicrec datasets make simulated` and `musicrec train --data data/simulated --source botify` were called. Prints the mean
listening of a session, and the difference to the offline list with its 95 % interval over users, who are the same in every row.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicrec import registry, settings
from musicrec.evaluation.significance import bootstrap_means, interval
from musicrec.events.protocol import DISLIKE, PLAY, SKIP, remembered_type
from musicrec.serving import cache
from musicrec.serving.answers import AnswerOptions, Answers
from musicrec.serving.blending import SimilarItems
from musicrec.serving.experiments import answer_options
from musicrec.serving.lookup import grouped, lookup
from musicrec.serving.recommendations import PARTS
from musicrec.serving.user_context import Memory, UserContext
from musicrec.simulation import Played, World, session
from musicrec.storage import storage

PER_USER, SIMILAR = 10, 100


class Listeners:
    """The users of the world in `folder`, in one round, and a run that was trained on its logs; the current one unless it is named."""

    def __init__(self, folder: Path, round_: int = 1, run_id: str = "") -> None:
        location, self.round = str(folder / "artifacts"), round_
        run = registry.manifest(storage(location, {}), run_id) if run_id else registry.current(storage(location, {}))
        folders = cache.ready(location, {}, run, (*PARTS, "similar"), folder / "var" / "cache")
        self.world = World.of_folder(folder / "data" / "simulated")
        self.mapped, self.similar = lookup(run.run_id, folders), grouped(folders["similar"], "item_id_2")

    def people(self, n: int) -> list[int]:
        """Some users of the logs."""
        rng = np.random.default_rng((self.world.seed, 20, 0, self.round))
        return [int(user) for user in rng.permutation(self.world.users)[:n]]

    def near(self, items: list[int]) -> list[SimilarItems]:
        """What is similar to each."""
        return [SimilarItems(item, *(column[:SIMILAR].tolist() for column in self.similar.of(item))) for item in items]

    def context(self, played: Sequence[Played], recent_items: int) -> UserContext:
        """What the services know of a user after these tracks."""
        types: dict[int, str] = {}
        for one in played:
            item = self.mapped.items.id_of(one.track)
            types.pop(item, None)
            types[item] = remembered_type(one.type, one.share)
        latest = list(types)[::-1]
        refused = [item for item in latest if types[item] in (SKIP, DISLIKE)]
        memory = Memory(latest, {item: kind for item, kind in types.items() if kind != PLAY}, refused, latest)
        plays = [self.mapped.items.id_of(one.track) for one in played[::-1] if one.type == PLAY][:PER_USER]
        recent = [item for item in memory.welcome if item in plays][:recent_items]
        return UserContext(plays, self.near(recent), memory=memory, near_refused=self.near(refused[:max(recent_items, 1)]))

    def listening(self, user: int, arm: str, options: AnswerOptions) -> float:
        """What the user listens to in one session, without the first track."""
        return sum(one.share for one in self.played(user, arm, options)[1:])

    def played(self, user: int, arm: str, options: AnswerOptions) -> list[Played]:
        """What the user plays in one session."""
        answers, own = Answers(self.mapped, options), self.mapped.users.id_of(user)

        def next_track(played: Sequence[Played]) -> int | None:
            items = getattr(answers, arm)(own, 60, self.context(played, options.recent_items)).item_ids
            earlier = {one.track for one in played}
            return next((track for track in (int(self.mapped.items.key_of(item)) for item in items) if track not in earlier), None)

        rng = np.random.default_rng((self.world.seed, 21, 0, self.round, user))
        return session(self.world, user, rng, next_track, self.round)


def ways() -> Iterator[tuple[str, str, dict[str, object]]]:
    """The rows: name, arm, and what it changes of the settings."""
    yield "offline", "offline", {}
    yield "online", "online", {}
    for decay in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5):
        yield f"blended, artist_decay {decay:g}", "blended", {"artist_decay": decay}
    for method in ("rrf", "score"):
        yield f"blended, {method}, artist_decay 0.7", "blended", {"artist_decay": 0.7, "method": method}


def compare(name: str, found: NDArray[np.float64], base: NDArray[np.float64]) -> None:
    """Print the mean of `found`, and its difference to `base` of the same users with a 95 % interval."""
    low, high = interval(bootstrap_means((found - base)[:, None], 2000))
    print(f"{name} {found.mean():6.2f}   {(found - base).mean():+6.2f} ({low[0]:+.2f} to {high[0]:+.2f})", flush=True)


def main(folder: Path, users: int) -> None:
    """Print a row a way."""
    listeners, blending = Listeners(folder), settings.load(Path("config.ini"), {}).blending
    people, base = listeners.people(users), np.zeros(0)
    for name, arm, changed in ways():
        options = answer_options(blending.model_copy(update=changed))
        found = np.array([listeners.listening(user, arm, options) for user in people])
        base = base if len(base) else found
        compare(f"{name:<34}", found, base)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=100)
    asked = parser.parse_args()
    main(asked.folder, asked.users)
