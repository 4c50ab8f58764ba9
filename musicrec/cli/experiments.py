"""`musicrec experiments`: which ones there are, who is in which variant, and what they show."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from musicrec.cli.events import opened_store
from musicrec.cli.options import Config, loaded
from musicrec.cli.stopping import stoppable
from musicrec.cli.users import User, run_keys, stored_key
from musicrec.errors import SettingsError, SourceError

if TYPE_CHECKING:
    from musicrec.experiments.assignment import Experiment
    from musicrec.settings import Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Experiments: list, assign, report, pause, resume, stop.")

Name = Annotated[str, typer.Argument(help="The experiment.")]


@app.command("list")
def show(config: Config = None) -> None:
    """The experiments of [experiments] file: state, share of users, variants with their weights, start and end."""
    chosen = loaded(config)
    for one in _experiments(chosen):
        bounds = "".join(f", {word} {at:%Y-%m-%d %H:%M}" for word, at in (("from", one.start), ("until", one.end)) if at)
        variants = " ".join(f"{variant.name}:{variant.weight:g}" for variant in one.variants)
        print(f"{one.name}: {one.state(datetime.now(UTC))}, share {one.share:g}, {variants}{bounds}")


@app.command()
def assign(user: User, config: Config = None) -> None:
    """The variant of a user in each experiment, whether it runs or not."""
    chosen = loaded(config)
    key = stored_key(user, run_keys(chosen).user)
    for one in _experiments(chosen):
        variant = one.variant_of(key)
        print(f"{one.name}: {variant.name if variant else 'outside the share'} ({one.state(datetime.now(UTC))})")


@app.command()
def report(name: Name,
           out: Annotated[Path | None, typer.Option(help="JSON file to write, with tables by day, source and position.")] = None,
           picture: Annotated[Path | None, typer.Option(help="Picture of the differences to write: .svg, .png or .pdf.")] = None,
           exports: Annotated[Path | None, typer.Option(help="Folder with impressions.parquet and interactions.parquet, as written by "
                                                             "musicrec events export. [default: the event store]")] = None,
           lists: Annotated[Path | None, typer.Option(help="Parquet file (user_id, item_id) of lists that were not shown; their kept plays "
                                                           "are estimated from impressions with a propensity.")] = None,
           config: Config = None) -> None:
    """What the variants of an experiment brought, and how sure that is: a table, and where asked for JSON and a picture."""
    from musicrec.experiments import analysis, attribution
    from musicrec.files import replaced

    chosen = loaded(config)
    known = {one.name: one for one in _experiments(chosen)}
    if name not in known:
        raise SettingsError(f"{chosen.experiments.file} has no experiment {name!r}; there are {', '.join(known) or 'none'}.")
    if picture and picture.suffix not in (".svg", ".png", ".pdf"):
        raise typer.BadParameter("expected a name that ends in .svg, .png or .pdf", param_hint="--picture")
    with stoppable("nothing was written."):
        shown, told = (_rows(config, form, exports) for form in ("impressions", "interactions"))
        found = attribution.outcomes(name, shown, told, lists and _dataset(lists), chosen.experiments.attribution_hours, known[name].end)
        result = analysis.report(found, {one.name: one.weight for one in known[name].variants}, chosen.evaluation.bootstrap_samples)
    _tell(result)
    if out:
        tables = {key: json.loads(one.to_json(orient="records")) for key, one in result.items() if hasattr(one, "columns")}
        with replaced(out) as partial:
            partial.write_text(json.dumps({"experiment": name} | result | tables, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if picture:
        from musicrec import plots

        drawn: Any = plots.experiment(result["differences"]).figure
        with replaced(picture) as partial:
            drawn.savefig(partial, format=picture.suffix[1:])


@app.command()
def pause(name: Name, config: Config = None) -> None:
    """Assign nobody for the time being. Services that run take it up by themselves."""
    _change(name, config, paused=True)


@app.command()
def resume(name: Name, config: Config = None) -> None:
    """Assign users again after a pause, each to the variant of before."""
    _change(name, config, paused=False)


@app.command()
def stop(name: Name, config: Config = None) -> None:
    """End it now, for good."""
    _change(name, config, end=datetime.now(UTC))


def _experiments(chosen: "Settings") -> "tuple[Experiment, ...]":
    from musicrec.experiments.file import read_experiments

    return read_experiments(chosen.experiments.file, chosen.blending)


def _change(name: str, config: Path | None, **changes: bool | datetime) -> None:
    from musicrec.experiments.file import change

    chosen = loaded(config)
    change(chosen.experiments.file, name, chosen.blending, **changes)
    known = {one.name: one for one in _experiments(chosen)}
    print(f"{name}: {known[name].state(datetime.now(UTC))}")


def _rows(config: Path | None, form: str, exports: Path | None) -> Any:
    """What an export holds, or without one the event store."""
    from musicrec.events.export import FORMS

    if exports:
        return _dataset(exports / f"{form}.parquet")
    with opened_store(config) as store:
        return FORMS[form](store)


def _dataset(path: Path) -> Any:
    from pyarrow import dataset

    try:
        return dataset.dataset(path)
    except (OSError, ValueError) as cause:
        raise SourceError(f"{path} cannot be read as parquet: {' '.join(str(cause).split())[:200]}.") from None


def _tell(result: dict[str, Any]) -> None:
    print(result["variants"].to_string(index=False, float_format="{:.1f}".format))
    print("\nDifference to the control per user, after CUPED: 95 % interval for one look, and sequence for any number of looks")
    print(result["differences"].drop(columns=["difference", "low", "high"]).to_string(index=False, float_format="{:.4f}".format))
    if len(guardrails := result["guardrails"]):
        print("\nGuardrails: mean per user of the answers' milliseconds, and of the shares that failed, lacked a part, or were empty")
        print(guardrails.to_string(index=False, float_format="{:.4f}".format))
        worse = guardrails[(guardrails["p_holm"] < 0.05) & (guardrails["difference"] > 0)]
        print("".join(f"{row.variant} is worse than the control in {row.metric}.\n" for row in worse.itertuples()), end="")
    warning = "; users are not split as the weights say: find out why before you trust anything above"
    print(f"\nSample ratio: p = {result['sample_ratio']['p']:.4g}{warning if result['sample_ratio']['mismatch'] else ''}")
    if found := result.get("off_policy"):
        print("Kept plays per impression of the other lists: {estimate:.4f} [{low:.4f}, {high:.4f}]".format(**found))
