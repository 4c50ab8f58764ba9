"""Ideas for better models, each against what is shipped, over many splits of real logs.

    python -m benchmarks.model_ideas IDEA --data DIR --work DIR [--logs NAME ...]

DIR of --data holds `lastfm_artists`, `playlists` and `playback`; --work keeps preprocessed logs. IDEA is one of:

nu       ALS with a regularization that grows with the confidence or the pairs of a row (Rendle et al., "Revisiting the performance of iALS
         on item recommendation benchmarks", 2022); settings are chosen on one half of the splits and judged on the others, and the reverse
mean     the mean of several fits of ALS, and more factors or iterations
spread   the mean of three fits of ALS of other numbers of factors
recency  ALS with the factors of a user from decayed plays
ease     EASE (Steck, 2019) and EDLAE (Steck, 2020), exact over all items by the inverse of a matrix of users, beside SLIM
zeros    plays below the mean of their user as confident zeros of ALS
names    vectors of names by the package wordllama as a content model, if it is installed
tuning   which rule of choice finds the best of the values that tuning tries: a matrix of values x folds, and every rule on it

whole    the two-stage recommender with changed models (--set als.half_life_days=240), on the splits in time

A row: NDCG@10 of the warm users of each log, the mean over its splits, and the relative difference to the first row. "all" is the mean
of the logs' differences, weighted by precision. Intervals are of 95 %, by bootstrap over the users of each log, who bring all their
splits with them.
"""

import argparse
import dataclasses
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.user_knn import split_catalog
from musicrec import pipeline, settings
from musicrec.dataset import Dataset, Float32, Int32, Interactions, Timeline, TrainSet, centered, folds_before, random_holdout, second
from musicrec.errors import ModelError
from musicrec.evaluation import Evaluator, marginal_hits
from musicrec.evaluation.significance import sign_flip_p
from musicrec.lists import Lists
from musicrec.models import ALS, MODELS, SLIM, UserKNN
from musicrec.models.als import FittedALS
from musicrec.models.top_k import limit_threads, parallel_for, rows_of, top_k
from musicrec.models.weights import presence, profiles
from musicrec.pipeline.plan import Plan
from musicrec.pipeline.training import backtest
from musicrec.recommender import BLENDED, RANKED
from musicrec.settings.presets import PRESETS, Preset
from musicrec.tuning import SPACES, slices

METRIC, WIDE, SAMPLES = "ndcg@10", "ndcg@100", 2000
TUNED = ("als", "item_knn", "user_knn")
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


def found(case: Case, fitted: Any, rows: Int32 | None = None) -> "pd.Series[float]":
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


@njit(cache=True, nogil=True, fastmath=True)
def _improve(indptr, indices, extra, right, others, gram, penalties, factors, steps, start, stop):
    """als_kernel.improve with a penalty for each row, and with stored pairs of any preference: right is confidence x preference."""
    for row in range(start, stop):
        first, last = indptr[row], indptr[row + 1]
        if first == last:
            factors[row] = 0
            continue
        y, x = others[indices[first:last]], factors[row]
        weights = extra[first:last]
        residual = np.dot(right[first:last], y) - np.dot(gram, x) - penalties[row] * x - np.dot(weights * np.dot(y, x), y)
        direction = residual.copy()
        length = np.dot(residual, residual)
        for _ in range(steps):
            if length < 1e-20:
                break
            product = np.dot(gram, direction) + penalties[row] * direction + np.dot(weights * np.dot(y, direction), y)
            step = length / np.dot(direction, product)
            x += step * direction
            residual -= step * product
            before = length
            length = np.dot(residual, residual)
            direction = residual + np.float32(length / before) * direction


