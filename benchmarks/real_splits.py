"""Splits of real logs for comparisons of models, and the table of a comparison over them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.user_knn import split_catalog
from musicrec import pipeline, settings
from musicrec.dataset import Dataset, Interactions, Timeline, TrainSet, random_holdout, second
from musicrec.evaluation import Evaluator
from musicrec.lists import Lists

METRIC, SAMPLES = "ndcg@10", 2000
Rows, Float64 = pd.DataFrame, NDArray[np.float64]


@dataclass(frozen=True)
class Log:
    """A log, how it is changed, and where it is cut: dates, and seeds of random hold-outs."""

    folder: str
    file: str = "interactions.parquet"
    change: Callable[[Rows], Rows] = lambda rows: rows
    cutoffs: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    source: str = "yandex"


@dataclass(frozen=True)
class Case:
    """One split of a log."""

    log: str
    split: str
    train: TrainSet
    test: Interactions


def counted(rows: Rows) -> Rows:
    """Play counts without dates as plays of one day."""
    return rows[["user_id", "track_id"]].assign(track_seq=1, started_at=pd.Timestamp("2011-01-01"))


def short(rows: Rows, most: int = 14) -> Rows:
    """At most so many plays of each user, drawn at random."""
    return rows.sample(frac=1, random_state=0).groupby("user_id").head(most)


def long(rows: Rows, least: int = 200) -> Rows:
    """The users with at least so many plays."""
    return rows[rows.groupby("user_id")["track_id"].transform("size") >= least]


def undated(rows: Rows) -> Rows:
    """The same plays with dates drawn at random within a year."""
    days = np.random.default_rng(0).integers(0, 365, len(rows))
    return rows.assign(started_at=pd.Timestamp("2022-01-01") + pd.to_timedelta(days, unit="D"))


ADDITIONS = "interactions_additions_only.parquet"
LOGS = {
    "artists": Log("lastfm_artists", cutoffs=("2009-04-01", "2009-09-01", "2010-01-01", "2010-06-01")),
    "artists, random": Log("lastfm_artists", seeds=(0, 1)),
    "artists, short": Log("lastfm_artists", change=short, seeds=(0, 1)),
    "listened": Log("lastfm_artists", "play_counts.parquet", counted, seeds=(0, 1)),
    "playlists": Log("playlists", ADDITIONS, cutoffs=("2020-06-01", "2020-10-01", "2021-01-01", "2021-03-07")),
    "playlists, random": Log("playlists", ADDITIONS, seeds=(0, 1)),
    "playlists, long": Log("playlists", ADDITIONS, long, seeds=(0, 1)),
    "artists, undated": Log("lastfm_artists", change=undated, cutoffs=("0.8",)),
    "listened, undated": Log("lastfm_artists", "play_counts.parquet", lambda rows: undated(counted(rows)), cutoffs=("0.8",)),
    "playlists, undated": Log("playlists", ADDITIONS, undated, cutoffs=("0.8",)),
    "playback": Log("playback", source="botify", cutoffs=("0.7", "0.85")),
}


def dataset(name: str, data: Path, work: Path) -> Dataset:
    """The preprocessed log, from --work where it is there already."""
    log, folder = LOGS[name], (work / name.replace(", ", "_")).resolve()
    if not (folder / "events.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        environment = {"MUSICREC_DATA_WORK_FOLDER": str(folder), "MUSICREC_DATA_SOURCE": log.source,
                       "MUSICREC_DATA_FOLDER": str((data / log.folder).resolve()), "MUSICREC_ARTIFACTS_LOCATION": str(folder / "none")}
        if log.source == "yandex":
            rows = log.change(pq.read_table(data / log.folder / log.file).to_pandas())
            rows = rows.sort_values(["user_id", "started_at", "track_id"], ignore_index=True)
            rows["track_seq"] = (rows.groupby("user_id").cumcount() + 1).astype("int16")
            columns = {"user_id": "int32", "track_id": "int32", "track_seq": "int16", "started_at": "datetime64[us]"}
            pq.write_table(pa.Table.from_pandas(rows[list(columns)].astype(columns), preserve_index=False), folder / "plays.parquet")
            environment |= {"MUSICREC_DATA_TRACKS": str((data / log.folder / "tracks.parquet").resolve()), "MUSICREC_DATA_CATALOG_NAMES":
                            str((data / log.folder / "catalog_names.parquet").resolve()), "MUSICREC_DATA_INTERACTIONS": "plays.parquet",
                            "MUSICREC_DATA_FOLDER": str(folder)}
        on = pipeline.workspace(settings.load(environ=environment))
        pipeline.preprocessed_tables(on, pipeline.raw_tables(on))
    return Dataset(folder / "events.parquet", split_catalog(folder))


def cases(names: list[str], data: Path, work: Path) -> Iterator[Case]:
    """All splits of these logs."""
    for name in names:
        whole, log = dataset(name, data, work), LOGS[name]
        for cutoff in log.cutoffs:
            yield Case(name, cutoff, *whole.split(moment_of(whole, cutoff)))
        for seed in log.seeds:
            yield Case(name, f"seed {seed}", *random_holdout(whole.train_set(), 0.2, seed))


def moment_of(whole: Dataset, cutoff: str) -> int:
    """The time of a cutoff: a date, or the share of plays before it."""
    if "-" in cutoff:
        return second(datetime.fromisoformat(cutoff))
    times = np.sort(pq.read_table(whole.events, columns=["started_at"])["started_at"].to_numpy().astype("datetime64[s]"))
    return second(times[int(float(cutoff) * len(times))].astype(datetime))


def found(case: Case, fitted: Any) -> "pd.Series[float]":
    """NDCG@10 of the warm users by their ids."""
    evaluator = Evaluator(case.train, case.test, (10,))
    evaluator.add("it", Lists(evaluator.user_ids, *fitted.recommend(evaluator.train_rows, 10)))
    warm = evaluator.members("warm")
    return pd.Series(evaluator.relevance("it")[METRIC][warm], evaluator.user_ids[warm])


Results = dict[str, dict[tuple[str, str], "pd.Series[float]"]]


def table(results: Results, chosen: Callable[[tuple[str, str]], bool] = lambda _: True) -> str:
    """A row an idea: the mean of each log and the difference to the first row, then that over all logs."""
    first, lines, rng = next(iter(results)), list[str](), np.random.default_rng(0)
    logs = dict.fromkeys(log for log, split in results[first] if chosen((log, split)))
    width = max(map(len, results))
    for name, of_case in results.items():
        parts, means, draws = list[str](), list[float](), list[Float64]()
        for log in logs:
            keys = [key for key in of_case if key[0] == log and chosen(key)]
            both = pd.DataFrame({"base": pd.concat([results[first][key] for key in keys], keys=range(len(keys))),
                                 "own": pd.concat([of_case[key] for key in keys], keys=range(len(keys)))})
            # Sums and counts by user: a mean over splits weighs all evaluated (user, split) pairs alike.
            sums = both.groupby(level=1).agg(["sum", "count"])
            base, own = sums[("base", "sum")].to_numpy(), sums[("own", "sum")].to_numpy()
            counts = sums[("base", "count")].to_numpy()
            means.append(own.sum() / base.sum() - 1)
            picks = rng.integers(0, len(base), (SAMPLES, len(base)))
            gain = own[picks].sum(axis=1) / np.maximum(base[picks].sum(axis=1), 1e-9) - 1
            draws.append(gain)
            low, high = np.quantile(gain, [0.025, 0.975])
            parts.append(f"{own.sum() / counts.sum():.4f} {means[-1]:+6.1%} [{low:+.1%}, {high:+.1%}]")
        weights = 1 / np.maximum([gain.var() for gain in draws], 1e-12)
        low, high = np.quantile(weights @ np.array(draws) / weights.sum(), [0.025, 0.975])
        parts.append(f"{weights @ means / weights.sum():+.1%} [{low:+.1%}, {high:+.1%}]")
        lines.append("  ".join([f"{name:<{width}}", *(f"{part:<33}" for part in parts)]).rstrip())
    return "\n".join(["  ".join([" " * width, *(f"{log:<33}" for log in logs), "all"]), *lines])


def days_of(whole: Dataset) -> Timeline:
    """The plays of each day."""
    times = pq.read_table(whole.events, columns=["started_at"])["started_at"].to_numpy().astype("datetime64[D]")
    days, plays = np.unique(times, return_counts=True)
    return Timeline(np.array([second(day.astype(datetime)) for day in days.astype("datetime64[s]")]), plays)
