"""How the cost of training grows with the log: writes musicrec/pipeline/costs.json from finished runs, and prints the exponents.

    python -m benchmarks.growth ARTIFACTS ARTIFACTS ... [--clock 1.17]

Each ARTIFACTS is a folder whose current run was trained by `python -m benchmarks.pipeline` with the settings as shipped. --clock: seconds
on the clock times cores for a second of a core, which only a run alone on its machine tells; 1.17 was that at full size on two cores.
"""

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.children import machine
from musicrec import registry
from musicrec.pipeline.estimate import Costs
from musicrec.registry import Manifest
from musicrec.storage import storage

FILE = Path("musicrec/pipeline/costs.json")


def main() -> None:
    """Read the runs, the smallest first, and write and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="+")
    parser.add_argument("--clock", type=float, default=1.17)
    options = parser.parse_args()
    runs = sorted((registry.current(storage(place, os.environ)) for place in options.artifacts), key=plays)
    stages = [whole_stages(run) for run in runs]
    names = list(dict.fromkeys(name for one in stages for name in one))
    made = {"plays": [plays(run) for run in runs],
            "core_seconds": {name: [round(one[name]["core_seconds"], 1) for one in stages] for name in names},
            "peak_gb": {name: [round(one[name]["peak_gb"], 2) for one in stages] for name in names},
            "clock": options.clock}
    FILE.write_text(json.dumps(made, indent=1) + "\n")
    print(machine())
    costs = Costs.shipped()
    for run in runs:
        table = costs.of(plays(run), 1)
        print(f"{plays(run):,} plays: {table['core_seconds'].sum():,.0f} s of a core, {table['peak_gb'].max():.1f} GB")
    print(costs.exponents().to_string(index=False))


def plays(run: Manifest) -> int:
    """Plays in the log of a run."""
    return int(run.files["events.parquet"].rows or 0)


def whole_stages(run: Manifest) -> dict[str, dict[str, Any]]:
    """The stages that are not inside others, by name, but publishing, which is not over when the manifest is written: it copies files."""
    empty = {"seconds": 0.0, "core_seconds": 0.0, "peak_gb": 0.0}
    found: dict[str, dict[str, Any]] = defaultdict(lambda: dict(empty))
    for row in run.info.metrics["stages"]:
        if ":" not in row["stage"] and row["seconds"] is not None:
            found[row["stage"]] = row
    return found


if __name__ == "__main__":
    main()
