"""Interactions as a sparse user x item matrix, the catalog that describes its columns, and splits in time.

The items of a train set are those that existed at its cutoff, and its users those who played something before it: plays and catalog
rows that came later change nothing in it.
"""

from musicrec.dataset.arrays import Float32, Int32, Places, chunks, counts_by_row, index_of, positions_of_rows
from musicrec.dataset.building import Builder, EventBatch, interactions, interactions_from_batches
from musicrec.dataset.catalog import Catalog, catalog
from musicrec.dataset.cutoffs import Fold, Timeline, cutoff, folds_before, folds_of_days, latest_folds
from musicrec.dataset.feedback import centered
from musicrec.dataset.interactions import Interactions, Repeats, TrainSet
from musicrec.dataset.split import Dataset, of_users, random_holdout, train_set_of_users
from musicrec.dataset.times import DAY, moment, second

__all__ = [
    "DAY",
    "Builder",
    "Catalog",
    "Dataset",
    "EventBatch",
    "Float32",
    "Fold",
    "Int32",
    "Interactions",
    "Places",
    "Repeats",
    "Timeline",
    "TrainSet",
    "catalog",
    "centered",
    "chunks",
    "counts_by_row",
    "cutoff",
    "folds_before",
    "folds_of_days",
    "index_of",
    "interactions",
    "interactions_from_batches",
    "latest_folds",
    "moment",
    "of_users",
    "positions_of_rows",
    "random_holdout",
    "second",
    "train_set_of_users",
]
