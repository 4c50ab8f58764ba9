"""What training takes on logs of any size, from what it took on logs of three sizes, before anything is trained.

Between measured sizes cost grows as a power of the plays, and beyond them with the exponent of the nearest two (straight lines between
points on logarithmic scales). Users and tracks grow with the plays in what was measured; `benchmarks.growth` measures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Costs:
    """Stages of runs on logs of different sizes, the smallest first. plays: of each run. core_seconds and peak_gb: by stage, of each run.

    clock: seconds on the clock times cores for a second of a core, because not all work is done in parallel.
    """

    plays: Sequence[int]
    core_seconds: Mapping[str, Sequence[float]]
    peak_gb: Mapping[str, Sequence[float]]
    clock: float

    @classmethod
    def shipped(cls) -> Self:
        """The measured ones."""
        return cls(**json.loads(files(__package__).joinpath("costs.json").read_text()))

    def of(self, plays: int, cores: int) -> pd.DataFrame:
        """Columns stage, core_seconds, seconds, peak_gb, one row a stage, for logs of so many plays on a machine with so many cores.

        >>> Costs([100, 10_000], {"fit": [1, 100]}, {"fit": [0.5, 0.5]}, 1.0).of(1000, 2).to_dict("records")
        [{'stage': 'fit', 'core_seconds': 10.0, 'seconds': 5.0, 'peak_gb': 0.5}]
        """
        seconds = [_at(plays, self.plays, known) for known in self.core_seconds.values()]
        return pd.DataFrame({"stage": list(self.core_seconds), "core_seconds": np.round(seconds, 1),
                             "seconds": np.round(np.multiply(seconds, self.clock / cores), 1),
                             "peak_gb": [round(_at(plays, self.plays, known), 2) for known in self.peak_gb.values()]})

    def exponents(self) -> pd.DataFrame:
        """Columns stage and one for each two sizes that follow each other: the power of the plays with which core seconds grow."""
        steps = np.diff(np.log(self.plays))
        grown = {stage: np.diff(np.log(np.maximum(known, _LEAST))) / steps for stage, known in self.core_seconds.items()}
        names = [f"{low:,} to {high:,}" for low, high in zip(self.plays, self.plays[1:])]
        return pd.DataFrame.from_dict(grown, orient="index", columns=names).round(2).rename_axis("stage").reset_index()


# A stage that takes less is not measured exactly enough for a power.
_LEAST = 0.05


def _at(plays: int, measured: Sequence[int], known: Sequence[float]) -> float:
    x, y = np.log(measured), np.log(np.maximum(known, _LEAST))
    at = np.log(max(plays, 1))
    step = int(np.clip(np.searchsorted(x, at), 1, len(x) - 1))
    slope = (y[step] - y[step - 1]) / (x[step] - x[step - 1])
    # What took less on the largest log, as tuning does, does not vanish on larger ones.
    return float(np.exp(y[step] + (max(slope, 0.0) if at > x[-1] else slope) * (at - x[step])))
