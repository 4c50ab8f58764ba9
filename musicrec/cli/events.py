"""`musicrec events`: what the event store of config.ini holds."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from musicrec.cli.options import Config, loaded
from musicrec.cli.stopping import stoppable

if TYPE_CHECKING:
    from musicrec.events import EventStore

app = typer.Typer(no_args_is_help=True, help="Stored feedback and impressions: export, stats.", rich_markup_mode=None)


@app.command()
def export(out: Annotated[Path, typer.Option(help="Parquet file to write; with --new a folder for one.")],
           form: Annotated[Literal["events", "interactions", "impressions"], typer.Option(
               help="events: as the preprocessed table; interactions: as raw logs, for [data] further_plays; impressions.")] = "events",
           new: Annotated[bool, typer.Option("--new", help="Only what no earlier call with --new has written: interactions or impressions, "
                                                           "of a store that is a stream (redis).")] = False,
           config: Config = None) -> None:
    """Write what is stored as a parquet file."""
    from musicrec.errors import EventStoreError
    from musicrec.events import EventStream
    from musicrec.events.export import FORMS, write, write_new

    if new:
        if form == "events":
            raise typer.BadParameter("--new writes the form interactions or impressions; the rows of events are numbered over all of them.")
        with stoppable("what is in the folder is complete."), opened_store(config) as store:
            if not isinstance(store, EventStream):
                raise EventStoreError("--new needs a store that is a stream; set [events] store to redis.")
            print(f"{write_new(store, form, out):,} new rows are in {out}.")
        return
    with stoppable("an earlier file is untouched."), opened_store(config) as store:
        table = FORMS[form](store)
    write(table, out)
    print(f"{table.num_rows:,} rows are in {out}.")


@app.command()
def stats(config: Config = None) -> None:
    """How many plays, other feedback and impressions are stored, of how many users and items, and from when."""
    users, items, types, first, last = set(), set(), Counter[str](), None, None
    with stoppable("nothing was changed."), opened_store(config) as store:
        for user, item, moment, kind, *_ in store.feedback():
            types[kind] += 1
            users.add(user)
            items.add(item)
            first = moment if first is None else min(first, moment)
            last = moment if last is None else max(last, moment)
        shown = sum(1 for _ in store.impressions())
    plays = types.pop("play", 0)
    further = "".join(f", {count:,} {kind}" for kind, count in sorted(types.items()))
    print(f"{plays:,} plays{further} of {len(items):,} items by {len(users):,} users{_span(first, last)}; {shown:,} impressions.")


@contextmanager
def opened_store(config: Path | None) -> Iterator["EventStore"]:
    """The event store of the settings, closed at the end."""
    import asyncio

    from musicrec.events import configured_store

    store = configured_store(loaded(config).events)
    try:
        yield store
    finally:
        asyncio.run(store.close())


def _span(first: int | None, last: int | None) -> str:
    if first is None or last is None:
        return ""
    moments = (datetime.fromtimestamp(moment / 1e6, UTC).isoformat(" ", "seconds") for moment in (first, last))
    return ", from {} to {}".format(*moments)
