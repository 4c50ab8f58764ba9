"""Make generated logs in a process of its own and compare them with the published figures of the real ones.

    python benchmarks/generate.py --scale 1.0 --out DIR [--keep]     make (or with --keep take what is there), then compare
Prints time and peak memory of the making, and one row a figure: published, made, tolerance. Exit code 1 when a row misses.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.synthetic_facts import facts  # noqa: E402


def making(out: Path, scale: float, seed: int, order: str) -> str:
    """One line on what the making took."""
    options = ["--scale", str(scale), "--out", str(out), "--seed", str(seed), "--order", order]
    command = [sys.executable, "-m", "musicrec", "datasets", "make", "synthetic", *options]
    started = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
    size = sum(file.stat().st_size for file in out.glob("*.parquet"))
    return f"made in {wall:.0f} s ({cpu:.0f} s of CPU), peak memory {used.ru_maxrss / 2**20:.2f} GB, {size / 1e9:.2f} GB of files"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.01)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--order", choices=("id", "taste"), default="id")
    parser.add_argument("--keep", action="store_true", help="compare what is there")
    arguments = parser.parse_args()
    if not arguments.keep:
        print(making(arguments.out, arguments.scale, arguments.seed, arguments.order), flush=True)
    table = facts(arguments.out, arguments.scale)
    shown = table.assign(tolerance=table["tolerance"].map("{:.1%}".format), within=table["within"].map({True: "yes", False: "NO"}))
    for column in ("published", "made"):
        shown[column] = table[column].map(lambda value: f"{value:,.0f}" if value > 20 else f"{value:.4g}")
    print(shown.to_string(index=False))
    print(f"{table['within'].sum()} of {len(table)} figures within their tolerance")
    return 0 if table["within"].all() else 1


if __name__ == "__main__":
    sys.exit(main())