@dataclass(frozen=True)
class VariedALS(ALS):
    """ALS with penalties regularization x (size of the row / mean size) ** nu, and with confident zeros.

    size: "confidence", that of all pairs of the row, as Rendle et al. have it, or "pairs", those that are stored. zeros: confidence above 1
    of a pair that was played to nothing; less, the nearer it is to the mean of its user.
    """

    nu: float = 0.0
    size: str = "confidence"
    zeros: float = 0.0

    def fit(self, train: TrainSet) -> FittedALS:
        """The trained factors."""
        names, matrix = self._rows_of_names(train), train.matrix
        liked = matrix.data > 0
        extra = np.where(liked, self.alpha * matrix.data, 0).astype(np.float32)
        if self.zeros and train.strength is not None:
            above, mean = centered(train.strength, train.n_plays, matrix.indptr)
            extra = np.where(liked, extra, self.zeros * np.maximum(-above, 0) / np.maximum(mean, 1e-6)).astype(np.float32)
        stacked = [sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape) for values in (extra, liked * (1 + extra))]
        weights, right = (sparse.vstack([one, *(_plus(rows, change) for rows in names)], format="csr")
                          for one, change in zip(stacked, (-1, 0)))
        users, items = self._trained(weights, right)
        return FittedALS(train, users[:len(train.user_ids)], items, self)

    def _trained(self, weights: sparse.csr_matrix, right: sparse.csr_matrix) -> tuple[Float32, Float32]:
        order = sparse.csr_matrix((np.arange(weights.nnz), weights.indices, weights.indptr), weights.shape).T.tocsr()
        shape = (order.indptr.astype(np.int64), order.indices.astype(np.int32))
        sides = ((weights.indptr.astype(np.int64), weights.indices, weights.data, right.data.astype(np.float32)),
                 (*shape, weights.data[order.data], right.data[order.data].astype(np.float32)))
        penalties = [self._penalties(side, others) for side, others in zip(sides, weights.shape[::-1])]
        rng = np.random.default_rng(self.seed)
        users = np.zeros((weights.shape[0], self.factors), np.float32)
        items = rng.uniform(0, 0.01, (weights.shape[1], self.factors)).astype(np.float32)
        with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
            for _ in range(self.iterations):
                before = items.copy()
                for side, penalty, own, others in zip(sides, penalties, (users, items), (items, users)):
                    gram = others.T @ others
                    parallel_for(len(own), lambda start, stop: _improve(*side, others, gram, penalty, own, 3, start, stop))  # noqa: B023
                if np.linalg.norm(items - before) < self.tolerance * np.linalg.norm(items):
                    break
        return users, items

    def _penalties(self, side: tuple[Any, ...], n_others: int) -> Float32:
        indptr, _, extra, _ = side
        pairs, total = np.diff(indptr), np.diff(np.concatenate([[0], np.cumsum(extra, dtype=np.float64)])[indptr])
        sizes = total + n_others if self.size == "confidence" else np.maximum(pairs, 1).astype(np.float64)
        return np.asarray(self.regularization * (sizes / sizes[pairs > 0].mean()) ** self.nu, np.float32)


def _plus(rows: sparse.csr_matrix, change: float) -> sparse.csr_matrix:
    return sparse.csr_matrix((rows.data + np.float32(change), rows.indices, rows.indptr), rows.shape)


def averaged(fits: list[FittedALS]) -> FittedALS:
    """A model whose score is the mean of the scores of the fits."""
    scale = np.float32(len(fits) ** -0.5)
    users, items = (np.hstack([getattr(one, side) for one in fits]) * scale for side in ("user_factors", "item_factors"))
    return FittedALS(fits[0].train, users, items, fits[0].settings)


@dataclass(frozen=True)
class Ease:
    """EASE: B with zero diagonal that minimizes |X - X B|^2 + penalty |B|^2; with dropout, the expected loss with items dropped (EDLAE).

    With D = penalty + dropout / (1 - dropout) x listeners, the inverse of X'X + D is D^-1 - D^-1 X' (1 + X D^-1 X')^-1 X D^-1: a matrix of
    users is inverted, however many items there are.
    """

    penalty: float = 300.0
    dropout: float = 0.0
    half_life_days: float = 0.0
    min_weight: float = 0.1
    max_items_of_user: int = 10_000

    def fit(self, train: TrainSet) -> "FittedEase":
        """The model. O(n_users^3 + nnz x n_users)."""
        x = presence(train.matrix).astype(np.float64)
        d = self.penalty + self.dropout / (1 - self.dropout) * np.asarray(x.sum(axis=0)).ravel()
        by_user = np.linalg.inv((x @ sparse.diags(1 / d) @ x.T).toarray() + np.eye(x.shape[0]))
        reached = np.asarray((x.T @ by_user).T, np.float32)
        diagonal = 1 / d - np.asarray(x.multiply(reached).sum(axis=0)).ravel() / d**2
        return FittedEase(train, (x @ sparse.diags(1 / d)).tocsr(), reached / (d * diagonal).astype(np.float32), self)


