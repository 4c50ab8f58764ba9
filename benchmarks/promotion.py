"""The regret of promotion policies: what the published list loses against the best list of the test set, over many splits of real data.

    python -m benchmarks.promotion --data DIR --work DIR [--only NAME ...]

DIR of --data holds `lastfm_artists` and `playlists` in the form of source yandex. Each split is run through the pipeline as far as the
evaluation on its test set; per-user results are kept in DIR of --work, so that policies can be compared again within seconds.
Splits: several cutoffs, halves of the users at some of them, and logs whose dates are drawn at random. Models are tuned once for each
log, on the folds before one cutoff; where dates are drawn at random they have the settings of config.ini.

Two figures of regret: "regret" is what a list loses against the best list of the test set. The best of a dozen means over some hundred
users owes a part of its lead to chance, so that even the right choice shows some. "beyond chance" therefore names the best list on one
half of the test users and measures it on the other half, over many halvings: 0 and below mean that the test set itself knows no better
choice. The policies are also compared on the splits with at least LARGE test users alone.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from musicrec import pipeline, settings
from musicrec.evaluation import by_user
from musicrec.evaluation.promotion import LEAN, is_close
from musicrec.evaluation.significance import holm, sign_flip_p
from musicrec.pipeline.self_tuning import with_found
from musicrec.tuning import Found

METRIC = "ndcg@10"
TWO_STAGE = ("ranked", "blended", "rrf")
FILES = {"lastfm_artists": "interactions.parquet", "playlists": "interactions_additions_only.parquet"}
CUTOFFS = {"lastfm_artists": ("2009-04-01", "2009-09-01", "2010-01-01", "2010-06-01", "2010-10-01"),
           "playlists": ("2020-06-01", "2020-10-01", "2021-01-01", "2021-03-07")}
HALVED = {"lastfm_artists": ("2009-09-01", "2010-01-01", "2010-06-01"), "playlists": ("2021-01-01",)}
TUNED_BEFORE = {"lastfm_artists": "2010-06-01", "playlists": "2021-03-07"}
LARGE = 200
Table = Mapping[str, pd.Series]


@dataclass(frozen=True)
class Split:
    """A log and where it is cut; "" leaves the cutoff to the pipeline."""

    name: str
    data: str
    cutoff: str
    change: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
    seed: int = 0


def whole(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The log as it is."""
    return rows


