"""Whether session kNN (V-SKNN) would earn a place among the models: its lists beside theirs, and what it would add to their union.

    MUSICREC_DATA_FOLDER=DIR python -m benchmarks.session_knn --work FOLDER --gap SECONDS

The logs are those of config.ini, or of variables of the environment. A session of a user ends where the next play is more than --gap
seconds later. V-SKNN (Ludewig and Jannach, "Evaluation of session-based recommendation algorithms", 2018) is transcribed as a plain loop:
the items of the latest session weigh more the later they were played; of the latest sessions of others that share an item the most
similar ones vote for their items, less the longer ago the latest shared item was played. Where a log has feedback, sessions hold the
plays from which something is learned.
"""

import argparse
import math
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musicrec import pipeline, settings
from musicrec.dataset import Float32, Int32, TrainSet, of_users
from musicrec.evaluation import Evaluator, marginal_hits
from musicrec.lists import Lists, empty
from musicrec.models import MODELS

K, MODELS_AT_HAND = 100, ("popular", "item_knn", "user_knn", "als")


@dataclass(frozen=True)
class Session:
    """The items of one session in order of time."""

    user: int
    end: int
    items: list[int]


def sessions_of(train: TrainSet, gap: int) -> list[Session]:
    """The sessions of all users, by user and time."""
    found: list[Session] = []
    indptr, items, times = train.sequences(np.arange(len(train.user_ids), dtype=np.int32))
    for user in range(len(train.user_ids)):
        liked = set(train.matrix[user].indices[train.matrix[user].data > 0].tolist())
        parts: list[list[int]] = [[]]
        for place in range(indptr[user], indptr[user + 1]):
            if place > indptr[user] and times[place] - times[place - 1] > gap:
                parts.append([])
            parts[-1].append(place)
        for part in parts:
            if kept := [int(items[place]) for place in part if items[place] in liked]:
                found.append(Session(user, int(times[part[-1]]), kept))
    return found


def scores_of(current: Session, sessions: list[Session], holding: dict[int, list[int]], neighbors: int, sample: int,
              with_idf: bool) -> dict[int, float]:
    """The votes for each item by the neighbors of a session."""
    weight = {item: (place + 1) / len(current.items) for place, item in enumerate(current.items)}
    place_of = {item: place for place, item in enumerate(current.items)}
    others = {n for item in weight for n in holding[item] if sessions[n].user != current.user}
    latest = sorted(others, key=lambda n: (-sessions[n].end, n))[:sample]
    shared = {n: set(sessions[n].items) & weight.keys() for n in latest}
    nearest = sorted(latest, key=lambda n: (-sum(weight[item] for item in shared[n]), n))[:neighbors]
    votes: dict[int, float] = defaultdict(float)
    for n in nearest:
        steps = len(current.items) - max(place_of[item] for item in shared[n])
        vote = sum(weight[item] for item in shared[n]) * max(1 - 0.1 * steps, 0)
        for item in set(sessions[n].items):
            votes[item] += vote * (math.log(len(sessions) / len(holding[item])) if with_idf else 1)
    return votes


def lists_of(train: TrainSet, rows: Int32, gap: int, neighbors: int, sample: int, with_idf: bool) -> tuple[Int32, Float32]:
    """The K unseen items with most votes for each row."""
    sessions, holding, latest = sessions_of(train, gap), defaultdict(list), {}
    for n, session in enumerate(sessions):
        latest[session.user] = session
        for item in set(session.items):
            holding[item].append(n)
    items, scores = empty(len(rows), K)
    for place, row in enumerate(rows.tolist()):
        if row in latest:
            votes, seen = scores_of(latest[row], sessions, holding, neighbors, sample, with_idf), set(train.matrix[row].indices.tolist())
            best = sorted((item for item in votes if item not in seen and votes[item] > 0), key=lambda item: (-votes[item], item))[:K]
            items[place, :len(best)], scores[place, :len(best)] = best, [votes[item] for item in best]
    return items, scores


def main() -> None:
    """Print NDCG@10 and recall@100 of each model, and the marginal hits of V-SKNN."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--gap", type=int, required=True)
    asked = parser.parse_args()
    work = pipeline.workspace(settings.load(environ={**os.environ, "MUSICREC_DATA_WORK_FOLDER": str(asked.work / "work"),
                                                     "MUSICREC_ARTIFACTS_LOCATION": str(asked.work / "artifacts")}))
    raw = pipeline.raw_tables(work)
    chosen, tables = pipeline.plan(work, raw.interactions), pipeline.preprocessed_tables(work, raw)
    train, test = tables.dataset.split(chosen.cutoff)
    evaluator = Evaluator(train, of_users(test, train.user_ids), (10, K))
    rows = evaluator.train_rows
    lists = {name: MODELS[name]().fit(train).recommend(rows, K) for name in MODELS_AT_HAND}
    for neighbors, sample, with_idf in ((100, 1000, False), (500, 5000, False), (500, 5000, True)):
        name = f"v-sknn, {neighbors} of {sample}{', idf' if with_idf else ''}"
        lists[name] = lists_of(train, rows, asked.gap, neighbors, sample, with_idf)
    print(f"{len(rows):,} warm users, {len(sessions_of(train, asked.gap)):,} sessions before {chosen.test_start}")
    for name, found in lists.items():
        evaluator.add(name, Lists(evaluator.user_ids, *found))
        metrics = evaluator.relevance(name)
        print(f"{name:26s} ndcg@10 {metrics['ndcg@10'].mean():.4f}  recall@100 {metrics['recall@100'].mean():.4f}")
    for name in list(lists)[len(MODELS_AT_HAND):]:
        table = marginal_hits(evaluator, (*MODELS_AT_HAND, name)).set_index("model")
        print(f"union with {name}: {table.loc['union', 'hits']} hits, {table.loc[name, 'only_here']} of them by it alone")


if __name__ == "__main__":
    main()