class FittedEase:
    """The score of an unseen item j is p B_j, for the decayed plays p of the user."""

    def __init__(self, train: TrainSet, scaled: sparse.csr_matrix, reached: Float32, settings: Ease) -> None:
        self.train, self.scaled, self.reached, self.settings = train, scaled, reached, settings

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """The best items."""
        counted = profiles(self.train, self.train.matrix, user_index, self.settings)
        scores = np.asarray((counted @ self.scaled.T).toarray(), np.float32) @ self.reached
        seen = rows_of(self.train.matrix, user_index)
        return top_k(scores, seen.indptr, seen.indices, k)


class ByVectors:
    """The cosine of an item's vector with the sum of those of the user's items."""

    def __init__(self, train: TrainSet, vectors: Float32, settings: Ease) -> None:
        self.train, self.vectors, self.settings = train, vectors, settings

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """The best items."""
        counted = profiles(self.train, self.train.matrix, user_index, self.settings)
        seen = rows_of(self.train.matrix, user_index)
        return top_k(np.asarray(counted @ self.vectors, np.float32) @ self.vectors.T, seen.indptr, seen.indices, k)


def nu(given: Iterator[Case]) -> None:
    """Regularization by the size of the row, at its best pair of settings and at that of the other half of the splits."""
    kinds = {"as shipped": (0.0, "confidence"), "confidence, nu 0.5": (0.5, "confidence"), "confidence, nu 1": (1.0, "confidence"),
             "pairs, nu 0.5": (0.5, "pairs"), "pairs, nu 1": (1.0, "pairs")}
    grid = [(regularization, alpha) for alpha in (2.0, 10.0) for regularization in (1.0, 4.0, 16.0)]
    every: dict[tuple[str, int], dict[tuple[str, str], pd.Series[float]]] = defaultdict(dict)
    for case in given:
        for kind, (power, size) in kinds.items():
            for place, (regularization, alpha) in enumerate(grid):
                model = VariedALS(nu=power, size=size, regularization=regularization, alpha=alpha)
                every[kind, place][case.log, case.split] = found(case, model.fit(case.train))
    keys = list(every["as shipped", 0])
    results: Results = {kind: {} for kind in kinds}
    for kind in kinds:
        for log in dict.fromkeys(log for log, _ in keys):
            splits = [key for key in keys if key[0] == log]
            for place, key in enumerate(splits):
                others = [other for at, other in enumerate(splits) if at % 2 != place % 2]
                best = max(range(len(grid)), key=lambda at: sum(every[kind, at][other].mean() for other in others))
                results[kind][key] = every[kind, best][key]
    print(table(results))
    for kind in kinds:
        for place, values in enumerate(grid):
            print(kind, values, *(f"{one.mean():.4f}" for one in every[kind, place].values()))


def mean(given: Iterator[Case]) -> None:
    """Means of fits with several seeds, and what the same cost buys otherwise."""
    results: Results = defaultdict(dict)
    for case in given:
        fits = [ALS(spread=1, seed=seed).fit(case.train) for seed in range(5)]
        made = {"one fit": fits[0], "another seed": fits[1], "mean of 2": averaged(fits[:2]), "mean of 3": averaged(fits[:3]),
                "mean of 5": averaged(fits), "20 iterations, tolerance 0.01": ALS(spread=1, iterations=20, tolerance=0.01).fit(case.train),
                "128 factors": ALS(spread=1, factors=128).fit(case.train), "32 factors": ALS(spread=1, factors=32).fit(case.train),
                "means of 32, 64 and 128": averaged_of_sizes(case.train)}
        for name, fitted in made.items():
            results[name][case.log, case.split] = found(case, fitted)
    print(table(results))


def spread(given: Iterator[Case]) -> None:
    """Means of three fits whose numbers of factors lie further and further apart."""
    results: Results = defaultdict(dict)
    for case in given:
        for apart in (1.0, 1.5, 2.0, 3.0):
            results[f"spread {apart:g}"][case.log, case.split] = found(case, ALS(spread=apart).fit(case.train))
    print(table(results))


def averaged_of_sizes(train: TrainSet) -> FittedALS:
    """The mean of fits with several numbers of factors."""
    return averaged([ALS(spread=1, factors=factors).fit(train) for factors in (32, 64, 128)])


