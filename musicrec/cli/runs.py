"""`musicrec runs`: the runs at [artifacts] location; show, compare, check, go back, remove, and clean the cache of services."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from musicrec.cli.options import Config, loaded, published_at

if TYPE_CHECKING:
    from musicrec.registry import Manifest
    from musicrec.storage import Storage

app = typer.Typer(no_args_is_help=True, help="Published runs: list, show, check, compare, roll back, remove.", rich_markup_mode=None)
RunId = Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="Default: the current run.")]
_COLUMNS = ("model", "precision@10", "recall@10", "ndcg@10", "coverage@10", "artist_diversity@10")


@app.command("list")
def list_runs(config: Config = None) -> None:
    """All whole runs, the latest last; * marks the current one."""
    from musicrec import registry

    place = published_at(loaded(config))
    current, whole = registry.current(place).run_id, registry.complete_runs(place)
    for run in whole:
        size, published = sum(file.bytes for file in run.files.values()), run.info.metrics.get("published", "")
        print(f"{'*' if run.run_id == current else ' '} {run.run_id}  {run.created_at}  {published:<16} "
              f"{size / 1e6:,.1f} MB in {len(run.files)} files")
    others = sorted({key.split("/")[1] for key in place.list("runs/")} - {run.run_id for run in whole})
    if others:
        print(f"Not whole, or not ours; prune leaves them alone: {', '.join(others)}")


@app.command()
def show(run_id: RunId = None,
         verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All rows, findings about the logs, files.")] = False,
         config: Config = None) -> None:
    """What was published and why, how good it is, on what it was trained and evaluated."""
    run = _run(published_at(loaded(config)), run_id)
    print(summary(run, rows=None if verbose else 5))
    if verbose:
        print("\nFindings about the logs:")
        rows = [f"  {row['severity']}: {row['finding']}: {row['count']:,}. {row['action']}" for row in run.info.findings]
        print("\n".join(rows) or "  none")
        print("\nFiles:")
        print("\n".join(f"  {name:<40} {file.bytes:>14,} bytes" for name, file in run.files.items()))


@app.command()
def check(run_id: RunId = None, config: Config = None) -> None:
    """Can the place be written, and is every byte of the run what was published?"""
    from musicrec import registry

    place = published_at(loaded(config))
    place.preflight()
    run = _run(place, run_id)
    # A folder of its own, so that nothing is trusted because it was read before.
    with tempfile.TemporaryDirectory() as empty:
        registry.fetch(place, run.run_id, run.files, Path(empty))
    print(f"{place.location} can be written, and the {len(run.files)} files of run {run.run_id} are whole.")


@app.command()
def diff(before: Annotated[str, typer.Argument(help="Id of a run.")],
         after: Annotated[str | None, typer.Argument(metavar="[AFTER]", help="Id of another run. Default: the current run.")] = None,
         k: Annotated[int, typer.Option("-k", "--k", min=1, help="Length of the lists that are compared.")] = 10,
         config: Config = None) -> None:
    """What changed from one run to another: quality, coverage, lists, items, settings."""
    from musicrec.registry.difference import changed_lists, settings_difference, top_lists

    chosen = loaded(config)
    place = published_at(chosen)
    runs = [_run(place, before), _run(place, after)]
    for name in ("published", "trained_until"):
        print(f"{name:<24} {' -> '.join(str(run.info.metrics.get(name, '-')) for run in runs)}")
    for name in ("ndcg@10", "recall@10", "coverage@10"):
        print(f"{name:<24} {' -> '.join(_figure(run, name) for run in runs)}  (warm users of each test set)")
    old, new = (top_lists(place, run, k, chosen.artifacts.cache_folder) for run in runs)
    for name, told in changed_lists(old, new, k).items():
        print(f"{name:<24} {told}")
    changed = settings_difference(runs[0].info.settings, runs[1].info.settings)
    print("Settings that differ:" if changed else "The settings are the same.")
    print("\n".join(f"  {line}" for line in changed))


@app.command()
def rollback(run_id: Annotated[str, typer.Argument(help="Id of the run to go back to.")], config: Config = None) -> None:
    """Make another run the current one."""
    from musicrec import registry

    place = published_at(loaded(config))
    registry.rollback(place, run_id)
    print(f"{run_id} is the current run at {place.location}; services take it up within [service] poll_s seconds.")


@app.command()
def prune(keep: Annotated[int, typer.Option(help="How many of the latest runs stay.")] = 5,
          dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
          config: Config = None) -> None:
    """Remove old runs; the current one stays."""
    from musicrec import registry

    removed = registry.prune(published_at(loaded(config)), keep, dry_run)
    print(f"{'Would remove' if dry_run else 'Removed'} {', '.join(removed) or 'nothing'}.")


@app.command("clean-cache")
def clean_cache(everything: Annotated[bool, typer.Option("--all", help="Also what was used within the last week.")] = False,
                dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
                config: Config = None) -> None:
    """Remove what services made from earlier runs on this machine; what they serve now stays."""
    from musicrec.serving import cache, cache_space
    from musicrec.settings import bytes_of

    section = loaded(config).artifacts
    before = cache_space.size(section.cache_folder)
    gone = cache.clean(section.cache_folder, bytes_of(section.cache_limit), everything, dry_run)
    print("\n".join(f"{'Would remove' if dry_run else 'Removed'} {folder}" for folder in gone) or "There is nothing to remove.")
    print(f"{section.cache_folder} holds {cache_space.size(section.cache_folder) / 1e6:,.1f} MB, before {before / 1e6:,.1f} MB; "
          f"[artifacts] cache_limit is {section.cache_limit}.")


def summary(run: "Manifest", rows: int | None) -> str:
    """What was published and why, and the first `rows` of the comparison (None: all), the published one always among them."""
    metrics = run.info.metrics
    evaluated = metrics.get("evaluated_on", {})
    lines = [f"Run {run.run_id}, published {run.created_at}: {metrics.get('reason', 'nothing is told about it')}",
             f"Trained until {metrics.get('trained_until', '-')}; evaluated on plays of {evaluated.get('users', 0):,} users "
             f"from {evaluated.get('from', '-')} on.", *run.info.account.get("sentences", ()), *_tuned(metrics.get("tuned", []))]
    warm = metrics.get("warm", [])
    shown = [row for place, row in enumerate(warm) if rows is None or place < rows or row["model"] == metrics.get("published")]
    if shown:
        head = "  ".join([f"{_COLUMNS[0]:<18}", *(f"{name:>19}" for name in _COLUMNS[1:])])
        cells = [[f"{row['model']:<18}", *(f"{_value(row, name):>19}" for name in _COLUMNS[1:])] for row in shown]
        lines += ["", head, *map("  ".join, cells)]
        if len(shown) < len(warm):
            lines.append(f"and {len(warm) - len(shown)} more (--verbose)")
    return "\n".join(lines)


def _tuned(found: list[Mapping[str, Any]]) -> list[str]:
    adopted = [f"{one['section'].removeprefix('candidates.')} {one['ndcg_before']:.4f} -> {one['ndcg']:.4f}"
               for one in found if one["adopted"]]
    if not found:
        return []
    gains = f"better settings by ndcg@10 of {found[0]['users']:,} users for {', '.join(adopted)}" if adopted else "no better settings"
    useless = [one["section"].removeprefix("candidates.") for one in found if one.get("left_out")]
    left_out = f" Left out, because not one hit was found: {', '.join(useless)}." if useless else ""
    return [f"Tuned on the folds before: {gains}, of {len(found)} models.{left_out}"]


def _run(place: "Storage", run_id: str | None) -> "Manifest":
    from musicrec import registry

    return registry.current(place) if run_id is None else registry.manifest(place, run_id)


def _value(row: Mapping[str, Any], name: str) -> str:
    value, low, high = row.get(name), row.get(f"{name}_low"), row.get(f"{name}_high")
    if value is None:
        return "-"
    return f"{value:.4f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else "")


def _figure(run: "Manifest", name: str) -> str:
    published = [row for row in run.info.metrics.get("warm", []) if row["model"] == run.info.metrics.get("published")]
    return f"{published[0][name]:.4f}" if published else "-"
