"""Calibration of similarities from several sources to one scale."""

import numpy as np

from musicrec.dataset import Float32, Int32


def calibrated(points: Float32, sample: Int32, known: Int32, items: Int32, raw: Float32, scores: Float32) -> Float32:
    """`scores` mapped to the scale of cosines between rows of `points` (unit vectors), clipped to 0..1.

    sample (m,), items (m, k), raw (m, k): pairs of items and their raw scores. Those with both items in `known` are divided into 20 bins
    by raw score; a score becomes the mean cosine of its bin, interpolated and made monotone, plus 0.001 x the score, which keeps
    the order. With fewer than 100 such pairs scores are only clipped.
    """
    use = np.isin(items, known) & np.isfinite(raw)
    rows, columns = np.nonzero(use)
    mapped = np.where(scores > 0, scores, 0).astype(np.float64)
    if len(rows) >= 100:
        cosine = np.clip(np.einsum("nf,nf->n", points[sample[rows]], points[items[rows, columns]]), 0, 1)
        x = raw[rows, columns].astype(np.float64)
        edges = np.unique(np.quantile(x, np.linspace(0, 1, 21)))
        bins = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
        counts = np.bincount(bins)
        filled = counts > 0
        centers, means = (np.bincount(bins, weights=v)[filled] / counts[filled] for v in (x, cosine))
        mapped = np.interp(mapped, centers, np.maximum.accumulate(means)) * 0.999 + mapped * 0.001
    return np.where(np.isfinite(scores), np.clip(mapped, 0, 1), -np.inf).astype(np.float32)
