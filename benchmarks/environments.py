"""What an installation takes: size, packages, and what the three services import, for each extra of the package.

    python -m benchmarks.environments --out DIR [--extras serve all]

Builds the wheel, installs it with each extra into an environment of its own below DIR, with the versions of constraints.txt, and imports
the three services in the first one. Needs an index of packages.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEARNING = ("pandas", "numba", "scipy", "sklearn", "implicit", "catboost", "faiss", "ibis", "duckdb", "matplotlib")
IMPORTS = f"""import sys
import recommendations_service, features_service, events_service
print(sorted({set(LEARNING)} & set(sys.modules)))"""


def built(out: Path) -> Path:
    """The wheel of this checkout."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT))
    return max(out.glob("musicrec-*.whl"), key=lambda path: path.stat().st_mtime)


def environment(wheel: Path, extra: str, folder: Path) -> Path:
    """The Python of a new environment that has the wheel with this extra."""
    run(sys.executable, "-m", "venv", str(folder))
    python = folder / "bin" / "python"
    run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt"), f"{wheel}[{extra}]")
    return python


def run(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def megabytes(folder: Path) -> float:
    """The size of everything in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def main() -> None:
    """Print one line an extra."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--extras", nargs="+", default=["serve", "all"])
    options = parser.parse_args()
    wheel = built(options.out)
    print(f"wheel {wheel.stat().st_size / 1e6:.2f} MB", flush=True)
    for extra in options.extras:
        python = environment(wheel, extra, options.out / extra)
        packages = len(run(str(python), "-m", "pip", "list", "--format=freeze").splitlines())
        print(f"{extra:<10} {megabytes(options.out / extra):7.0f} MB  {packages} packages", flush=True)
        if extra == "serve":
            shipped = run(str(python), "-c", "from musicrec.project import shipped; print(shipped('events_service.py').parent)").strip()
            done = subprocess.run([str(python), "-c", IMPORTS], cwd=shipped, check=True, stdout=subprocess.PIPE, text=True)
            print(f"{'':<10} services import of the libraries that train: {done.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
