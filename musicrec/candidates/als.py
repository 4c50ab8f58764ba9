"""ALS: factors of users and items from weighted least squares on plays (Hu, Koren, Volinsky, 2008), trained by `implicit`.

A played pair has confidence 1 + alpha x its weight, every other pair confidence 1 and preference 0.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from musicrec.candidates.inner_product import NormOrder
from musicrec.candidates.top_k import rows_of
from musicrec.candidates.weights import checked
from musicrec.errors import ArtifactError, GeneratorError
from musicrec.matrix import Float32, History, Int32


@dataclass(frozen=True)
class Als:
    """Settings of the training. verbose shows a progress bar and the loss, which costs one more pass over the plays an iteration."""

    factors: int = 64
    iterations: int = 15
    regularization: float = 1.0
    alpha: float = 2.0
    seed: int = 0
    verbose: bool = False

    def fit(self, history: History) -> "AlsRecommender":
        """The trained factors. O(iterations x (plays x factors + (n_users + n_items) x factors^2)) time.

        Pairs of weight zero teach nothing but stay heard. Raises GeneratorError for weights that are negative, infinite or NaN,
        for settings that make no sense, and for factors that diverge.
        """
        self._check()
        users, items = self._factors(self._confidence(history))
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise GeneratorError(f"als diverged: factors are not finite with alpha {self.alpha} and regularization {self.regularization}; "
                                 "raise regularization or lower alpha.")
        return AlsRecommender(history, users, items)

    def _check(self) -> None:
        if self.factors < 1 or self.iterations < 1:
            raise GeneratorError(f"als needs at least 1 factor and 1 iteration, not {self.factors} and {self.iterations}.")
        if not (self.regularization >= 0 and np.isfinite(self.regularization) and self.alpha > 0 and np.isfinite(self.alpha)):
            raise GeneratorError(f"als needs regularization of at least 0 and alpha above 0, not {self.regularization} and {self.alpha}.")

    def _confidence(self, history: History) -> sparse.csr_matrix:
        weight, matrix = checked(history), history.matrix
        values = np.where(weight > 0, 1 + np.float32(self.alpha) * weight, 0).astype(np.float32)
        confidence = sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape)
        if not weight.all():
            # implicit would take a stored 0 for less confidence than in a pair that was never played.
            confidence = confidence.copy()
            confidence.eliminate_zeros()
        return confidence

    def _factors(self, confidence: sparse.csr_matrix) -> tuple[Float32, Float32]:
        if confidence.nnz == 0:
            return tuple(np.zeros((n, self.factors), np.float32) for n in confidence.shape)  # type: ignore[return-value]
        # Threads of BLAS inside the threads of implicit make training ten times slower.
        with threadpool_limits(1, user_api="blas"), tqdm(total=self.iterations, desc="als", disable=None if self.verbose else True) as bar:
            model = AlternatingLeastSquares(self.factors, self.regularization, iterations=self.iterations, dtype=np.float32,
                                            random_state=self.seed, calculate_training_loss=self.verbose)

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

    def __init__(self, history: History, user_factors: Float32, item_factors: Float32) -> None:
        self.history, self.user_factors, self.item_factors = history, user_factors, item_factors
        self.order = NormOrder(item_factors)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), exact, heard items removed before the cut. Row -1 is empty."""
        factors = np.zeros((len(user_index), self.user_factors.shape[1]), np.float32)
        known = user_index >= 0
        factors[known] = self.user_factors[user_index[known]]
        return self.order.top_k(factors, rows_of(self.history.matrix, user_index), k)

    def save(self, path: Path) -> None:
        """Write user_ids, item_ids, user_factors and item_factors to `path` as npz without pickle; the file appears when it is whole."""
        half = path.with_name(path.name + ".part")
        try:
            with half.open("wb") as file:
                np.savez(file, user_ids=self.history.user_ids, item_ids=self.history.item_ids,
                         user_factors=self.user_factors, item_factors=self.item_factors)
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)


def load(path: Path, history: History) -> AlsRecommender:
    """The recommender stored at `path` by save, for a history with the same users and items.

    Raises ArtifactError when the file is missing, damaged or belongs to another history.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            parts = {name: stored[name] for name in ("user_ids", "item_ids", "user_factors", "item_factors")}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as cause:
        raise ArtifactError(f"{path} is no readable ALS model ({cause}); train it again.") from cause
    if not (np.array_equal(parts["user_ids"], history.user_ids) and np.array_equal(parts["item_ids"], history.item_ids)):
        raise ArtifactError(f"{path} was trained on other users or items than this history has; train it again.")
    return AlsRecommender(history, parts["user_factors"], parts["item_factors"])
