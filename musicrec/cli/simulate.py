"""`musicrec simulate`: simulated users in front of the running services."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.cli.options import Config
from musicrec.cli.stopping import stoppable

if TYPE_CHECKING:
    import pandas as pd


def simulate(data: Annotated[Path, typer.Option(help="Simulated logs that the current run was trained on.")] = Path("data/simulated"),
             users: Annotated[int, typer.Option(min=1, help="Users in each arm, with one session each.")] = 200,
             arms: Annotated[list[str] | None, typer.Option(
                 "--arm", help="random, popular, offline, online or blended; may be repeated. [default: all]")] = None,
             round_: Annotated[int, typer.Option("--round", min=1, help="Other users, whose tastes have drifted on.")] = 1,
             seed: Annotated[int, typer.Option(help="Another seed draws other users.")] = 0,
             tracks: Annotated[int, typer.Option(min=2, help="Most tracks of a session, with the first, which the user chooses.")] = 50,
             out: Annotated[Path | None, typer.Option(help="JSON file for the table.")] = None,
             config: Config = None) -> None:
    """Let simulated users listen to what the running services recommend, and report how much they listened.

    The plays are reported to the events service with their shares, so they stay in its store.

    \b
    musicrec datasets make simulated
    musicrec train --data data/simulated --source botify
    musicrec serve &
    musicrec simulate
    """
    from musicrec import settings, simulation
    from musicrec.files import replaced
    from musicrec.settings.sections import keys_in

    known = {str(arm): arm for arm in simulation.ARMS}
    for arm in arms or ():
        if arm not in known:
            raise typer.BadParameter(f"{arm!r} is none of {', '.join(known)}", param_hint="--arm")
    chosen = [known[arm] for arm in dict.fromkeys(arms or known)]
    loaded = settings.load(config)
    urls, key = loaded.urls, next(iter(keys_in(loaded.service.api_key)), "")
    player = simulation.Player(urls.recommendations_url, urls.events_store_url, key)
    with stoppable("plays that were reported stay stored."):
        sessions = simulation.listened(simulation.World.of_folder(data), player, chosen, users, round_, seed, tracks)
        table = simulation.listening(sessions)
    print(_text(table))
    if out is not None:
        with replaced(out) as partial:
            partial.write_text(json.dumps(json.loads(table.to_json(orient="records")), indent=2))


def _text(table: "pd.DataFrame") -> str:
    lines = [f"{'arm':<10}{'users':>7}{'tracks':>9}{'kept':>7}{'listening a session':>25}{'over random':>24}"]
    for row in table.to_dict("records"):
        gain = "" if row["over_random"] != row["over_random"] or row["arm"] == "random" else \
            f"{row['over_random']:+.0%} ({row['over_random_low']:+.0%} to {row['over_random_high']:+.0%})"
        within = f"{row['listening']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        lines.append(f"{row['arm']:<10}{row['users']:>7,}{row['tracks']:>9.1f}{row['kept']:>7.0%}{within:>25}{gain:>24}")
    return "\n".join(lines)