def half_of_users(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The rows of half of the users."""
    users = rows["user_id"].unique()
    return rows[rows["user_id"].isin(rng.choice(users, len(users) // 2, replace=False))]


def random_dates(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The same plays in an order drawn at random, dated evenly over a year."""
    days = pd.to_timedelta(rng.integers(0, 365, len(rows)), unit="D")
    return rows.assign(started_at=pd.Timestamp("2022-01-01") + days)


def splits() -> Iterator[Split]:
    """All splits: at least twenty have at least LARGE test users."""
    for data, cutoffs in CUTOFFS.items():
        yield from (Split(f"{data} {cutoff}", data, cutoff, whole) for cutoff in cutoffs)
        yield Split(f"{data} latest 6 %", data, "", whole)
        yield from (Split(f"{data} {cutoff} half {seed}", data, cutoff, half_of_users, seed)
                    for cutoff in HALVED[data] for seed in range(2))
        yield from (Split(f"{data} random dates {seed}", data, "", random_dates, seed) for seed in range(4))


def results(split: Split, data: Path, work: Path) -> tuple[Table, Table]:
    """The metric of every list by user, in the backtest and on the test set; from --work where it was computed before."""
    files = [work / f"{split.name} {part}.parquet".replace(" ", "_").replace("%", "percent") for part in ("backtest", "test")]
    if not all(file.exists() for file in files):
        for table, file in zip(_run(split, data / split.data, work), files):
            table.to_parquet(file)
    backtest, test = (pd.read_parquet(file) for file in files)
    return {name: backtest[name] for name in backtest}, {name: test[name] for name in test}


def _run(split: Split, folder: Path, work: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    logs = work / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    rows = split.change(pq.read_table(folder / FILES[split.data]).to_pandas(), np.random.default_rng(split.seed))
    rows = rows.sort_values(["user_id", "started_at", "track_id"], ignore_index=True)
    rows["track_seq"] = (rows.groupby("user_id").cumcount() + 1).astype("int16")
    schema = pq.read_schema(folder / FILES[split.data])
    pq.write_table(pa.Table.from_pandas(rows[schema.names], schema, preserve_index=False), logs / "interactions.parquet")
    found = [] if split.change is random_dates else _tuned(split.data, folder, work)
    on, plan, tables = _prepared(folder, logs, work, split.cutoff)
    on = dataclasses.replace(on, settings=with_found(on.settings, found))
    result = pipeline.backtested(on, tables, plan)
    train, test = tables.dataset.split(plan.cutoff)
    made = pipeline.fitted(on, pipeline.learned(on, result), train, result.warm_starts)
    found = by_user(result.evaluators, "warm"), by_user([pipeline.evaluated(on, made, test)], "warm")
    backtest, tested = (pd.DataFrame({name: one.set_index("user_id")[METRIC] for name, one in of_list.items()}) for of_list in found)
    return backtest, tested


def _prepared(folder: Path, logs: Path, work: Path, cutoff: str) -> tuple[pipeline.Workspace, pipeline.Plan, pipeline.Tables]:
    environment = {"MUSICREC_DATA_TRACKS": str((folder / "tracks.parquet").resolve()),
                   "MUSICREC_DATA_CATALOG_NAMES": str((folder / "catalog_names.parquet").resolve()),
                   "MUSICREC_DATA_FOLDER": str(logs.resolve()), "MUSICREC_DATA_WORK_FOLDER": str(work / "made"),
                   "MUSICREC_SPLIT_TEST_START": cutoff}
    on = pipeline.workspace(settings.load(environ=environment))
    raw = pipeline.raw_tables(on)
    return on, pipeline.plan(on, raw.interactions), pipeline.preprocessed_tables(on, raw)


def _tuned(data: str, folder: Path, work: Path) -> list[Found]:
    kept = work / f"{data} tuned.json".replace(" ", "_")
    if not kept.exists():
        logs = work / "whole"
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "interactions.parquet").write_bytes((folder / FILES[data]).read_bytes())
        on, plan, tables = _prepared(folder, logs, work, TUNED_BEFORE[data])
        kept.write_text(json.dumps([dataclasses.asdict(one) for one in pipeline.tuned(on, tables, plan)[1]]))
    return [Found(**one) for one in json.loads(kept.read_text())]


def contenders(backtest: Table) -> list[str]:
    """The three orders and the best single model of the backtest, the most elaborate first."""
    singles = [name for name in backtest if name not in TWO_STAGE]
    return [*(name for name in TWO_STAGE if name in backtest), max(singles, key=lambda name: backtest[name].mean())]


def best_mean(backtest: Table) -> str:
    """The best mean, the plainest of equal ones."""
    return max(reversed(contenders(backtest)), key=lambda name: backtest[name].mean())


def leaning(errors: float) -> Callable[[Table], str]:
    """The best mean, but ranked where it is at most so many standard errors of the difference below; what is shipped, with LEAN of them."""
    def chosen(backtest: Table) -> str:
        best = best_mean(backtest)
        close = "ranked" in backtest and is_close(backtest["ranked"].to_numpy(), backtest[best].to_numpy(), errors)
        return "ranked" if close else best

    return chosen


def significant(backtest: Table, alpha: float = 0.05) -> str:
    """A rule of proof: ranked only where it beats every plainer list at the 0.05 level; else the better of blended and the best single."""
    names = contenders(backtest)
    p = holm([sign_flip_p((backtest[names[0]] - backtest[name]).to_numpy()) for name in names[1:]])
    if all(backtest[names[0]].mean() > backtest[name].mean() and q < alpha for name, q in zip(names[1:], p)):
        return names[0]
    return max((names[-1], "blended"), key=lambda name: backtest[name].mean() if name in backtest else 0.0)


def always(name: str) -> Callable[[Table], str]:
    """The same list whatever the backtest shows."""
    return lambda backtest: name if name in backtest else "rrf"


def handicapped(margin: float) -> Callable[[Table], str]:
    """The best mean, where each step away from the plainest list has to bring `margin` more, relative."""
    def chosen(backtest: Table) -> str:
        names = contenders(backtest)
        return max(names, key=lambda name: backtest[name].mean() * (1 - margin * (len(names) - 1 - names.index(name))))

    return chosen


def one_sided(margin: float) -> Callable[[Table], str]:
    """The most elaborate list of which the lower end of the 80 % interval of its gain on the best single is above -margin, relative."""
    def chosen(backtest: Table) -> str:
        names = contenders(backtest)
        plain = backtest[names[-1]]
        for name in names[:-1]:
            gain = backtest[name] - plain
            if gain.mean() - 0.84 * gain.std() / np.sqrt(len(gain)) > -margin * plain.mean() and gain.mean() > 0:
                return name
        return names[-1]

    return chosen


POLICIES: dict[str, Callable[[Table], str]] = {
    **{f"ranked within {errors:g} errors": leaning(errors) for errors in (0.5, 1.0, 1.5, 2.0)}, "best mean": best_mean,
    "proof at 0.05": significant, "always ranked": always("ranked"), "always blended": always("blended"), "always rrf": always("rrf"),
    "handicap 1 %": handicapped(0.01), "handicap 3 %": handicapped(0.03), "one-sided 2 %": one_sided(0.02),
    "best single": lambda backtest: contenders(backtest)[-1],
}


def regret(test: Table, name: str) -> float:
    """What a list loses against the best list of the test set, relative to the best."""
    best = max(float(values.mean()) for values in test.values())
    return (best - float(test[name].mean())) / best if best else 0.0


def regret_beyond_chance(test: Table, name: str, halvings: int = 400) -> float:
    """What a list loses on one half of the test users against the best list of the other half; relative, mean of many halvings."""
    values, place = pd.DataFrame(dict(test)).to_numpy(), list(test).index(name)
    rng, losses = np.random.default_rng(0), []
    for _ in range(halvings):
        half = rng.permutation(len(values)) < len(values) // 2
        best = int(values[half].mean(axis=0).argmax())
        losses.append(values[~half, best].mean() - values[~half, place].mean())
    top = values.mean(axis=0).max()
    return float(np.mean(losses) / top) if top else 0.0


def main() -> None:
    """Run what is missing, then print one row a split and one a policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+")
    asked = parser.parse_args()
    rows, losses, sure = [], [], []
    for split in splits():
        if asked.only and split.name not in asked.only:
            continue
        backtest, test = results(split, asked.data, asked.work)
        best = max(test, key=lambda name: test[name].mean())
        published = leaning(LEAN)(backtest)
        rows.append({"split": split.name, "backtest users": len(backtest["rrf"]), "test users": len(test["rrf"]), "best": best,
                     "published": published, "ndcg": test[published].mean(), "popular": test["popular"].mean(),
                     "regret": regret(test, published), "beyond chance": regret_beyond_chance(test, published)})
        losses.append({name: regret(test, policy(backtest)) for name, policy in POLICIES.items()})
        sure.append({name: regret_beyond_chance(test, policy(backtest)) for name, policy in POLICIES.items()})
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1, float_format="{:.4f}".format), flush=True)
    large = np.array([row["test users"] >= LARGE for row in rows])
    for label, chosen in (("all", np.ones(len(rows), bool)), (f"at least {LARGE} test users", large)):
        naive, crossed = pd.DataFrame(losses)[chosen], pd.DataFrame(sure)[chosen]
        table = pd.DataFrame({"mean regret": naive.mean(), "worst": naive.max(), "mean beyond chance": crossed.mean(),
                              "worst beyond chance": crossed.max()})
        print(f"{label}: {len(naive)} splits")
        print(table.sort_values("mean regret").to_string(float_format="{:.2%}".format))


if __name__ == "__main__":
    main()
