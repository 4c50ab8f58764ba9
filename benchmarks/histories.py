"""What a bound on histories saves and costs: models that count a user's latest items, and an artist's tracks with most listeners, only.

    python -m benchmarks.histories --data FOLDER [--cutoff 2022-12-16] [--asked 4000]

FOLDER holds items.parquet and events.parquet as a training run leaves them in its workspace. Each model is fitted to the plays before the
cutoff twice, without bounds and as shipped, and recommends to the same users of the test set: seconds of a core for the fit, milliseconds
of a core for a user, recall@100 and ndcg@10 of the plays after the cutoff.
"""

import argparse
import time
from datetime import datetime
from pathlib import Path

from benchmarks.children import machine
from benchmarks.user_knn import split_catalog
from musicrec.dataset import Dataset, of_users, second
from musicrec.evaluation import Evaluator
from musicrec.lists import batches
from musicrec.models import ArtistAffinity, Content, ItemKNN, Model, UserKNN
from musicrec.ranking import sampled_users

ALL, BATCH, K = 10**9, 2048, 100
# max_pairs bounds the histories that ItemKNN compares; without any bound its fit would take hours at full size.
UNBOUNDED: dict[str, Model] = {
    "item_knn": ItemKNN(max_items_of_user=300, max_pairs=6_000_000_000), "user_knn": UserKNN(max_items_of_user=ALL),
    "content": Content(max_items_of_user=ALL, max_tracks=ALL), "artist_affinity": ArtistAffinity(max_items_of_user=ALL, max_tracks=ALL)}


def main() -> None:
    """Print two rows a model, and the ratio of the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cutoff", type=datetime.fromisoformat, default=datetime(2022, 12, 16))
    parser.add_argument("--asked", type=int, default=4000)
    asked = parser.parse_args()
    train, test = Dataset(asked.data / "events.parquet", split_catalog(asked.data)).split(second(asked.cutoff))
    warm = of_users(test, train.user_ids)
    evaluator = Evaluator(train, of_users(warm, sampled_users(warm, asked.asked, 0)), (10, K))
    print(f"{len(train.user_ids):,} users x {len(train.catalog):,} tracks, {train.matrix.nnz:,} pairs; {machine()}")
    print(f"{'':32s} {'fit':>8s} {'a user':>10s} {'recall@100':>11s} {'ndcg@10':>8s}")
    for name, whole in UNBOUNDED.items():
        took = []
        for label, model in ((f"{name} before", whole), (f"{name} as shipped", type(whole)())):
            began = time.process_time()
            fitted = model.fit(train)
            fit, rows = time.process_time() - began, evaluator.train_rows
            fitted.recommend(rows[:64], K)
            began = time.process_time()
            parts = list(batches(fitted, evaluator.user_ids, rows, K, BATCH))
            took.append((time.process_time() - began) / len(rows) * 1000)
            for lists in parts:
                evaluator.add(label, lists)
            recall, ndcg = (evaluator.relevance(label)[metric].mean() for metric in ("recall@100", "ndcg@10"))
            print(f"{label:32s} {fit:6.1f} s {took[-1]:7.3f} ms {recall:11.4f} {ndcg:8.4f}", flush=True)
            del fitted
        print(f"{name + ' before / as shipped':32s} {'':8s} {took[0] / took[1]:8.2f} x", flush=True)


if __name__ == "__main__":
    main()
