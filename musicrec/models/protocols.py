"""The interface of all models, and further interfaces that some models have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from numpy.typing import NDArray
from scipy import sparse

from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.lists import FittedModel

__all__ = ["Arrays", "FittedModel", "ItemFactors", "Model", "Range", "SearchSpace", "Storable", "WarmStarting", "WithSeenItems"]
Arrays = Mapping[str, NDArray[Any] | sparse.csr_matrix]


@dataclass(frozen=True)
class Range:
    """The values of one setting that a search tries: integers when both ends are integers; log: on a logarithmic scale."""

    low: float
    high: float
    log: bool = False


SearchSpace = Mapping[str, Range]


class Model(Protocol):
    """The settings of a method.

    A class whose lists are published as a table of their own has a class attribute `lists_file`, the name of the file (.parquet, or
    .json for JSON lines). A class with a class attribute `search_space` is tuned: Ranges by the names of its fields; while it is, a class
    attribute `search_with` gives the values of further fields. A class with a class attribute `only_seen = True` recommends seen items
    alone: what it fits is WithSeenItems, and its `recommend` finds nothing. It is named in [candidates] familiar.
    """

    def fit(self, train: TrainSet) -> FittedModel:
        """The fitted model."""
        ...


@runtime_checkable
class WarmStarting(Protocol):
    """A fitted model from which a later train set can be fitted faster."""

    def warm_start(self) -> Model:
        """The model for a later train set; it keeps what it needs from this one, not the train set itself."""
        ...


@runtime_checkable
class ItemFactors(Protocol):
    """A fitted model with a vector per item."""

    @property
    def item_factors(self) -> Float32:
        """Float32 (n_items, factors); zeros for an item that the model knows nothing about."""
        ...


@runtime_checkable
class WithSeenItems(Protocol):
    """A fitted model that can also recommend seen items."""

    def recommend_with_seen(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """As recommend, with seen items in the lists."""
        ...


@runtime_checkable
class Storable(Protocol):
    """A fitted model or feature group that can be stored as arrays. The others are fitted again when a recommender is loaded."""

    def arrays(self) -> Arrays:
        """The learned arrays by name."""
        ...

    @classmethod
    def restored(cls, train: TrainSet, settings: Any, arrays: Arrays) -> Self:
        """The fitted model whose arrays() these are; it gives bit-identical answers."""
        ...
