"""`musicrec evaluate`: lists in a file against plays in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musicrec.errors import SchemaError, SourceError

if TYPE_CHECKING:
    import pandas as pd


def evaluate(lists: Annotated[Path, typer.Argument(help="Parquet or CSV: user_id, item_id and rank (1 is best) or score.")],
             plays: Annotated[Path, typer.Argument(help="Parquet or CSV of the plays to find: user_id, item_id (or track_id).")],
             seen: Annotated[Path | None, typer.Option(help="Parquet or CSV of earlier plays: what a user has played there does not "
                                                            "count, and only its users are evaluated.")] = None,
             k: Annotated[int, typer.Option("-k", "--k", min=1, help="Length of the lists.")] = 10) -> None:
    """Evaluate lists from any system. Ids may be numbers or text.

    Every user of PLAYS with something left to find counts; one without a list scores 0. Items a user has SEEN are left out of his list.
    Means over users, with the 95 % bootstrap interval.

    \b
    musicrec evaluate lists.parquet later_plays.parquet --seen train.parquet
    """
    from musicrec.evaluation.files import evaluated

    table = evaluated(_table(lists, "rank", "score"), _table(plays), None if seen is None else _table(seen), k)
    print(table.to_string(index=False, float_format="{:.4f}".format))


def _table(path: Path, *one_of: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        found = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist.") from None
    except (OSError, ValueError) as cause:
        raise SourceError(f"{path} cannot be read as {'parquet' if path.suffix == '.parquet' else 'CSV'}: "
                          f"{' '.join(str(cause).split())[:200]}") from None
    found = found.rename(columns={"track_id": "item_id"}) if "item_id" not in found else found
    lacking = [name for name in ("user_id", "item_id") if name not in found]
    if lacking or (one_of and not set(one_of) & set(found)):
        missing = " and ".join(lacking) or " or ".join(one_of)
        raise SchemaError(f"{path} lacks {missing}; it has the columns {', '.join(map(str, found.columns))}.")
    return found
