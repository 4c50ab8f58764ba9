"""The file of experiments: TOML, one table an experiment, checked so that every mistake is one sentence."""

import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from musicrec.errors import SettingsError
from musicrec.experiments.assignment import Experiment, Variant
from musicrec.files import replaced
from musicrec.settings.sections import BlendingSettings, Share

# What a variant may change: settings of [blending] that hold for one answer.
VARIED = ("first", "method", "mode", "familiar_share", "recent_items", "decay", "skip_minutes", "max_per_artist", "artist_decay",
          "exploration")
# Short, because exposures carry the names of all experiments of a user and their variants.
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,24}$")]
_Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC))]


class _VariantTable(BaseModel):
    model_config = ConfigDict(extra="allow")
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    run: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = ""


class _ExperimentTable(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: _Name
    variants: Annotated[dict[_Name, _VariantTable], Field(min_length=2)]
    share: Share = 1.0
    salt: str = ""
    start: _Moment | None = None
    end: _Moment | None = None
    paused: bool = False


def read_experiments(path: Path, blending: BlendingSettings) -> tuple[Experiment, ...]:
    """The experiments of a file, in its order; none without a file. Raises SettingsError: one sentence with file, experiment and key."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as cause:
        raise SettingsError(f"{path} cannot be read as TOML: {cause}.") from None
    found = tuple(_experiment(f"{path}: experiment {name!r}", name, table, blending) for name, table in tables.items())
    for one, other in combinations(found, 2):
        both = one.changes & other.changes
        apart = any(first.end and second.start and first.end <= second.start for first, second in ((one, other), (other, one)))
        if both and not apart:
            raise SettingsError(f"{path}: experiment {other.name!r}, key {min(both)!r}: {one.name!r} changes it at the same time.")
    return found


def change(path: Path, name: str, blending: BlendingSettings, **changes: bool | datetime) -> None:
    """Write `paused` or `end` of an experiment into its file, which services watch; comments and all else stay as they are.

    Raises SettingsError where the file has no such experiment, is written so that a line cannot be put in, or would then be wrong.
    """
    found, text = read_experiments(path, blending), path.read_text(encoding="utf-8") if path.exists() else ""
    if name not in [one.name for one in found]:
        raise SettingsError(f"{path} has no experiment {name!r}; there are {', '.join(one.name for one in found) or 'none'}.")
    for key, value in changes.items():
        text = _with_line(text, name, key, value.isoformat() if isinstance(value, datetime) else str(value).lower())
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")
        partial.chmod(path.stat().st_mode)
        if read_experiments(partial, blending) != tuple(replace(one, **changes) if one.name == name else one for one in found):  # type: ignore[arg-type]
            raise SettingsError(f"{path}: experiment {name!r} has no line [{name}], so nothing was changed; do it with an editor.")


def _with_line(text: str, name: str, key: str, value: str) -> str:
    """The text with this line in the table `name`, in place of an earlier one of the key; as it is where it has no such table."""
    table = re.search(rf"""^[ \t]*\[[ \t]*(["']?){re.escape(name)}\1[ \t]*\].*$((?:\n(?![ \t]*\[).*)*)""", text, re.MULTILINE)
    if table is None:
        return text
    body, found = re.subn(rf"^[ \t]*{key}[ \t]*=.*$", f"{key} = {value}", table[2], count=1, flags=re.MULTILINE)
    return text[:table.start(2)] + ("" if found else f"\n{key} = {value}") + body + text[table.end():]


def _experiment(where: str, name: str, table: Any, blending: BlendingSettings) -> Experiment:
    variants, at = [], ""
    try:
        checked = _ExperimentTable.model_validate({"name": name, **table} if isinstance(table, dict) else table)
        for variant, given in checked.variants.items():
            at, changed = f"variants.{variant}.", given.model_extra or {}
            if unknown := sorted(changed.keys() - set(VARIED)):
                raise SettingsError(f"{where}, key '{at}{unknown[0]}': unknown; known are weight, run, {', '.join(VARIED)}.")
            taken = BlendingSettings.model_validate(blending.model_dump() | changed)
            variants.append(Variant(variant, given.weight, {key: getattr(taken, key) for key in changed}, given.run))
    except ValidationError as cause:
        first = cause.errors()[0]
        key = at + ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise SettingsError(f"{where}, key {key!r}, value {str(first['input'])[:80]!r}: {first['msg']}.") from None
    if checked.start and checked.end and checked.start >= checked.end:
        raise SettingsError(f"{where}, key 'end': it is not after start.")
    return Experiment(name, tuple(variants), checked.share, checked.salt, checked.start, checked.end, checked.paused)
