"""The import of a CSV with text keys, beside DuckDB's own reading of the same file: lines a second, seconds of a core, peak memory.

    python -m benchmarks.imports [--lines 100000000] [--folder DIR]

Users and tracks have keys of 20 to 40 characters, as many as the full logs have (1.37 million and 1 million, fewer for fewer lines). DuckDB
reads every value of every row, which neither numbers keys nor checks, sorts or accounts for anything. Each runs in a child.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.children import machine, measured

_MAKE = """copy (select 'user-' || md5(u::varchar)
        as "user", 'spotify:track:' || substr(md5(t::varchar), 1, 22) as track,
        strftime(timestamp '2022-01-01' + to_seconds(s), '%Y-%m-%d %H:%M:%S') as timestamp
    from (select (random() ** 2 * {users})::bigint as u, (random() ** 3 * {tracks})::bigint as t, (random() * 31536000)::bigint as s
        from range({lines}))) to '{path}' (header true)"""


def main() -> None:
    """Make the file once, then measure both readers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--reader", choices=["musicrec", "duckdb"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    if options.reader:
        read(options.reader, folder)
        return
    path = folder / "logs" / "plays.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        share = min(1.0, options.lines / 100_000_000)
        duckdb.sql(_MAKE.format(users=int(1_370_000 * share), tracks=int(1_000_000 * share), lines=options.lines, path=path))
    print(machine())
    print(f"{options.lines:,} lines, {path.stat().st_size / 1e9:.2f} GB")
    for reader in ("duckdb", "musicrec"):
        spent = measured("benchmarks.imports", "--reader", reader, "--folder", str(folder))
        print(f"{reader:10} {spent.seconds:8.1f} s  {spent.core_seconds:8.1f} s of a core  {options.lines / spent.seconds:12,.0f} lines/s  "
              f"{spent.peak_gb:6.2f} GB", flush=True)


def read(reader: str, folder: Path) -> None:
    """Read the file with one of the readers."""
    if reader == "duckdb":
        columns = "{'user': 'varchar', 'track': 'varchar', 'timestamp': 'timestamp'}"
        duckdb.execute("set memory_limit = '1GB'; set threads = 2")
        print(duckdb.sql(f"""select count(*), max(length("user")), max(length(track)), max(timestamp)
            from read_csv('{folder}/logs/plays.csv', columns = {columns})""").fetchone(), file=sys.stderr)
        return
    import ibis

    from musicrec.sources.columns import Columns

    found = Columns(folder=folder / "logs", work=folder / "work").read(ibis.duckdb.connect())
    print(" ".join(found.account.sentences()), file=sys.stderr)


if __name__ == "__main__":
    main()
