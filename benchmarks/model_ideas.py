"""Ideas for better models, each against what is shipped, over many splits of real logs.

    python -m benchmarks.model_ideas IDEA --data DIR --work DIR [--logs NAME ...]

DIR of --data holds `lastfm_artists`, `playlists` and `playback`; --work keeps preprocessed logs. IDEA is one of:

nu       ALS with a regularization that grows with the confidence or the pairs of a row (Rendle et al., "Revisiting the performance of iALS
         on item recommendation benchmarks", 2022); its strength is chosen on one half of the splits and judged on the other half
mean     the mean of several fits of ALS, and more factors or iterations
spread   the mean of six fits of ALS of other numbers of factors
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
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.model_variants import ByVectors, Ease, VariedALS, averaged
from benchmarks.real_splits import LOGS, METRIC, Case, Results, cases, dataset, days_of, found, moment_of, table
from benchmarks.tuning_rules import tuning
from musicrec import pipeline, settings
from musicrec.cli.presets import PRESETS, Preset
from musicrec.dataset import Float32, TrainSet, folds_before
from musicrec.evaluation import Evaluator, marginal_hits
from musicrec.lists import Lists
from musicrec.models import ALS, MODELS, SLIM, UserKNN
from musicrec.models.als import FittedALS
from musicrec.models.top_k import limit_threads
from musicrec.pipeline.plan import Plan
from musicrec.pipeline.training import backtest
from musicrec.recommender import BLENDED, RANKED


def nu(given: Iterator[Case]) -> None:
    """Regularization by the size of the row, of the strength that is best on the other half of the splits of the log."""
    kinds = {"as shipped": (0.0, "confidence"), "confidence, nu 0.5": (0.5, "confidence"), "confidence, nu 1": (1.0, "confidence"),
             "pairs, nu 0.5": (0.5, "pairs"), "pairs, nu 1": (1.0, "pairs")}
    grid = [0.75, 3.0, 12.0]
    every: dict[tuple[str, int], dict[tuple[str, str], pd.Series[float]]] = defaultdict(dict)
    for case in given:
        for kind, (power, size) in kinds.items():
            for place, regularization in enumerate(grid):
                model = VariedALS(nu=power, size=size, regularization=regularization)
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
        for place, strength in enumerate(grid):
            print(f"{kind}, {strength:g}", *(f"{one.mean():.4f}" for one in every[kind, place].values()))


def mean(given: Iterator[Case]) -> None:
    """Means of fits with several seeds, and what the same cost buys otherwise."""
    results: Results = defaultdict(dict)
    for case in given:
        fits = [ALS(spread=1, seed=seed).fit(case.train) for seed in range(5)]
        made = {"one fit": fits[0], "another seed": fits[1], "mean of 2": averaged(fits[:2]), "mean of 3": averaged(fits[:3]),
                "mean of 5": averaged(fits), "20 iterations, tolerance 0.01": ALS(spread=1, iterations=20, tolerance=0.01).fit(case.train),
                "128 factors": ALS(spread=1, factors=128).fit(case.train), "32 factors": ALS(spread=1, factors=32).fit(case.train),
                "means of 32, 64 and 128": averaged_of_sizes(case.train, 1),
                "the same by two seeds": averaged_of_sizes(case.train, 2)}
        for name, fitted in made.items():
            results[name][case.log, case.split] = found(case, fitted)
    print(table(results))


def spread(given: Iterator[Case]) -> None:
    """Means of six fits whose numbers of factors lie further and further apart."""
    results: Results = defaultdict(dict)
    for case in given:
        for apart in (1.0, 1.5, 2.0, 3.0):
            results[f"spread {apart:g}"][case.log, case.split] = found(case, ALS(spread=apart).fit(case.train))
    print(table(results))


def averaged_of_sizes(train: TrainSet, seeds: int) -> FittedALS:
    """The mean of fits with several numbers of factors, by so many seeds each."""
    return averaged([ALS(spread=1, factors=factors, seed=seed).fit(train) for factors in (32, 64, 128) for seed in range(seeds)])


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
