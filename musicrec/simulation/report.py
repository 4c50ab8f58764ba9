"""How much was listened to in each arm, with intervals."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from musicrec.evaluation.metrics import Float64
from musicrec.evaluation.significance import bootstrap_means, interval
from musicrec.events.protocol import KEPT_SHARE
from musicrec.simulation.arms import ARMS, ArmName, Listened


def listening(sessions: Iterable[Listened], samples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """One row an arm: arm, users, tracks (a session), kept (share of the tracks of which at least half was played), listening, low, high,
    and over_random, over_random_low, over_random_high.

    listening: played shares summed over a session without its first track, which the user chose; the mean over users with its 95 %
    interval. over_random: how much more than in the arm random, as a share of it; NaN without that arm. The user is the unit of the
    bootstrap.
    """
    of_arm: dict[ArmName, list[Sequence[float]]] = {}
    for one in sessions:
        of_arm.setdefault(one.arm, []).append([track.share for track in one.played[1:]])
    sums = {arm: np.array([[sum(shares)] for shares in of_arm[arm]]) for arm in ARMS if arm in of_arm}
    drawn = {arm: bootstrap_means(values, samples, seed + at) for at, (arm, values) in enumerate(sums.items())}
    return pd.DataFrame([_row(arm, of_arm[arm], sums, drawn) for arm in sums])


def _row(arm: ArmName, shares: list[Sequence[float]], sums: dict[ArmName, Float64], drawn: dict[ArmName, Float64]) -> dict[str, object]:
    low, high = interval(drawn[arm])
    tracks = [share for one in shares for share in one]
    row: dict[str, object] = {"arm": arm, "users": len(shares), "tracks": len(tracks) / len(shares),
                              "kept": float(np.mean(np.array(tracks) >= KEPT_SHARE)) if tracks else 0.0,
                              "listening": float(sums[arm].mean()), "low": float(low[0]), "high": float(high[0])}
    if "random" not in sums:
        return row | dict.fromkeys(("over_random", "over_random_low", "over_random_high"), np.nan)
    less, more = interval(drawn[arm] / drawn["random"] - 1)
    return row | {"over_random": float(sums[arm].mean() / sums["random"].mean() - 1), "over_random_low": float(less[0]),
                  "over_random_high": float(more[0])}
