"""Pictures of tracks: how play is spread over them, and their titles."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from musicrec.plots.style import AMOUNTS, BLUE, GREY, INK, PALETTE, PERCENTS, amount, frame, percent, shortened


def plays_of_tracks(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many tracks have how many plays, both axes logarithmic (columns plays, tracks); the title counts tracks without plays."""
    unplayed = int(table.loc[table["plays"] == 0, "tracks"].sum())
    played = table[table["plays"] > 0]
    extra = f" ({amount(unplayed)} more have none)" if unplayed else ""
    ax = frame(f"Plays per track{extra}", "plays of a track (log)", "tracks (log)", ax, grid="both")
    ax.scatter(played["plays"], played["tracks"], s=9, color=BLUE, linewidths=0)
    _log_log(ax)
    return ax


def popularity(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plays against rank of popularity, both axes logarithmic (columns rank, plays)."""
    ax = frame("Popularity curve", "rank of the track (log)", "plays (log)", ax, grid="both")
    ax.plot(table["rank"], table["plays"], color=BLUE, linewidth=2)
    _log_log(ax)
    return ax


def lorenz(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Share of plays of the least played tracks, against equality with Gini (columns share_of_tracks, share_of_plays)."""
    x, y = table["share_of_tracks"].to_numpy(), table["share_of_plays"].to_numpy()
    inequality = 1 - 2 * np.trapezoid(y, x)
    top = 1 - float(np.interp(0.99, x, y))
    ax = frame(f"Concentration: the top 1% of tracks have {percent(round(top, 3))} of plays", "share of tracks, least played first",
               "share of plays", ax, grid="both")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1.5, linestyle="--", label="all tracks equal")
    ax.plot(x, y, color=BLUE, linewidth=2, label=f"these logs, Gini {inequality:.2f}")
    ax.fill_between(x, y, x, color=BLUE, alpha=0.08)
    ax.legend(frameon=False, loc="upper left", fontsize=10)
    ax.xaxis.set_major_formatter(PERCENTS)
    ax.yaxis.set_major_formatter(PERCENTS)
    return ax


def top_tracks(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Bars of the most played tracks with titles and artists (columns name, artists, plays), the first on top."""
    named = zip(table["name"], table["artists"])
    labels = [shortened(f"{name} · {artists}" if artists not in ("", name) else name) for name, artists in named]
    ax = frame("Most played tracks", "plays", "", ax, height=0.32 * len(table) + 1.2, grid="x")
    _named_bars(ax, labels, table["plays"].to_numpy(), BLUE)
    ax.xaxis.set_major_formatter(AMOUNTS)
    return ax


def genres(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Two bars per genre: its share of tracks and its share of plays (columns genre, share_of_tracks, share_of_plays), the first on top."""
    ax = frame("Genres by tracks and by plays", "share of all mentions of a genre", "", ax, height=0.38 * len(table) + 1.4, grid="x")
    places = np.arange(len(table))
    ax.barh(places - 0.2, table["share_of_plays"], height=0.38, color=BLUE, label="of plays")
    ax.barh(places + 0.2, table["share_of_tracks"], height=0.38, color=GREY, label="of tracks")
    ax.set_yticks(places, [shortened(str(name), 28) for name in table["genre"]], parse_math=False)
    ax.invert_yaxis()
    ax.margins(y=0.01)
    ax.legend(frameon=False, loc="lower right", fontsize=10)
    ax.xaxis.set_major_formatter(PERCENTS)
    return ax


def list_lengths(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many tracks name how many albums, artists and genres (columns list, length, tracks); lengths from 0, both axes logarithmic."""
    ax = frame("How many albums, artists and genres a track names", "names on a track (log; 0 at the left)", "tracks (log)", ax,
               grid="both")
    for color, (name, part) in zip(PALETTE, table.groupby("list", sort=True)):
        # In a legend "$" would begin a formula.
        label = shortened(str(name), 28).replace("$", r"\$")
        ax.plot(part["length"], part["tracks"], color=color, linewidth=1.5, marker="o", markersize=4, label=label)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_yscale("log")
    ax.set_xlim(left=-0.1)
    ax.xaxis.set_major_formatter(AMOUNTS)
    ax.yaxis.set_major_formatter(AMOUNTS)
    ax.legend(frameon=False, fontsize=10)
    return ax


def _named_bars(ax: Axes, labels: list[str], values: np.ndarray, color: str) -> None:
    places = np.arange(len(labels))
    ax.barh(places, values, height=0.72, color=color)
    ax.set_yticks(places, labels, parse_math=False)
    ax.invert_yaxis()
    ax.margins(y=0.01)
    for place, value in zip(places, values):
        ax.annotate(f" {amount(float(value))}", (value, place), va="center", fontsize=9, color=INK)
    ax.set_xlim(right=1.1 * float(max(values, default=1)))


def _log_log(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(AMOUNTS)
    ax.yaxis.set_major_formatter(AMOUNTS)
