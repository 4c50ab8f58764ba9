"""`musicrec users`: what is stored of a user, and deleting it. Works on the event store of config.ini, also while services run."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from musicrec.cli.options import Config, loaded, published_at
from musicrec.cli.stopping import stoppable
from musicrec.errors import EventStoreError

if TYPE_CHECKING:
    from musicrec.events import EventStore
    from musicrec.keys import KeyTable, RunKeys
    from musicrec.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Users: delete one or readmit one, export what is stored of one, list those who were deleted.",
                  rich_markup_mode=None)
T = TypeVar("T")
User = Annotated[str, typer.Argument(help="The user, by key or id.")]


@app.command()
def delete(key: User, config: Config = None) -> None:
    """Delete what the event store holds of a user, and exclude the user from then on."""
    chosen = loaded(config)
    user = stored_key(key, run_keys(chosen).user)
    with stoppable("the user is excluded; repeat the command to delete the rest."):
        rows = _with_store(chosen, lambda store: store.delete(user))
    print(f"{rows:,} rows of user {key} were deleted; before the next training write the excluded users: "
          "musicrec users excluded --out FILE, for [data] excluded.")


@app.command()
def readmit(key: User, config: Config = None) -> None:
    """Take a deleted user off the list of excluded users: what comes from then on is stored again."""
    chosen = loaded(config)
    user = stored_key(key, run_keys(chosen).user)
    if _with_store(chosen, lambda store: store.readmit(user)):
        print(f"User {key} is no longer excluded; where [data] excluded is set, write the file again: musicrec users excluded --out FILE.")
    else:
        print(f"User {key} was not excluded.")


@app.command()
def export(key: User, out: Annotated[Path | None, typer.Option(help="JSON file to write. [default: the screen]")] = None,
           config: Config = None) -> None:
    """Write what is stored of a user as JSON: feedback, impressions and the personal lists of the current run."""
    from musicrec.events.export import of_user

    chosen = loaded(config)
    keys = run_keys(chosen)
    user = stored_key(key, keys.user)

    async def found(store: "EventStore") -> dict[str, Any]:
        feedback, impressions = of_user(store, user)
        deleted_at = (await store.excluded()).get(user)
        return {"user": user, "deleted_at": deleted_at, "feedback": [row._asdict() for row in feedback],
                "impressions": [row._asdict() for row in impressions]}

    with stoppable("an earlier file is untouched."):
        lists = {name: _personal_list(chosen, keys, key, f"{name}.parquet") for name in ("recommendations", "familiar")}
        content = _with_store(chosen, found) | lists
    _write(json.dumps(content, ensure_ascii=False, indent=1) + "\n", out)


@app.command()
def excluded(out: Annotated[Path | None, typer.Option(help="Text file to write. [default: the screen]")] = None,
             config: Config = None) -> None:
    """Write the keys of deleted users, one a line, for [data] excluded."""
    from musicrec.keys import write_key_lines

    with stoppable("an earlier file is untouched."):
        users = _with_store(loaded(config), lambda store: store.excluded())
    _write(write_key_lines(users), out)


def stored_key(text: str, users: "KeyTable") -> int | str:
    """The user that `text` names, key or id, as the event store knows this user: a number where the keys of the run are, or an unknown one.

    >>> from musicrec.keys import KeyTable
    >>> users = KeyTable().extended(["alice", "bob"])
    >>> [stored_key(text, users) for text in ("0", "bob", "77", "007", "eve")]
    ['alice', 'bob', 77, '007', 'eve']
    """
    key: str = users.canonical([text])[0].as_py()
    is_number = key.isascii() and key.isdecimal() and str(int(key)) == key and int(key) < 2**63
    return int(key) if is_number and (users.is_numeric or users.ids_of([key])[0] < 0) else key


def run_keys(chosen: "Settings") -> "RunKeys":
    """The keys of the current run; none while nothing is published."""
    from musicrec import registry

    return registry.run_keys(published_at(chosen), chosen.artifacts.cache_folder)


def _personal_list(chosen: "Settings", keys: "RunKeys", key: str, name: str) -> list[dict[str, Any]]:
    """The rows of the user in this file of the current run."""
    import pyarrow.parquet as pq

    from musicrec import registry

    place = published_at(chosen)
    user = keys.user.ids_of(keys.user.canonical([key]))[0]
    user = int(key) if user < 0 and key.isascii() and key.isdecimal() else user
    if user < 0 or not place.exists(registry.CURRENT) or name not in (run := registry.current(place)).files:
        return []
    file = registry.fetch(place, run.run_id, [name], chosen.artifacts.cache_folder) / name
    table = pq.read_table(file, filters=[("user_id", "=", int(user))]).drop_columns("user_id")
    rows: list[dict[str, Any]] = table.append_column("item_key", keys.item.keys_of(table["item_id"].to_numpy())).to_pylist()
    return rows


def _with_store(chosen: "Settings", work: "Callable[[EventStore], Awaitable[T]]") -> T:
    import asyncio

    from musicrec.events import configured_store

    if chosen.events.store == "memory":
        raise EventStoreError("[events] store is memory, which only the events service itself sees; send it DELETE /users/KEY.")

    async def steps() -> T:
        store = configured_store(chosen.events)
        try:
            return await work(store)
        finally:
            await store.close()
    return asyncio.run(steps())


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    from musicrec.files import replaced

    with replaced(out, private=True) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"{out} is written.")
