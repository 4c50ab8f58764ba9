"""python -m tests.chaos [--minutes 30]: every attack in turn, and one table of what came of it. Exits with 1 when a promise is broken."""

import argparse
import sys
import tempfile
from pathlib import Path

import pytest

from tests.chaos.attacks import ATTACKS

HEAD = ("attack", "requests", "lost", "wrong", "failed", "recovered in")


def row(attack: str, *values: object) -> str:
    """One line of the table."""
    return f"{attack:<{max(map(len, ATTACKS))}}" + "".join(f"{value!s:>14}" for value in values)


def main() -> int:
    """Run all attacks for equal parts of the time."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    seconds = 60 * parser.parse_args().minutes / len(ATTACKS)
    print(row(*HEAD))
    broken = []
    for name, attack in ATTACKS.items():
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                outcome = attack.run(Path(folder), seconds)
            except pytest.skip.Exception as reason:
                print(row(name), f"skipped: {reason}", flush=True)
                continue
            except AssertionError as cause:
                broken.append(f"{name}: {cause}")
                print(row(name), "did not come to an end", flush=True)
                continue
        print(row(name, f"{outcome.requests:,}", outcome.lost, outcome.wrong, outcome.failed, f"{outcome.recovered_s:.2f} s"), flush=True)
        broken += [f"{name}: {problem}; {'; '.join(outcome.notes)}" for problem in attack.broken(outcome)]
    for sentence in broken:
        print(sentence, file=sys.stderr)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
