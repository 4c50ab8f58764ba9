"""Plays as a sparse user x item matrix with its two id maps, and the catalogue that its columns follow.

The item axis is the whole catalogue (items.parquet), so an item index means the same in every history and in its labels.
The user axis is made of the users who occur in these plays and of nobody else: later users cannot shift anything.
"""

from musicrec.matrix.arrays import Float32, Int32, Places, index_of, kept_of_rows, parts
from musicrec.matrix.building import Batch, plays, plays_from_batches
from musicrec.matrix.catalogue import Catalogue, catalogue
from musicrec.matrix.history import History, Plays

__all__ = [
    "Batch", "Catalogue", "Float32", "History", "Int32", "Places", "Plays", "catalogue", "index_of", "kept_of_rows", "parts", "plays",
    "plays_from_batches",
]
