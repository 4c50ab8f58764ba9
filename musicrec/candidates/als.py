"""ALS: factors of users and items from weighted least squares on plays (Hu, Koren, Volinsky, 2008), trained by `implicit`.

A played pair has confidence 1 + alpha x its weight, every other pair confidence 1 and preference 0. Genres and artists can join as
further rows that "play" their tracks with confidence 1 + the weight of their kind (collective factorisation, Singh and Gordon, 2008;
with implicit feedback, Fang and Si, 2011): tracks of one genre or artist are drawn together, and unplayed tracks get factors.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits
from tqdm import TqdmWarning, tqdm

from musicrec.candidates.evidence import check_recency, query
from musicrec.candidates.inner_product import NormOrder
from musicrec.candidates.top_k import rows_of
from musicrec.candidates.weights import checked
from musicrec.errors import ArtifactError, GeneratorError
from musicrec.files import replaced
from musicrec.matrix import Float32, History, Int32

with warnings.catch_warnings():
    # In a notebook without ipywidgets the import warns about a progress bar that is not shown anyway.
    warnings.simplefilter("ignore", TqdmWarning)
    from implicit.cpu.als import AlternatingLeastSquares

# Below so many plays threads cost more than they save.
SMALL = 200_000
# From so many plays on, training anew costs minutes, and a later history is learned from the factors of an earlier one.
LARGE = 20_000_000


@dataclass(frozen=True)
class Als:
    """Settings of the training.

    genre_weight, artist_weight: confidence beyond 1 of a genre's or artist's tracks; 0 leaves the kind out.
    half_life_days: above 0, users are asked about with factors computed anew from a history that fades to `floor` with age.
    refit_iterations: passes over a history of at least LARGE plays when factors of an earlier history are at hand.
    verbose: show the progress bar where stderr is no terminal, too, and the loss, which costs one more pass over the plays
    an iteration.
    """

    factors: int = 64
    iterations: int = 10
    refit_iterations: int = 3
    regularization: float = 3.0
    alpha: float = 2.0
    genre_weight: float = 10.0
    artist_weight: float = 10.0
    half_life_days: float = 0.0
    floor: float = 0.1
    seed: int = 0
    verbose: bool = False

    def fit(self, history: History) -> "AlsRecommender":
        """The trained factors. O(iterations x (plays x factors + (n_users + n_items) x factors^2)) time.

        Pairs of weight zero teach nothing but stay heard. Raises GeneratorError for weights that are negative, infinite or NaN,
        for settings that make no sense, and for factors that diverge.
        """
        return self.begun_at(None, history)

    def begun_at(self, start: Float32 | None, history: History) -> "AlsRecommender":
        """The same, in refit_iterations passes that begin with item factors `start` where there are some."""
        self._check()
        users, items = self._factors(sparse.vstack([self._confidence(history), *self._names(history)], format="csr"), start)
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise GeneratorError(f"als diverged: factors are not finite with alpha {self.alpha} and regularization {self.regularization}; "
                                 "raise regularization or lower alpha.")
        return AlsRecommender(history, users[: len(history.user_ids)], items, self)

    def _check(self) -> None:
        if min(self.factors, self.iterations, self.refit_iterations) < 1:
            raise GeneratorError(f"als needs at least 1 factor and 1 iteration, not {self.factors}, {self.iterations} "
                                 f"and, to learn on, {self.refit_iterations}.")
        check_recency(self.half_life_days, self.floor)
        if not (self.genre_weight >= 0 and self.artist_weight >= 0 and np.isfinite(self.genre_weight + self.artist_weight)):
            raise GeneratorError(f"als needs genre_weight and artist_weight of at least 0, not {self.genre_weight} "
                                 f"and {self.artist_weight}.")
        if not (self.regularization >= 0 and np.isfinite(self.regularization) and self.alpha > 0 and np.isfinite(self.alpha)):
            raise GeneratorError(f"als needs regularization of at least 0 and alpha above 0, not {self.regularization} and {self.alpha}.")

    def _confidence(self, history: History) -> sparse.csr_matrix:
        weight, matrix = checked(history), history.matrix
        values = weight * np.float32(self.alpha)
        values += 1
        confidence = sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape)
        if not weight.all():
            # implicit would take a stored 0 for less confidence than in a pair that was never played.
            confidence = confidence.copy()
            confidence.data[weight == 0] = 0
            confidence.eliminate_zeros()
        return confidence

    def _names(self, history: History) -> list[sparse.csr_matrix]:
        kinds = ((self.genre_weight, history.catalogue.genres), (self.artist_weight, history.catalogue.artists))
        return [_rows_of_names(links, weight) for weight, links in kinds if weight > 0]

    def _factors(self, confidence: sparse.csr_matrix, start: Float32 | None) -> tuple[Float32, Float32]:
        if confidence.nnz == 0:
            return tuple(np.zeros((n, self.factors), np.float32) for n in confidence.shape)  # type: ignore[return-value]
        iterations = self.iterations if start is None else self.refit_iterations
        # Threads of BLAS inside the threads of implicit make training ten times slower.
        with threadpool_limits(1, user_api="blas"), tqdm(total=iterations, desc="als", disable=False if self.verbose else None) as bar:
            model = AlternatingLeastSquares(self.factors, self.regularization, iterations=iterations, dtype=np.float32,
                                            random_state=self.seed, calculate_training_loss=self.verbose,
                                            num_threads=1 if confidence.nnz < SMALL else 0)
            # A pass begins with the users, so factors of items are all that a start needs.
            model.item_factors = None if start is None else start.copy()

            def step(_: int, __: float, loss: float | None) -> None:
                bar.set_postfix({} if loss is None else {"loss": f"{loss:.5f}"})
                bar.update()

            try:
                model.fit(confidence, show_progress=False, callback=step)
            except Exception as cause:
                raise GeneratorError(f"als could not be trained with regularization {self.regularization} and alpha {self.alpha}: "
                                     f"{cause}.") from cause
        return model.user_factors, model.item_factors


class AlsRecommender:
    """Factors of users (n_users, factors) and items (n_items, factors), float32; the score of a pair is their inner product."""

    def __init__(self, history: History, user_factors: Float32, item_factors: Float32, settings: Als) -> None:
        self.history, self.user_factors, self.item_factors, self.settings = history, user_factors, item_factors, settings
        self.order = NormOrder(item_factors)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), exact, heard items removed before the cut. Row -1 is empty."""
        return self.order.top_k(self.factors_of(user_index), rows_of(self.history.matrix, user_index), k)

    def onward(self) -> "AlsOnward":
        """The generator for a later history of the same catalogue, which begins with these item factors."""
        return AlsOnward(self.settings, self.item_factors)

    def factors_of(self, user_index: Int32) -> Float32:
        """Factors float32 (n, factors) that answer for these rows: the trained ones, or with half_life_days those of the faded history.

        Zeros for row -1. Computing anew solves one system a user, O(plays x factors^2 + factors^3).
        """
        if self.settings.half_life_days > 0 and len(user_index) and len(self.user_factors):
            return self._folded_in(user_index)
        factors = np.zeros((len(user_index), self.user_factors.shape[1]), np.float32)
        known = user_index >= 0
        factors[known] = self.user_factors[user_index[known]]
        return factors

    def _folded_in(self, user_index: Int32) -> Float32:
        settings = self.settings
        rows = query(self.history, self.history.matrix, user_index, settings.half_life_days, settings.floor)
        rows.eliminate_zeros()
        rows.data = 1 + np.float32(settings.alpha) * rows.data
        with threadpool_limits(1, user_api="blas"):
            factors: Float32 = self._model.recalculate_user(np.arange(len(user_index)), rows)
        return factors

    @cached_property
    def _model(self) -> AlternatingLeastSquares:
        model = AlternatingLeastSquares(self.settings.factors, self.settings.regularization, dtype=np.float32)
        model.item_factors = self.item_factors
        return model

    def save(self, path: Path) -> None:
        """Write user_ids, item_ids, user_factors and item_factors to `path` as npz without pickle; the file appears when it is whole.

        Raises StorageError when the disk is full or refuses.
        """
        with replaced(path) as half, half.open("wb") as file:
            np.savez(file, user_ids=self.history.user_ids, item_ids=self.history.item_ids,
                     user_factors=self.user_factors, item_factors=self.item_factors)


