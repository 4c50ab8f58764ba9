"""Two lists as one, each with its share of the places: familiar items among new ones."""

import numpy as np
from numpy.typing import NDArray


def places(n: int, share: float) -> NDArray[np.float64]:
    """Where the n items of a list stand that gets `share` of the places, float64 (n,); the places of two lists put in order mix them.

    As in the method of Webster and Sainte-Lague, either list has its share of the first places, rounded, however many these are.

    >>> places(2, 0.5).tolist(), places(2, 0.25).tolist()
    ([1.0, 3.0], [2.0, 6.0])
    """
    return np.arange(0.5, n, dtype=np.float64) / max(share, 1e-9)


def mixed(familiar: NDArray[np.int32], new: NDArray[np.int32], share: float, k: int) -> NDArray[np.int32]:
    """The first k items of both lists of each user mixed, int32 (n, k); familiar: (n, a), new: (n, b), -1 where a list has ended.

    Where one list ends, the other one goes on alone. At equal places familiar items come first.

    >>> mixed(np.array([[1, 2, -1]]), np.array([[7, 8, 9]]), share=0.5, k=6).tolist()
    [[1, 7, 2, 8, 9, -1]]
    """
    both = np.concatenate([familiar, new, np.full((len(familiar), k), -1)], axis=1)
    at = np.concatenate([places(familiar.shape[1], share), places(new.shape[1], 1 - share), np.full(k, np.inf)])
    order = np.argsort(np.where(both >= 0, at, np.inf), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(both, order, axis=1).astype(np.int32)
