"""How fast candidates are described, scored and written for every user at full size, beside merging and sorting tables.

    python -m benchmarks.ranking [--users 1373221] [--items 1000000] [--asked 1373221] [--slice 2000]
    python -m benchmarks.ranking --recommender FOLDER [--slice 2000]

A generated train set of full size; `asked` users are ranked, with 100 candidates each from three stand-in models (popular tracks, tracks
of random artists, random tracks), with the feature groups and trees of config.ini. Batches are answered as the pipeline answers
them. The other way answers for the first `slice` users from the same candidates and the same model.
The second command scores the candidates of `slice` users by a saved recommender: by blocks of users with contiguous columns, and as
before that, in one matrix of contiguous rows, with the blender as a product of matrices.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from catboost import Pool

from benchmarks.children import machine
from benchmarks.worlds import train_set
from musicrec import settings
from musicrec.dataset import TrainSet
from musicrec.features import FEATURES
from musicrec.lists import Lists, write
from musicrec.models.top_k import n_threads
from musicrec.ranking import (
    Candidates,
    Features,
    Ranker,
    RankerSettings,
    TrainingTable,
    best_candidates,
    candidates,
    columns,
    feature_matrix,
    fit_ranker,
)
from musicrec.ranking.blender import blender_inputs
from musicrec.ranking.feature_matrix import AGREEMENT
from musicrec.recommender import TwoStageRecommender
from musicrec.runners import prefetched

CANDIDATES, BATCH = 100, 4096


def stand_ins(world: TrainSet, size: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Three lists of 50 distinct items a user; the union has 100 to 150."""
    n_items = len(world.catalog)
    popular = np.argsort(-world.n_listeners, kind="stable")[:5000]
    start = rng.integers(0, n_items, (size, 3))
    places = np.arange(50)
    lists = {"popular": popular[(start[:, :1] + places) % 5000], "near": (start[:, 1:2] + places * 7) % n_items,
             "random": (start[:, 2:] + places * 10_007) % n_items}
    scores = np.broadcast_to(np.linspace(1, 0, 50, dtype=np.float32), (size, 50))
    return {name: (items.astype(np.int32), scores) for name, items in lists.items()}


def ranker(world: TrainSet, features: dict, chosen: settings.RankingSettings, rng: np.random.Generator) -> tuple[Ranker, TrainingTable]:
    """All trees of config.ini over made-up labels: what they learn does not matter here, how many and how deep they are does."""
    users = np.sort(rng.choice(len(world.user_ids), 500, replace=False)).astype(np.int32)
    found = candidates(stand_ins(world, len(users), rng), users, CANDIDATES)
    target = (rng.random(len(found)) < np.where(found.ranks[:, 0] > 0, 0.2, 0.05)).astype(np.int8)
    table = TrainingTable(feature_matrix(found, features), columns(found.models, features), target,
                          found.user_of_candidate.astype(np.int64))
    return fit_ranker([table], RankerSettings(iterations=chosen.iterations, early_stopping_rounds=chosen.iterations, depth=chosen.depth,
                                              learning_rate=0.02, n_seeds=chosen.n_seeds)), table


def ranked(world: TrainSet, features: dict, model: Ranker, users: np.ndarray) -> Iterator[Lists]:
    """The ranked lists of `users`, batch by batch, two batches at a time."""
    parts = np.split(users, range(BATCH, len(users), BATCH))

    def answer(rows: np.ndarray) -> Lists:
        found = candidates(stand_ins(world, len(rows), np.random.default_rng(int(rows[0]))), rows, CANDIDATES)
        return Lists(world.user_ids[rows], *best_candidates(found, model.scores(found, features), CANDIDATES))

    yield from prefetched(answer, parts, 2)


