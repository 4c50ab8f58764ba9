"""The README's results table from a published run: `python docs/tools/results_table.py MANIFEST [README]`.

MANIFEST is manifest.json of a run, or a folder of artifacts, whose current run is taken. Without README the table is printed; with
it, the text between the two marker lines of README is replaced.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musicrec.errors import ArtifactError

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
COLUMNS = ("model", "precision@10", "recall@10", "ndcg@10", "map@10", "hit_rate@10", "recall@100", "coverage@10",
           "artist_diversity@10")


def markdown(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = COLUMNS) -> str:
    """A markdown table of `rows` (comparison(...).to_dict("records")), numbers with four decimals and their interval where there is one.

    >>> print(markdown([{"model": "als", "ndcg@10": 0.1, "ndcg@10_low": 0.08, "ndcg@10_high": 0.12}], ("model", "ndcg@10")))
    | model | ndcg@10 |
    | --- | --- |
    | als | 0.1000 [0.0800, 0.1200] |
    """
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(row, column) for column in columns) + " |" for row in rows)])


def _cell(row: Mapping[str, object], column: str) -> str:
    value = row.get(column)
    known = value is not None and value == value  # NaN is not equal to itself
    text = "-" if not known else f"{value:.4f}" if isinstance(value, float) else str(value)
    low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
    return f"{text} [{low:.4f}, {high:.4f}]" if isinstance(low, float) and isinstance(high, float) else text


def section(manifest: Mapping[str, Any]) -> str:
    """The table of a manifest over the evaluated warm users, and the sentence that says what was published and why."""
    metrics = manifest["info"]["metrics"]
    users = max((row["users"] for row in metrics["warm"]), default=0)
    return f"Evaluated on {users:,} users who had played before the cutoff; {metrics['reason']}\n\n{markdown(metrics['warm'])}"


def with_table(text: str, table: str) -> str:
    """`text` with `table` between BEGIN and END. Raises ArtifactError without the two marker lines."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ArtifactError(f"the file has no lines {BEGIN!r} and {END!r}; put them where the table belongs.")
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def _manifest(path: Path) -> Any:
    if path.is_dir():
        run_id = json.loads((path / "current.json").read_text(encoding="utf-8"))["run_id"]
        path = path / "runs" / run_id / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8"))


def main(arguments: Sequence[str]) -> int:
    """Print or insert the table; 0, or 1 after one sentence on stderr."""
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        table = section(_manifest(Path(arguments[0])))
        if len(arguments) == 1:
            print(table)
        else:
            readme = Path(arguments[1])
            readme.write_text(with_table(readme.read_text(encoding="utf-8"), table), encoding="utf-8")
    except (OSError, ArtifactError, ValueError) as cause:
        print(f"No table from {arguments[0]}: {cause}", file=sys.stderr)
        return 1
    except (KeyError, TypeError):
        print(f"No table from {arguments[0]}: it is not the manifest.json of a published run.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
