"""Whether what lists would bring, estimated from explored lists that were shown instead, is what they do bring.

    python -m benchmarks.off_policy FOLDER [--users 1000] [--rounds 5] [--tracks 2] [--preset quick]

In the new folder FOLDER: makes the default simulated world, trains on its logs, and serves the run with an experiment whose two variants
explore little and much. In each round other users play one track of their own and then what they are shown, a track at a time, until they
have played `--tracks`. The other lists hold, for each user, the track that comes first without exploration and the 50 most popular of the
100 that may be drawn. `estimated` is what `musicrec experiments report --lists` says of their kept plays per impression, `measured` what
the same users keep of tracks drawn from these lists, `unweighted` what the report would say without propensities.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.blending import Listeners
from benchmarks.loop import Loop
from musicrec import settings, simulation
from musicrec.events.protocol import KEPT_SHARE
from musicrec.experiments.analysis import snips
from musicrec.experiments.attribution import outcomes
from musicrec.serving.answers import Answers
from musicrec.serving.experiments import answer_options
from musicrec.simulation import Played

EXPERIMENT = "[explore]\nvariants.little = {exploration = 0.2}\nvariants.much = {exploration = 0.8}\n"
DRAWS = 20


def other_lists(listeners: Listeners, folder: Path, told: pd.DataFrame) -> dict[int, list[int]]:
    """By user, tracks that may come after the first one of the user, which the service has told."""
    options = answer_options(settings.load(folder / "config.ini", {}).blending)
    answers, mapped = Answers(listeners.mapped, options), listeners.mapped
    place = {item: at for at, item in enumerate(mapped.popular.tolist())}
    found = {}
    for user, first in told.sort_values("started_at").groupby("user_id").first().iterrows():
        context = listeners.context([Played(int(first["track_id"]), float(first["played_share"]))], options.recent_items)
        items = answers.blended(mapped.users.id_of(user), 150, context).item_ids
        chosen = [items[0], *sorted(items[50:], key=lambda item: place.get(item, len(place)))[:50]]
        found[user] = [int(mapped.items.key_of(item)) for item in chosen]
    return found


def measured(world: simulation.World, lists: dict[int, list[int]], round_: int, tracks: int) -> float:
    """The share of tracks that the users keep when they are played tracks drawn from their lists."""
    kept = []
    for user, items in lists.items():
        for draw in range(DRAWS):
            # The first track is the one of the session that was simulated.
            rng, drawing = np.random.default_rng((world.seed, 21, 0, round_, user)), np.random.default_rng((user, round_, draw))

            def drawn(played: list[Played], items: list[int] = items, rng: np.random.Generator = drawing) -> int | None:
                left = sorted(set(items) - {one.track for one in played})
                return int(rng.choice(left)) if left else None
            kept += [one.share >= KEPT_SHARE for one in simulation.session(world, user, rng, drawn, round_, tracks)[1:]]
    return float(np.mean(kept))


def main(folder: Path, users: int, rounds: int, tracks: int, preset: str) -> None:
    """Print a row per round."""
    loop = Loop(folder, preset)
    loop.environment |= {"MUSICREC_SERVICE_IMPRESSIONS": "true"}
    loop.command("datasets", "make", "simulated")
    loop.command("train", "--data", "data/simulated", "--source", "botify", "--preset", preset)
    (folder / "experiments.toml").write_text(EXPERIMENT)
    print("round  impressions  of the lists  estimated                    measured  unweighted")
    for round_ in range(1, rounds + 1):
        # A store of its own, so that nothing is known of users but the logs.
        loop.environment["MUSICREC_EVENTS_PATH"] = f"var/events_{round_}.sqlite"
        with loop.served():
            loop.until_served()
            loop.command("simulate", "--arm", "blended", "--users", str(users), "--round", str(round_), "--tracks", str(tracks))
        exports = folder / f"round_{round_}"
        for form in ("impressions", "interactions"):
            loop.command("events", "export", "--form", form, "--out", str(exports / f"{form}.parquet"))
        shown, told = (pq.read_table(exports / f"{form}.parquet") for form in ("impressions", "interactions"))
        listeners = Listeners(folder, round_)
        lists = other_lists(listeners, folder, told.to_pandas())
        table = pd.DataFrame([(user, item) for user, items in lists.items() for item in items], columns=["user_id", "item_id"])
        table.to_parquet(exports / "lists.parquet")
        loop.command("experiments", "report", "explore", "--exports", str(exports), "--lists", str(exports / "lists.parquet"),
                     "--out", str(exports / "report.json"))
        found = json.loads((exports / "report.json").read_text())["off_policy"]
        drawn = outcomes("explore", shown, told, pq.read_table(exports / "lists.parquet"), 24).drawn
        plain, really = snips(drawn.assign(propensity=1.0)), measured(listeners.world, lists, round_, tracks)
        estimates = ["{estimate:.3f} ({low:.3f} to {high:.3f})".format(**one) for one in (found, plain)]
        print(f"{round_:>5} {len(drawn):>12,} {drawn['chosen'].sum():>13,}  {estimates[0]:<28} {really:>8.3f}  {estimates[1]}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tracks", type=int, default=2)
    parser.add_argument("--preset", default="quick")
    asked = parser.parse_args()
    main(asked.folder.resolve(), asked.users, asked.rounds, asked.tracks, asked.preset)