def by_tables(world: TrainSet, features: dict, model: Ranker, users: np.ndarray, rng: np.random.Generator) -> tuple[float, Candidates]:
    """Seconds for `users` by tables: merge the models' lists, merge item and user columns, group artists, predict_proba, sort, rank."""
    found = candidates(stand_ins(world, len(users), rng), users, CANDIDATES)
    names = columns(found.models, features).names
    owner, item = found.user_of_candidate, found.item_index
    item_table = pd.DataFrame({"item": np.arange(len(world.catalog))})
    user_table = pd.DataFrame({"user": users})
    for name, fitted in features.items():
        table = item_table if FEATURES[name].key == "item" else user_table
        if FEATURES[name].key != "user x item":
            own = fitted.values(user_table["user"].to_numpy(np.int32)[:1].repeat(len(table)) if table is item_table else users,
                                item_table["item"].to_numpy(np.int32) if table is item_table else np.zeros(len(users), np.int32))
            table[list(fitted.names)] = own
    events = pd.DataFrame({"user": np.repeat(users, world.n_items_of_user[users]),
                           "item": np.concatenate([world.matrix.indices[slice(*world.matrix.indptr[u:u + 2])] for u in users])})
    start = time.perf_counter()
    table = pd.DataFrame({"user": owner, "item": item})
    for g, name in enumerate(found.models):
        offered = ~np.isnan(found.ranks[:, g])
        one = pd.DataFrame({"user": owner[offered], "item": item[offered], f"{name}_score": found.scores[offered, g],
                            f"{name}_rank": found.ranks[offered, g]})
        table = table.merge(one, on=["user", "item"], how="left")
    table = table.merge(item_table, on="item", how="left").merge(user_table, on="user", how="left")
    for kind in ("artists", "albums", "genres"):
        links = getattr(world.catalog, kind).tocoo()
        of_item = pd.DataFrame({"item": links.row, "name": links.col})
        seen = events.merge(of_item, on="item").groupby(["user", "name"]).size().rename(f"{kind}_seen").reset_index()
        named = table[["user", "item"]].merge(of_item, on="item").merge(seen, on=["user", "name"])
        best = named.groupby(["user", "item"])[f"{kind}_seen"].max().reset_index()
        table = table.merge(best, on=["user", "item"], how="left")
    filled = table.reindex(columns=names).to_numpy(np.float32)
    table["score"] = 1 / (1 + np.exp(-np.asarray(model.trees.predict(filled))))
    table = table.sort_values(["user", "score"], ascending=[True, False])
    table["rank"] = table.groupby("user").cumcount() + 1
    assert len(table) == len(found)
    return time.perf_counter() - start, found


def in_one_piece(model: Ranker, found: Candidates, features: Features) -> np.ndarray:
    """The scores from one matrix with contiguous rows, with the blender as a product of matrices."""
    known = np.repeat(found.user_index >= 0, np.diff(found.indptr))
    scores, part = found.rrf.copy(), copied(found, known)
    names, width = columns(part.models, features), 3 * len(part.models)
    matrix = np.empty((len(part), len(names.names)), np.float32)
    matrix[:, 0:width:3], matrix[:, 1:width:3], matrix[:, 2:width:3] = part.scores, part.ranks, part.zscores
    recommends, start = ~np.isnan(part.ranks), width + len(AGREEMENT)
    matrix[:, width], matrix[:, width + 1], matrix[:, width + 2] = recommends.sum(axis=1), part.rrf, part.rrf_rank
    matrix[:, width + 3] = np.where(recommends, part.ranks, np.inf).min(axis=1, initial=np.inf)
    for fitted in features.values():
        matrix[:, start:start + len(fitted.names)] = fitted.values(part.user_of_candidate, part.item_index)
        start += len(fitted.names)
    trees = np.asarray(model.trees.predict(Pool(matrix), prediction_type="RawFormulaVal", thread_count=n_threads()), np.float32)
    inputs = blender_inputs(matrix[:, names.ranks], matrix[:, names.zscores])
    scores[known] = trees + (inputs @ model.blender.weights + model.blender.intercept).astype(np.float32)
    return scores


def copied(found: Candidates, keep: np.ndarray) -> Candidates:
    """The candidates that are kept, copied also where these are all."""
    arrays = (array[keep] for array in (found.ranks, found.scores, found.zscores, found.rrf, found.rrf_rank))
    return Candidates(found.user_index, np.concatenate([[0], np.cumsum(keep)])[found.indptr], found.item_index[keep], found.models, *arrays)


