"""Pictures of the quality of models and of what the ranker uses."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from musicrec.plots.style import BLUE, GREY, INK, ORANGE, PALETTE, frame, shortened


def models(table: pd.DataFrame, metric: str = "ndcg@10", marked: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """Bars of `metric`, best on top, with 95 % intervals where the table has {metric}_low and {metric}_high (columns model, metric).

    marked: models in another color, such as the baselines.
    """
    rows = table.sort_values(metric, ascending=False, kind="stable", ignore_index=True)
    ax = frame(f"{metric} of each model", f"{metric}, mean over users", "", ax, height=0.38 * len(rows) + 1.4, grid="x")
    places, values = np.arange(len(rows)), rows[metric].to_numpy(float)
    ax.barh(places, values, height=0.66, color=[ORANGE if name in marked else BLUE for name in rows["model"]])
    ends = values
    if {f"{metric}_low", f"{metric}_high"} <= set(rows.columns):
        low, ends = rows[f"{metric}_low"].to_numpy(float), rows[f"{metric}_high"].to_numpy(float)
        ax.errorbar(values, places, xerr=np.abs([values - low, ends - values]), fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
        ax.set_xlabel(f"{metric}, mean over users with 95 % interval")
    for place, value, end in zip(places, values, ends):
        ax.annotate(f"  {value:.4f}", (end, place), va="center", fontsize=9, color=INK)
    ax.set_yticks(places, [str(name) for name in rows["model"]])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.18 * float(max(np.nanmax(ends, initial=0), 1e-9)))
    return ax


def quality_and_speed(table: pd.DataFrame, metric: str = "ndcg@10", marked: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """Points of `metric` against users per second (columns model, metric, users_per_second): best is top right."""
    ax = frame(f"{metric} and speed of each model", "users per second (log)", f"{metric}, mean over users", ax)
    colors = [ORANGE if name in marked else BLUE for name in table["model"]]
    ax.scatter(table["users_per_second"], table[metric], s=46, color=colors, zorder=3)
    ax.set_xscale("log")
    ax.margins(x=0.2, y=0.12)
    _named_points(ax, [str(name) for name in table["model"]], table["users_per_second"].to_numpy(float), table[metric].to_numpy(float))
    return ax


def _named_points(ax: Axes, names: Sequence[str], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    # Each name takes the first of four corners of its point where it lies on no earlier name.
    taken: list[Bbox] = []
    for name, point in zip(names, zip(x, y)):
        for dx, dy in ((7, 4), (7, -12), (-7, 4), (-7, -12)):
            text = ax.annotate(name, point, xytext=(dx, dy), textcoords="offset points", fontsize=9, color=INK,
                               ha="left" if dx > 0 else "right")
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            text = ax.annotate(name, point, xytext=(7, 18), textcoords="offset points", fontsize=9, color=INK)
            box = text.get_window_extent()
        taken.append(box)


def metric_by_k(table: pd.DataFrame, metric: str, ks: Sequence[int], ax: Axes | None = None) -> Axes:
    """One line per model: `metric` against the length of the list (columns model and {metric}@{k} for each of ks)."""
    ax = frame(f"{metric} by length of the list", "k, length of the list (log)", metric, ax)
    for place, row in enumerate(table.to_dict("records")):
        style = ("-", "--", ":")[place // len(PALETTE) % 3]
        ax.plot(ks, [row[f"{metric}@{k}"] for k in ks], color=PALETTE[place % len(PALETTE)], linestyle=style, linewidth=1.8, marker="o",
                markersize=4, label=str(row["model"]))
    ax.set_xscale("log")
    ax.set_xticks(list(ks), [str(k) for k in ks])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def parameter(table: pd.DataFrame, name: str, metric: str = "ndcg@10", ax: Axes | None = None) -> Axes:
    """One point per row of a table of evaluation.evaluate whose index holds the values of a parameter, in order, with 95 % intervals."""
    ax = frame(f"{metric} by {name}", name, f"{metric} with 95 % interval", ax)
    places, values = np.arange(len(table)), table[metric].to_numpy(float)
    intervals = np.abs([values - table[f"{metric}_low"].to_numpy(float), table[f"{metric}_high"].to_numpy(float) - values])
    ax.errorbar(places, values, yerr=intervals, color=BLUE, linewidth=1.8, marker="o", ecolor=GREY, elinewidth=1.2, capsize=3)
    ax.set_xticks(places, [str(value) for value in table.index])
    ax.margins(x=0.15)
    return ax


def learning_curve(table: pd.DataFrame, loss: str = "Logloss", ax: Axes | None = None) -> Axes:
    """Loss on train and validation rows by number of trees (columns trees, train, validation, best), the best number marked."""
    ax = frame("Learning curve of the ranker", "trees", loss, ax, grid="both")
    for column, color in (("train", GREY), ("validation", BLUE)):
        ax.plot(table["trees"], table[column], color=color, linewidth=2, label=column)
    best = int(table.loc[table["best"], "trees"].iloc[0])
    ax.axvline(best, color=ORANGE, linewidth=1.5, label=f"best: {best}")
    ax.legend(frameon=False, fontsize=10)
    return ax


def feature_importance(importance: Mapping[str, float] | pd.Series, n: int = 20, ax: Axes | None = None) -> Axes:
    """Bars of the n features with most importance (name -> percent), the largest on top."""
    values = pd.Series(importance, dtype=float).sort_values(ascending=False, kind="stable").head(n)
    ax = frame("What the ranker uses", "importance, percent of the change in prediction", "", ax,
               height=0.32 * len(values) + 1.3, grid="x")
    places = np.arange(len(values))
    ax.barh(places, values.to_numpy(), height=0.7, color=BLUE)
    ax.set_yticks(places, [shortened(str(name)) for name in values.index])
    ax.invert_yaxis()
    ax.margins(y=0.01)
    return ax


def segments(table: pd.DataFrame, metric: str = "recall@10", of: str = "users", ax: Axes | None = None) -> Axes:
    """Groups of bars: `metric` of each model within each segment, in order of the table.

    table: columns model, of, segment, count and metric. of: "users" or "tracks".
    """
    rows = table[table["of"] == of]
    wide = rows.pivot(index="segment", columns="model", values=metric)
    wide = wide.loc[list(dict.fromkeys(rows["segment"])), list(dict.fromkeys(rows["model"]))]
    ax = frame(f"{metric} by segment of {of}", f"segment of {of} (how many)", metric, ax)
    width = 0.8 / max(len(wide.columns), 1)
    for place, name in enumerate(wide.columns):
        color = PALETTE[place] if place < len(PALETTE) else GREY
        left = np.arange(len(wide)) + (place - (len(wide.columns) - 1) / 2) * width
        ax.bar(left, wide[name], width=0.92 * width, color=color, label=str(name))
    counts = rows.drop_duplicates("segment").set_index("segment")["count"]
    ax.set_xticks(np.arange(len(wide)), [f"{segment}\n({counts[segment]:,})" for segment in wide.index])
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
