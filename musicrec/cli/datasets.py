"""`musicrec datasets`: logs to start with."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from musicrec.cli.stopping import stoppable

app = typer.Typer(no_args_is_help=True, help="Logs to start with: generated ones, and real ones to download.", rich_markup_mode=None)
_KNOWN = {
    "sample": ("make", "3,000 users, 4,000 tracks, 250,000 plays; generated; small enough for a few minutes"),
    "synthetic": ("make", "any size up to 1.37M users, 1M tracks, 222.6M plays; generated to the figures of the yandex logs"),
    "yandex": ("download", "1.37M users, 1M tracks, 222.6M plays; real; 1.3 GB"),
}


@app.command("list")
def list_datasets() -> None:
    """What there is and how to get it."""
    for name, (how, what) in _KNOWN.items():
        print(f"{name:<10} {what}\n{'':<10} musicrec datasets {how} {name}")


@app.command()
def download(name: Annotated[Literal["yandex"], typer.Argument(help="Which logs.")] = "yandex",
             out: Annotated[Path | None, typer.Option(help="Folder for the files. [default: data/NAME]")] = None,
             address: Annotated[str | None, typer.Option(help="Where the files lie, if not at their usual address.")] = None) -> None:
    """Download real logs; a later call goes on where an earlier one stopped."""
    from musicrec.datasets.download import ADDRESS, fetch

    folder = out or Path("data") / name
    with stoppable("the same command goes on from here."):
        files = fetch(folder, address or ADDRESS)
    print(f"{len(files)} files, sizes verified, are in {folder}.")


@app.command()
def make(name: Annotated[Literal["sample", "synthetic"], typer.Argument(help="Which logs.")] = "sample",
         out: Annotated[Path | None, typer.Option(help="Folder for the three files. [default: data/NAME]")] = None,
         seed: Annotated[int, typer.Option(help="Another seed makes another world.")] = 0,
         scale: Annotated[float, typer.Option(min=0.001, max=1, help="synthetic: share of the full size.")] = 0.01,
         order: Annotated[Literal["id", "taste"], typer.Option(
             help="synthetic: dates follow track ids, as in the yandex logs, or sessions and drifting taste.")] = "id") -> None:
    """Generate logs. No person listened to them, and every file says so."""
    from musicrec.datasets import sample, synthetic

    folder = out or Path("data") / name
    with stoppable("earlier files are untouched."):
        if name == "sample":
            new = sample.write(folder, seed)
            print(f"{'Wrote generated sample logs to' if new else 'Generated sample logs are there already:'} {folder}")
        else:
            print(f"Wrote {synthetic.write(folder, scale, seed, order):,} generated plays to {folder}")
