"""The whole pipeline on any logs, from three raw files to a published run: time, time of a core and peak memory of every stage.

    python -m benchmarks.pipeline --data DIR --out DIR [MUSICREC_SECTION_KEY=VALUE ...]

--data holds tracks.parquet, catalog_names.parquet and interactions.parquet; --out takes the workspace, what DuckDB spills and the
published run. The pipeline is a child of this script. Its own table tells the peak of each stage and the highest of all: to tell stages
apart it lets the system forget the peak before each, so the last line has none. Further arguments are settings.
"""

import argparse
import os
from pathlib import Path

from benchmarks.children import machine, measured


def main() -> None:
    """Run the pipeline, let it print its tables, and print what all of it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("settings", nargs="*", metavar="MUSICREC_SECTION_KEY=VALUE")
    options = parser.parse_args()
    places = {"DATA_FOLDER": options.data, "DATA_WORK_FOLDER": options.out / "work", "ENGINE_TEMP_FOLDER": options.out / "spill",
              "ARTIFACTS_LOCATION": options.out / "artifacts"}
    os.environ.update({f"MUSICREC_{key}": str(folder) for key, folder in places.items()})
    os.environ.update(dict(setting.split("=", 1) for setting in options.settings))
    print(machine(), " ".join(options.settings), flush=True)
    spent = measured("musicrec", "train", "--verbose")
    print(f"whole pipeline {spent.seconds:,.1f} s, {spent.core_seconds:,.1f} s of a core")


if __name__ == "__main__":
    main()
