"""`musicrec datasets`: logs to start with."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from musicrec.cli.stopping import stoppable
from musicrec.datasets.public import PUBLIC, PublicName
from musicrec.errors import SourceError

app = typer.Typer(no_args_is_help=True, help="Logs to start with: generated ones, and real ones to download.", rich_markup_mode=None)


@app.command("list")
def list_datasets() -> None:
    """What there is, how large it is, who may use it for what, which source reads it, and how to get it."""
    rows = [("name", "size", "licence", "source", "terms"),
            ("sample", "250,000 plays, 3,000 users; generated", "-", "yandex", "-"),
            ("synthetic", "up to 222.6M plays, 1.37M users; generated", "-", "yandex", "-"),
            ("simulated", "about 55,000 plays of 2,000 simulated users with played shares", "-", "botify", "-"),
            *((name, logs.size, logs.licence, logs.source, logs.terms) for name, logs in PUBLIC.items())]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print()
    for name, logs in PUBLIC.items():
        print(f"{name}: {logs.note}")
    print("\nmusicrec datasets make NAME writes the generated ones, musicrec datasets download NAME fetches the others.")


@app.command()
def download(name: Annotated[PublicName, typer.Argument(help="Which logs.")] = "yandex",
             out: Annotated[Path | None, typer.Option(help="Folder for the files. [default: data/NAME]")] = None,
             address: Annotated[str | None, typer.Option(help="Where the files lie, if not at their usual address.")] = None) -> None:
    """Download real logs; a later call goes on where an earlier one stopped. Checksums are verified where they are published."""
    from musicrec.datasets.download import fetch

    logs, folder = PUBLIC[name], out or Path("data") / name
    if not logs.files:
        raise SourceError(f"{name} ({logs.terms}) is {logs.note.removesuffix('.')}.")
    print(f"Licence: {logs.licence}; terms: {logs.terms}")
    files = [replace(file, url=f"{address.rstrip('/')}/{file.name}") for file in logs.files] if address else logs.files
    with stoppable("the same command goes on from here."):
        found = fetch(folder, files)
    print(f"{len(found)} files are complete in {folder}; source {logs.source} reads them.")


@app.command()
def make(name: Annotated[Literal["sample", "synthetic", "simulated"], typer.Argument(help="Which logs.")] = "sample",
         out: Annotated[Path | None, typer.Option(help="Folder for the files. [default: data/NAME]")] = None,
         seed: Annotated[int, typer.Option(help="Another seed makes another world.")] = 0,
         scale: Annotated[float, typer.Option(min=0.001, max=1, help="synthetic: share of the full size.")] = 0.01,
         order: Annotated[Literal["id", "taste"], typer.Option(
             help="synthetic: dates follow track ids, as in the yandex logs, or sessions and drifting taste.")] = "id") -> None:
    """Generate logs. No person listened to them, and every file says so."""
    from musicrec.datasets import sample, synthetic
    from musicrec.simulation import World, write_logs

    folder = out or Path("data") / name
    with stoppable("earlier files are untouched."):
        if name == "sample":
            new = sample.write(folder, seed)
            print(f"{'Wrote generated sample logs to' if new else 'Generated sample logs are there already:'} {folder}")
        elif name == "simulated":
            print(f"Wrote {write_logs(World(seed), folder):,} plays of simulated users to {folder}; train on them with --source botify.")
        else:
            print(f"Wrote {synthetic.write(folder, scale, seed, order):,} generated plays to {folder}")