def recency(given: Iterator[Case]) -> None:
    """User factors recomputed from decayed plays."""
    results: Results = defaultdict(dict)
    for case in given:
        fitted = ALS(spread=1).fit(case.train)
        results["as shipped"][case.log, case.split] = found(case, fitted)
        for days in (10_000, 2000, 720, 240, 80, 30):
            changed = FittedALS(case.train, fitted.user_factors, fitted.item_factors, ALS(half_life_days=days))
            results[f"half-life {days} days"][case.log, case.split] = found(case, changed)
    print(table(results))


def ease(given: Iterator[Case]) -> None:
    """EASE beside SLIM and ALS: one list each, and hits that it adds to the union of the other models."""
    results: Results = defaultdict(dict)
    for case in given:
        models = {"slim, as shipped": SLIM(), "slim, no recency": SLIM(half_life_days=0), "user_knn": UserKNN(), "als": ALS()}
        for half_life in (0, 720):
            models |= {f"ease {penalty}, half-life {half_life}": Ease(penalty, 0, half_life) for penalty in (30, 100, 300, 1000)}
            models |= {f"edlae {penalty}, 0.5, half-life {half_life}": Ease(penalty, 0.5, half_life) for penalty in (10, 100)}
        for name, model in models.items():
            results[name][case.log, case.split] = found(case, model.fit(case.train))
    print(table(results))


def zeros(given: Iterator[Case]) -> None:
    """Confident zeros in logs with feedback."""
    results: Results = defaultdict(dict)
    for case in given:
        for confidence in (0.0, 0.5, 2.0, 8.0):
            for alpha in (2.0, 10.0):
                model = VariedALS(alpha=alpha, zeros=confidence)
                results[f"alpha {alpha:g}, zeros {confidence:g}"][case.log, case.split] = found(case, model.fit(case.train))
    print(table(results))


def names(given: Iterator[Case], work: Path) -> None:
    """Vectors of names: lists alone, and hits that they add to the union of the shipped models."""
    results: Results = defaultdict(dict)
    for case in given:
        vectors = vectors_of_names(case, work)
        models = {name: MODELS[name]().fit(case.train) for name in ("content", "als", "item_knn", "user_knn", "popular_decayed")}
        models |= {name: ByVectors(case.train, vectors, Ease(half_life_days=days))
                   for name, days in (("names", 0), ("names, half-life 240", 240))}
        evaluator = Evaluator(case.train, case.test)
        for name, fitted in models.items():
            results[name][case.log, case.split] = found(case, fitted)
            evaluator.add(name, Lists(evaluator.user_ids, *fitted.recommend(evaluator.train_rows, 100)))
        union = marginal_hits(evaluator, [name for name in models if name != "names"]).set_index("model")
        print(f"{case.log} {case.split}: {union.loc['union', 'hits']} hits of the union, {union.loc['names, half-life 240', 'only_here']} "
              f"by names alone; by content alone {union.loc['content', 'only_here']}", flush=True)
    print(table({"content": results.pop("content"), **results}))


def vectors_of_names(case: Case, work: Path) -> Float32:
    """Unit vectors of "name, artists" of the items."""
    import wordllama

    items = pq.read_table(work / case.log.replace(", ", "_") / "items.parquet", columns=["item_id", "name", "artists"]).to_pandas()
    items = items.set_index("item_id").loc[case.train.item_ids]
    texts = [", ".join(dict.fromkeys([name, *artists])) for name, artists in zip(items["name"], items["artists"])]
    # Without a folder it looks for a part of the package on the net.
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    vectors = np.asarray(model.embed(texts, norm=True), np.float32)
    vectors -= vectors.mean(axis=0)
    unit: Float32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit


def tuning(logs: list[str], data: Path, work: Path, trials: int) -> None:
    """Rules of choice on a matrix of values x folds, and what each chosen value is worth on the test set after the folds."""
    results: Results = defaultdict(dict)
    for log in logs:
        whole = dataset(log, data, work)
        for cutoff in LOGS[log].cutoffs:
            at = moment_of(whole, cutoff)
            folds = folds_before(days_of(whole), at, 0.1, 4)
            on = [Case(log, cutoff, one.train, one.test) for one in slices(whole, folds)] + [Case(log, cutoff, *whole.split(at))]
            for name in TUNED:
                tried = list(values_of(f"candidates.{name}", trials))
                made = settings.load(environ={}).component(f"candidates.{name}", MODELS[name])
                matrix = [[scores(case, dataclasses.replace(made, **values)) for case in on] for values in tried]
                for rule, chosen in chosen_by_rules(tried, [[pd.concat(row[:-1]), *row] for row in matrix]).items():
                    test = [matrix[place][-1][METRIC] for place in chosen]
                    results[rule][f"{log}: {name}", cutoff] = pd.concat(test).groupby(level=0).mean()
                print(log, cutoff, name, {rule: f"{of_case[f'{log}: {name}', cutoff].mean():.4f}" for rule, of_case in results.items()},
                      flush=True)
    print(table(results))


