"""The one style: sizes, colors, number formats, and the frame that every picture starts from."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

BLUE, ORANGE, GREEN, GREY, INK = "#3b6ea5", "#d9822b", "#5a9367", "#b8bfc7", "#2f3640"
PALETTE = (BLUE, ORANGE, GREEN, "#8c6bb1", "#c2554d", "#7f8c8d")
SIZE = (8.0, 4.2)


def frame(title: str, x: str, y: str, ax: Axes | None = None, *, height: float = SIZE[1], grid: str = "y") -> Axes:
    """Axes with title, axis names, light grid lines across `grid` ("x", "y" or "both") and no box; a new figure when ax is None."""
    if ax is None:
        _, ax = plt.subplots(figsize=(SIZE[0], height), layout="constrained")
    ax.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=12)
    ax.set_xlabel(x, fontsize=11, color=INK)
    ax.set_ylabel(y, fontsize=11, color=INK)
    ax.tick_params(labelsize=10, colors=INK, length=0)
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ax.spines["bottom"].set_visible(grid != "x")
    ax.spines["bottom"].set_color(GREY)
    ax.grid(axis=grid, color="#e3e7eb", linewidth=0.8)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    return ax


def amount(value: float, _: Any = None) -> str:
    """A number as a person reads it.

    >>> [amount(v) for v in (0, 0.25, 7, 950, 12_500, 3_000_000, 222_600_000)]
    ['0', '0.25', '7', '950', '12.5k', '3M', '223M']
    """
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def percent(value: float, _: Any = None) -> str:
    """A share as a percentage.

    >>> percent(0.125), percent(0.5)
    ('12.5%', '50%')
    """
    return f"{100 * value:.3g}%"


AMOUNTS, PERCENTS = FuncFormatter(amount), FuncFormatter(percent)


def shortened(text: str, most: int = 44) -> str:
    """`text` on one line, with an ellipsis where it is longer than `most` characters; what cannot be printed is left out.

    >>> shortened("Smells Like\\nTeen Spirit", 12)
    'Smells Like…'
    """
    text = "".join(one for one in " ".join(text.split()) if one.isprintable())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