@dataclass(frozen=True)
class AlsOnward:
    """Als for a history that goes on from one whose item factors are known."""

    settings: Als
    item_factors: Float32

    def fit(self, history: History) -> AlsRecommender:
        """Below LARGE plays trained anew as by Als.fit, else refit_iterations passes from the known factors. Raises as Als.fit does."""
        return self.settings.begun_at(self.item_factors if history.matrix.nnz >= LARGE else None, history)


def load(path: Path, history: History, settings: Als) -> AlsRecommender:
    """The recommender stored at `path` by save, for a history with the same users and items, and the settings it was trained with.

    Raises ArtifactError when the file is missing, damaged or belongs to another history.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            parts = {name: stored[name] for name in ("user_ids", "item_ids", "user_factors", "item_factors")}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as cause:
        raise ArtifactError(f"{path} is no readable ALS model ({cause}); train it again.") from cause
    if not (np.array_equal(parts["user_ids"], history.user_ids) and np.array_equal(parts["item_ids"], history.item_ids)):
        raise ArtifactError(f"{path} was trained on other users or items than this history has; train it again.")
    return AlsRecommender(history, parts["user_factors"], parts["item_factors"], settings)


def _rows_of_names(links: sparse.csr_matrix, weight: float) -> sparse.csr_matrix:
    rows = sparse.csr_matrix(links.T)
    rows = rows[np.diff(rows.indptr) > 1]
    return sparse.csr_matrix((np.full(rows.nnz, 1 + weight, np.float32), rows.indices, rows.indptr), rows.shape)