def saved(folder: Path, size: int) -> None:
    """Print what a user's candidates take in models, union, and scoring both ways, in seconds of a core."""
    made = TwoStageRecommender.load(folder)
    users = np.sort(np.random.default_rng(0).choice(len(made.fitted.train.user_ids), size, replace=False)).astype(np.int32)
    steps(made, users[:256])  # compiles kernels and reads mapped files
    clocks, found, before, scores = steps(made, users)
    for name, seconds in clocks.items():
        print(f"{name:20s} {seconds / size * 1000:7.3f} ms of a core a user")
    first, second = (best_candidates(found, values, CANDIDATES)[0] for values in (before, scores))
    print(f"{size:,} users, {len(found) / size:.0f} candidates each, {made.ranker.trees.tree_count_} trees: scores before / scores "
          f"{clocks['scores before'] / clocks['scores']:.2f}; same scores {(before == scores).mean():.6%}, "
          f"same places {(first == second).mean():.6%}; peak {peak():.2f} GB")


def steps(made: TwoStageRecommender, users: np.ndarray) -> tuple[dict[str, float], Candidates, np.ndarray, np.ndarray]:
    """Seconds of a core of each step, the candidates, and their scores before and now."""
    state, clocks, lists = made.fitted, {}, {}
    for name in made.models:
        clocks[name], lists[name] = core_seconds(state.models[name].recommend, users, made.candidates_per_model)
    clocks["union"], found = core_seconds(candidates, lists, users, made.max_candidates)
    clocks["scores before"], before = core_seconds(in_one_piece, made.ranker, found, state.features)
    clocks["scores"], scores = core_seconds(made.ranker.scores, found, state.features)
    return clocks, found, before, scores


def core_seconds(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds of a core that work(*arguments) takes, and what it returns."""
    start = time.process_time()
    result = work(*arguments)
    return time.process_time() - start, result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"users": 1_373_221, "items": 1_000_000, "asked": 1_373_221, "slice": 2_000}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--recommender", type=Path)
    asked = parser.parse_args()
    if asked.recommender:
        print(f"{machine()}")
        saved(asked.recommender, asked.slice)
        return
    rng, chosen = np.random.default_rng(0), settings.load().ranking
    print(f"{machine()}")
    world = train_set(asked.users, asked.items)
    print(f"{len(world.user_ids):,} users, {world.matrix.nnz:,} plays of {len(world.catalog):,} items; {peak():.2f} GB so far")
    clock, core = time.perf_counter(), time.process_time()
    features = {name: FEATURES[name]().fit(world) for name in chosen.features}
    print(f"features fitted in {time.perf_counter() - clock:.1f} s, {time.process_time() - core:.1f} s of a core")
    model, table = ranker(world, features, chosen, rng)
    users = np.sort(rng.permutation(len(world.user_ids))[: asked.asked]).astype(np.int32)
    clock, core = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        rows = write(Path(folder) / "recommendations.parquet", ranked(world, features, model, users), world.item_ids)
        size = os.path.getsize(Path(folder) / "recommendations.parquet") / 1e6
    clock, core = time.perf_counter() - clock, time.process_time() - core
    print(f"{len(users):,} users x {CANDIDATES} candidates x {len(table.columns.names)} features, {model.trees.tree_count_} trees of depth "
          f"{chosen.depth}: {rows:,} rows ({size:,.0f} MB) in {clock / 60:.1f} minutes, {core / 60:.1f} of a core; peak {peak():.2f} GB")
    part = users[: asked.slice]
    seconds, _ = by_tables(world, features, model, part, rng)
    ours = time.perf_counter()
    for _ in ranked(world, features, model, part):
        pass
    ours = time.perf_counter() - ours
    print(f"{len(part):,} users by merging and sorting tables {seconds:.2f} s, ours {ours:.2f} s: {seconds / ours:.1f} times")


def peak() -> float:
    """Highest resident memory so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
