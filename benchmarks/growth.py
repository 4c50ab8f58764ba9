"""How the cost of training grows with the log: writes musicrec/pipeline/costs.json from finished runs, and prints the exponents.

    python -m benchmarks.growth ARTIFACTS ARTIFACTS ARTIFACTS

Each ARTIFACTS is a folder whose current run was trained by `python -m benchmarks.pipeline` with the settings as shipped, alone on the
machine.
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
    runs = sorted((registry.current(storage(place)) for place in parser.parse_args().artifacts), key=plays)
    stages = [whole_stages(run) for run in runs]
    names = list(dict.fromkeys(name for one in stages for name in one))
    largest, cores = stages[-1].values(), len(os.sched_getaffinity(0))
    clock = cores * sum(one["seconds"] for one in largest) / sum(one["core_seconds"] for one in largest)
    made = {"plays": [plays(run) for run in runs],
            "core_seconds": {name: [round(one[name]["core_seconds"], 1) for one in stages] for name in names},
            "peak_gb": {name: [round(one[name]["peak_gb"], 2) for one in stages] for name in names},
            "cores": cores, "clock": round(clock, 3)}
    FILE.write_text(json.dumps(made, indent=1) + "\n")
    print(machine())
    costs = Costs.shipped()
    for run in runs:
        table = costs.of(plays(run), costs.cores)
        print(f"{plays(run):,} plays: {table['core_seconds'].sum():,.0f} s of a core, {table['peak_gb'].max():.1f} GB")
    print(costs.exponents().to_string(index=False))


def plays(run: Manifest) -> int:
    """Plays in the log of a run."""
    return int(run.files["events.parquet"].rows or 0)


def whole_stages(run: Manifest) -> dict[str, dict[str, Any]]:
    """The stages that are not inside others, by name; publishing is not over when the manifest is written, and takes what copying takes."""
    empty = {"seconds": 0.0, "core_seconds": 0.0, "peak_gb": 0.0}
    found: dict[str, dict[str, Any]] = defaultdict(lambda: dict(empty))
    for row in run.info.metrics["stages"]:
        if ":" not in row["stage"] and row["seconds"] == row["seconds"]:
            found[row["stage"]] = row
    return found


if __name__ == "__main__":
    main()