def days_of(whole: Dataset) -> Timeline:
    """The plays of each day."""
    times = pq.read_table(whole.events, columns=["started_at"])["started_at"].to_numpy().astype("datetime64[D]")
    days, plays = np.unique(times, return_counts=True)
    return Timeline(np.array([second(day.astype(datetime)) for day in days.astype("datetime64[s]")]), plays)


def values_of(section: str, trials: int) -> Iterator[dict[str, Any]]:
    """The shipped values first, then some drawn at random from the search space."""
    rng = np.random.default_rng(0)
    yield {}
    for _ in range(trials):
        drawn = {key: float(np.exp(rng.uniform(np.log(one.low), np.log(one.high)))) if one.log else float(rng.uniform(one.low, one.high))
                 for key, one in SPACES[section].items()}
        yield {key: round(value) if isinstance(SPACES[section][key].low, int) else value for key, value in drawn.items()}


def scores(case: Case, model: Any) -> Rows:
    """NDCG at 10 and 100 of the warm users."""
    evaluator = Evaluator(case.train, case.test, (10, 100))
    try:
        evaluator.add("it", Lists(evaluator.user_ids, *model.fit(case.train).recommend(evaluator.train_rows, 100)))
    except ModelError:
        return pd.DataFrame(0.0, evaluator.user_ids, [METRIC, WIDE])
    warm = evaluator.members("warm")
    relevance = evaluator.relevance("it")
    return pd.DataFrame({name: relevance[name][warm] for name in (METRIC, WIDE)}, evaluator.user_ids[warm])


def chosen_by_rules(tried: list[dict[str, Any]], matrix: list[list[Rows]], of: int = 24, times: int = 12) -> dict[str, list[int]]:
    """The values that each rule chooses, from several draws of so many values; matrix: all folds, each fold, test set, of each value."""
    rng, chosen = np.random.default_rng(1), defaultdict[str, list[int]](list)
    by_user = {metric: np.array([row[0][metric].groupby(level=0).mean().to_numpy() for row in matrix]) for metric in (METRIC, WIDE)}
    by_fold = np.array([[one[METRIC].mean() for one in row[1:-1]] for row in matrix])
    means = {metric: values.mean(axis=1) for metric, values in by_user.items()}

    def adopted(place: int, metric: str) -> int:
        return place if sign_flip_p(by_user[metric][place] - by_user[metric][0], 2000) < 0.1 else 0

    for _ in range(times):
        among = [0, *(1 + rng.choice(len(tried) - 1, min(of, len(tried)) - 1, replace=False))]
        halved = halving(by_fold[among][:, ::-1])
        survivor = among[max(halved, key=lambda at: means[METRIC][among[at]])]
        best = {metric: max(among, key=lambda at: values[at]) for metric, values in means.items()}
        both = max(among, key=lambda at: sum(values[at] / values[0] for values in means.values()))
        smooth = among[int(np.argmax(smoothed([tried[at] for at in among[1:]], means[METRIC][among[1:]]))) + 1] if len(among) > 8 else 0
        for rule, place in {"as shipped": 0, "halving, p < 0.1 (today)": adopted(survivor, METRIC), "halving, best": survivor,
                            "all folds, p < 0.1": adopted(best[METRIC], METRIC), "all folds, best": best[METRIC],
                            "all folds, NDCG@100, p < 0.1": adopted(best[WIDE], WIDE), "all folds, NDCG@100, best": best[WIDE],
                            "all folds, both, best": both, "smoothed": smooth if means[METRIC][smooth] > means[METRIC][0] else 0,
                            "best on the test set": max(among, key=lambda at: matrix[at][-1][METRIC].mean())}.items():
            chosen[rule].append(place)
    return chosen


