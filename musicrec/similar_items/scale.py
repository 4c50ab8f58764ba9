"""One scale for similarities from several sources."""

import numpy as np

from musicrec.matrix import Float32, Int32


def on_scale_of(points: Float32, sample: Int32, known: Int32, items: Int32, raw: Float32, scores: Float32) -> Float32:
    """`scores` mapped to 0..1 on the scale of cosines between rows of `points` (unit vectors).

    sample (m,), items (m, k), raw (m, k): pairs whose raw score is known. Those with both sides in `known` are cut into 20 bins by raw
    score; a score becomes the mean cosine of its bin, interpolated and made monotone, with a thousandth of the raw score added to keep
    its order. With fewer than 100 such pairs the scores stay as they are.
    """
    use = np.isin(items, known) & np.isfinite(raw)
    rows, columns = np.nonzero(use)
    mapped = np.where(scores > 0, scores, 0).astype(np.float64)
    if len(rows) >= 100:
        cosine = np.clip(np.einsum("nf,nf->n", points[sample[rows]], points[items[rows, columns]]), 0, 1)
        x = raw[rows, columns].astype(np.float64)
        edges = np.unique(np.quantile(x, np.linspace(0, 1, 21)))
        place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
        counts = np.bincount(place)
        there = counts > 0
        centres, means = (np.bincount(place, weights=v)[there] / counts[there] for v in (x, cosine))
        mapped = np.interp(mapped, centres, np.maximum.accumulate(means)) * 0.999 + mapped * 0.001
    return np.where(np.isfinite(scores), np.clip(mapped, 0, 1), -np.inf).astype(np.float32)
