"""ALS: matrix factorization of implicit feedback by alternating least squares (Hu, Koren, Volinsky, 2008).

A played pair has preference 1 and confidence 1 + alpha x weight, every other pair preference 0 and confidence 1. Genres and artists can be
added as rows of the matrix that have "played" their tracks with confidence 1 + the weight of their kind (collective matrix factorization,
Singh and Gordon, 2008; with implicit feedback, Fang and Si, 2011): tracks of the same genre or artist get similar factors, and tracks
that nobody has played get factors at all.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from musicrec.dataset import Float32, Int32, TrainSet, index_of
from musicrec.errors import ArtifactError, ModelError
from musicrec.files import replaced
from musicrec.models import cuda
from musicrec.models.als_kernel import Alternation, improve
from musicrec.models.mips import MipsIndex
from musicrec.models.protocols import Arrays, Range, SearchSpace
from musicrec.models.top_k import rows_of
from musicrec.models.weights import check_recency, checked_weights, decayed_rows
from musicrec.progress import progress

# Steps of conjugate gradients per row and half-iteration. More of them make iterations dearer, but hardly fewer.
STEPS = 3
# With more pairs than this a single fit is made: several would take minutes.
SMALL = 2_000_000
# Fits of each number of factors, by different random seeds, where several are made.
SEEDS = 2
# With at least as many pairs as this, training from scratch takes minutes, so a later train set starts from known factors.
LARGE = 20_000_000
TINY = 1e-30

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ALS:
    """Alternating least squares.

    genre_weight, artist_weight: confidence above 1 of a genre's or artist's tracks; 0 leaves genres or artists out.
    half_life_days: above 0, the factors of a user are recomputed when recommending, from plays that decay with age to min_weight.
    Training ends after so many iterations, or when one changes the item factors by a share of less than `tolerance`.
    spread: above 1, the scores are the mean of six fits, two each with factors / spread, factors and factors x spread; a train set of more
    than SMALL pairs has a single fit.
    device: where it trains and recommends: "cuda" on a GPU, "auto" there if one can be used, "cpu" never. A GPU gives the same factors up
    to rounding, and from the same factors the same lists.
    """

    lists_file: ClassVar[str] = "personal_als.parquet"
    model_file: ClassVar[str] = "als_model.npz"
    search_space: ClassVar[SearchSpace] = {
        "factors": Range(12, 128, log=True), "regularization": Range(0.1, 100.0, log=True), "alpha": Range(0.5, 40.0, log=True),
        "genre_weight": Range(1.0, 40.0, log=True), "artist_weight": Range(1.0, 40.0, log=True)}
    search_with: ClassVar[Mapping[str, Any]] = {"spread": 1.0}
    factors: int = 64
    spread: float = 2.0
    iterations: int = 10
    tolerance: float = 0.05
    regularization: float = 3.0
    alpha: float = 2.0
    genre_weight: float = 10.0
    artist_weight: float = 10.0
    half_life_days: float = 0.0
    min_weight: float = 0.1
    seed: int = 0
    device: str = "auto"

    def fit(self, train: TrainSet) -> "FittedALS":
        """The trained factors; those of several fits stand side by side. O(iterations x (nnz x factors + (n_users + n_items) x factors^2)).

        Nothing is learned from pairs of weight 0, which stay seen. Raises ModelError for weights that are negative, infinite or NaN, for
        settings out of range, and for factors that diverge.
        """
        self._check()
        if self.spread == 1 or train.matrix.nnz > SMALL:
            return self.fit_from(None, train)
        sizes = (max(round(self.factors * power), 1) for power in (1 / self.spread, 1.0, self.spread))
        fits = [replace(self, factors=size, seed=self.seed + more) for size in sizes for more in range(SEEDS)]
        return _averaged([one.fit_from(None, train) for one in fits], self)

    def fit_from(self, start: "Start | None", train: TrainSet) -> "FittedALS":
        """As a single fit, with iterations that go on from these factors; from random ones when None."""
        self._check()
        users, items = self._factors(self._confidence(train), start)
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise ModelError(f"als diverged with alpha {self.alpha} and regularization {self.regularization}; raise regularization or "
                             "lower alpha.")
        return FittedALS(train, users[: len(train.user_ids)], items, self)

    def _check(self) -> None:
        if min(self.factors, self.iterations) < 1 or not self.tolerance >= 0:
            raise ModelError(f"als needs factors and iterations of at least 1 and tolerance of at least 0, not {self.factors}, "
                             f"{self.iterations} and {self.tolerance}.")
        if not (self.spread >= 1 and np.isfinite(self.spread)):
            raise ModelError(f"als needs a spread of at least 1, not {self.spread}.")
        check_recency(self.half_life_days, self.min_weight)
        if not (self.genre_weight >= 0 and self.artist_weight >= 0 and np.isfinite(self.genre_weight + self.artist_weight)):
            raise ModelError(f"als needs genre_weight and artist_weight of at least 0, not {self.genre_weight} and {self.artist_weight}.")
        if not (self.regularization >= 0 and np.isfinite(self.regularization) and self.alpha > 0 and np.isfinite(self.alpha)):
            raise ModelError(f"als needs regularization of at least 0 and alpha above 0, not {self.regularization} and {self.alpha}.")

    def _confidence(self, train: TrainSet) -> sparse.csr_matrix:
        """Rows of the users, and below them those of genres and artists."""
        weights, kinds = checked_weights(train), ((self.genre_weight, train.catalog.genres), (self.artist_weight, train.catalog.artists))
        names = [_confidence_of_names(links, weight) for weight, links in kinds if weight > 0]
        confidence = _below_each_other([train.matrix, *names])
        of_users = confidence.data[:len(weights)]
        of_users *= np.float32(self.alpha)
        of_users += 1
        if not weights.all():
            # A stored pair has preference 1, whatever its confidence.
            of_users[weights == 0] = 0
            confidence.eliminate_zeros()
        return confidence

    def _factors(self, confidence: sparse.csr_matrix, start: "Start | None") -> tuple[Float32, Float32]:
        if confidence.nnz == 0:
            return tuple(np.zeros((n, self.factors), np.float32) for n in confidence.shape)  # type: ignore[return-value]
        users = np.zeros((confidence.shape[0], self.factors), np.float32)
        if start is None:
            items = np.random.default_rng(self.seed).uniform(0, 0.01, (confidence.shape[1], self.factors)).astype(np.float32)
        else:
            # Rows of names have no earlier factors.
            users[: len(start.users)], items = start.users, start.items.copy()
        if cuda.uses_gpu(self.device):
            try:
                return self._iterated(cuda.GpuAlternation(confidence, users, items, self.regularization))
            except cuda.FAILURES as cause:
                if self.device == "cuda":
                    raise ModelError(f"als: the GPU failed ({cause}); set device = cpu or fewer factors.") from cause
                log.warning("als runs on the processor: the GPU failed (%s).", cause)
        return self._iterated(Alternation(confidence, users, items, self.regularization))

    def _iterated(self, sides: Alternation | cuda.GpuAlternation) -> tuple[Float32, Float32]:
        before = sides.factors()[1].copy()
        # BLAS threads within the threads of the kernel make training ten times slower.
        with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"), progress(title="als", total=self.iterations) as bar:
            for _ in range(self.iterations):
                items = sides.iterate(STEPS)
                np.subtract(items, before, out=before)
                change = float(np.linalg.norm(before)) / max(float(np.linalg.norm(items)), TINY)
                bar.set_postfix_str(f"change {change:.3f}", refresh=False)
                bar.update()
                if change < self.tolerance:
                    break
                before[:] = items
        return sides.factors()


class FittedALS:
    """Factors of users (n_users, factors) and items (n_items, factors), float32; the score of a pair is their inner product."""

    def __init__(self, train: TrainSet, user_factors: Float32, item_factors: Float32, settings: ALS) -> None:
        self.train, self.user_factors, self.item_factors, self.settings = train, user_factors, item_factors, settings
        self.index = cuda.GpuIndex(item_factors) if cuda.uses_gpu(settings.device) else MipsIndex(item_factors)

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k), exact; nothing for row -1."""
        return self.index.top_k(self.factors_of(user_index), rows_of(self.train.matrix, user_index), k)

    def recommend_with_seen(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """As recommend, with seen items in the lists."""
        nothing = sparse.csr_matrix((len(user_index), len(self.item_factors)), dtype=np.float32)
        return self.index.top_k(self.factors_of(user_index), nothing, k)

    def warm_start(self) -> "WarmALS":
        """The model for a later train set, which starts from these factors."""
        return WarmALS(self.settings, self.train.user_ids, self.train.item_ids, Start(self.user_factors, self.item_factors))

    def factors_of(self, user_index: Int32) -> Float32:
        """User factors float32 (n, factors): the trained ones, or with half_life_days those recomputed from decayed plays.

        Zeros for row -1. Recomputing solves one linear system per user, O(pairs x factors^2 + factors^3).
        """
        if self.settings.half_life_days > 0 and len(user_index) and len(self.user_factors):
            return self._recomputed(user_index)
        factors = np.zeros((len(user_index), self.user_factors.shape[1]), np.float32)
        known = user_index >= 0
        factors[known] = self.user_factors[user_index[known]]
        return factors

    def _recomputed(self, user_index: Int32) -> Float32:
        settings = self.settings
        rows = decayed_rows(self.train, user_index, settings.half_life_days, settings.min_weight)
        rows.eliminate_zeros()
        rows.data = 1 + np.float32(settings.alpha) * rows.data
        factors = np.zeros((len(user_index), self.item_factors.shape[1]), np.float32)
        with threadpool_limits(1, user_api="blas"):
            improve(factors, rows, self.item_factors, settings.regularization, factors.shape[1])
        return factors

    def arrays(self) -> Arrays:
        """The factors of users and items."""
        return {"user_factors": self.user_factors, "item_factors": self.item_factors}

    @classmethod
    def restored(cls, train: TrainSet, settings: ALS, arrays: Arrays) -> Self:
        """The model with these factors. Raises ArtifactError when they belong to another number of users or items than `train` has."""
        users, items = arrays["user_factors"], arrays["item_factors"]
        if (len(users), len(items)) != train.matrix.shape:
            raise ArtifactError(f"als: factors of {len(users)} users and {len(items)} items do not belong to this train set of "
                                f"{train.matrix.shape[0]} users and {train.matrix.shape[1]} items; fit als on it.")
        return cls(train, users, items, settings)

    def save_npz(self, path: Path) -> None:
        """Write user_ids, item_ids, user_factors, item_factors, alpha and regularization to `path` as npz without pickle; the file appears
        when it is complete.

        Raises StorageError when the file cannot be written.
        """
        with replaced(path) as partial, partial.open("wb") as file:
            np.savez(file, user_ids=self.train.user_ids, item_ids=self.train.item_ids, user_factors=self.user_factors,
                     item_factors=self.item_factors, alpha=self.settings.alpha, regularization=self.settings.regularization)


@dataclass(frozen=True)
class Start:
    """Factors of users (n_users, factors) and items (n_items, factors) from which training goes on, float32."""

    users: Float32
    items: Float32


@dataclass(frozen=True)
class WarmALS:
    """ALS that starts from the factors of an earlier train set, matched by the ids of users and items."""

    settings: ALS
    user_ids: Int32
    item_ids: Int32
    earlier: Start

    def fit(self, train: TrainSet) -> FittedALS:
        """With at least LARGE pairs training goes on from the known factors of a single fit, else the same as ALS.fit. Raises as it does.

        Items that are new since then start near zero, at random, and new users at zero.
        """
        if train.matrix.nnz < LARGE or self.earlier.items.shape[1] != self.settings.factors:
            return self.settings.fit(train)
        return self.settings.fit_from(self._start(train), train)

    def _start(self, train: TrainSet) -> Start:
        rng = np.random.default_rng(self.settings.seed)
        users = np.zeros((len(train.user_ids), self.settings.factors), np.float32)
        items = rng.uniform(-0.01, 0.01, (len(train.item_ids), self.settings.factors)).astype(np.float32)
        for factors, earlier, places in ((users, self.earlier.users, index_of(self.user_ids, train.user_ids)),
                                         (items, self.earlier.items, index_of(self.item_ids, train.item_ids))):
            factors[places >= 0] = earlier[places[places >= 0]]
        return Start(users, items)


def _averaged(fits: Sequence[FittedALS], settings: ALS) -> FittedALS:
    """The model whose scores are the means of those of the fits."""
    scale = np.float32(len(fits) ** -0.5)
    users, items = (np.hstack(side) * scale for side in zip(*((one.user_factors, one.item_factors) for one in fits)))
    return FittedALS(fits[0].train, users, items, settings)


def _below_each_other(matrices: list[sparse.csr_matrix]) -> sparse.csr_matrix:
    """The rows of all matrices; scipy's vstack takes several times as long, and memory."""
    ends = np.cumsum([0, *(one.nnz for one in matrices)])
    indptr = np.concatenate([matrices[0].indptr[:1], *(one.indptr[1:].astype(np.int64) + end for one, end in zip(matrices, ends))])
    data, indices = (np.concatenate([getattr(one, name) for one in matrices]) for name in ("data", "indices"))
    return sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, matrices[0].shape[1]))


def _confidence_of_names(links: sparse.csr_matrix, weight: float) -> sparse.csr_matrix:
    rows = sparse.csr_matrix(links.T)
    rows = rows[np.diff(rows.indptr) > 1]
    return sparse.csr_matrix((np.full(rows.nnz, 1 + weight, np.float32), rows.indices, rows.indptr), rows.shape)