def halving(by_fold: Float32) -> list[int]:
    """The values that reach the last fold when each goes on from a fold only while among the best third there, in their order."""
    reached: list[list[float]] = [[] for _ in range(by_fold.shape[1])]
    whole = []
    for place, row in enumerate(by_fold):
        for step in range(len(row)):
            value = row[:step + 1].mean()
            reached[step].append(value)
            if step == len(row) - 1:
                whole.append(place)
            elif step in (0, 2) and sorted(reached[step], reverse=True)[max(len(reached[step]) // 3, 1) - 1] > value:
                break
    return whole or [0]


def smoothed(tried: list[dict[str, Any]], means: Float32) -> Float32:
    """The means as a Gaussian process over the logarithms of the values sees them."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, WhiteKernel

    x = np.log(np.maximum(np.array([list(one.values()) for one in tried], float), 1e-3))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = (means - means.mean()) / max(means.std(), 1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianProcessRegressor(RBF(np.full(x.shape[1], 2.0), (0.5, 50)) + WhiteKernel(0.1, (1e-3, 10)), random_state=0)
        fitted: Float32 = model.fit(x, y).predict(x)
    return fitted


def whole(logs: list[str], data: Path, work: Path, changes: Mapping[str, Mapping[str, Mapping[str, Any]]], preset: Preset) -> None:
    """The two-stage recommender with changed models: all orders on the test set, and what the policy publishes."""
    results: dict[str, Results] = {order: defaultdict(dict) for order in ("published", RANKED, BLENDED, "als")}
    for log in logs:
        of_log = dataset(log, data, work)
        for cutoff in LOGS[log].cutoffs:
            at = moment_of(of_log, cutoff)
            on = pipeline.workspace(settings.load(environ={**PRESETS[preset], "MUSICREC_DATA_WORK_FOLDER": str(work / "whole")}))
            plan = Plan(at, tuple(folds_before(days_of(of_log), at, 0.1, on.settings.split.folds)))
            past, future = of_log.split(at)
            for name, changed in changes.items():
                made = pipeline.recommender(on.settings)
                models = {key: dataclasses.replace(one, **changed.get(key, {})) for key, one in made.models.items()}
                result = backtest(on, plan).run(of_log, dataclasses.replace(made, models=models))
                ranker = result.ranker(pipeline.ranker_settings(on.settings))
                fitted = dataclasses.replace(made, models=models).with_ranker(ranker).fit(past)
                evaluator = pipeline.evaluated(on, fitted, future)
                warm, publish = evaluator.members("warm"), result.decision().publish
                for order in results:
                    values = evaluator.relevance(publish if order == "published" else order)[METRIC]
                    results[order][name][log, cutoff] = pd.Series(values[warm], evaluator.user_ids[warm])
                told = (f"{order} {of_order[name][log, cutoff].mean():.4f}" for order, of_order in results.items())
                print(log, cutoff, name, publish, *told, flush=True)
        for order, of_order in results.items():
            print(order, table(of_order), sep="\n", flush=True)


def main() -> None:
    """Print the tables of one idea."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("idea", choices=["nu", "mean", "spread", "recency", "ease", "zeros", "names", "tuning", "whole"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=[*LOGS])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--preset", choices=PRESETS, default="standard", help="of idea whole; nothing is tuned")
    parser.add_argument("--set", nargs="+", default=[], metavar="MODEL.FIELD=VALUE")
    asked = parser.parse_args()
    limit_threads(2)
    if asked.idea == "tuning":
        tuning(asked.logs, asked.data, asked.work, asked.trials)
    elif asked.idea == "whole":
        changed: dict[str, dict[str, Any]] = defaultdict(dict)
        for one in asked.set:
            model, field, value = re.fullmatch(r"(\w+)\.(\w+)=(.+)", one).groups()
            changed[model][field] = type(getattr(MODELS[model](), field))(value)
        whole(asked.logs, asked.data, asked.work, {"as shipped": {}, " ".join(asked.set): changed}, asked.preset)
    elif asked.idea == "names":
        names(cases(asked.logs, asked.data, asked.work), asked.work)
    else:
        ideas = {"nu": nu, "mean": mean, "spread": spread, "recency": recency, "ease": ease, "zeros": zeros}
        ideas[asked.idea](cases(asked.logs, asked.data, asked.work))


if __name__ == "__main__":
    main()
