"""Pictures of people listening over time."""

import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from musicrec.plots.style import AMOUNTS, BLUE, GREEN, GREY, INK, ORANGE, SIZE, frame, percent


def monthly_plays(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Bars of plays a month (columns month, plays)."""
    ax = frame("Plays per month", "month", "plays", ax)
    _month_bars(ax, table["month"], table["plays"], BLUE)
    return ax


def monthly_users(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Bars of users a month, with those who play for the first time in another color (columns month, users, new_users)."""
    ax = frame("Users per month", "month", "users", ax)
    _month_bars(ax, table["month"], table["users"], BLUE, "came back")
    _month_bars(ax, table["month"], table["new_users"], ORANGE, "first play")
    ax.legend(frameon=False, loc="upper left", fontsize=10)
    ax.set_ylim(top=1.15 * float(table["users"].max()))
    return ax


def new_tracks(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Bars of tracks by the month of their first play (columns month, tracks)."""
    ax = frame("Tracks played for the first time", "month", "tracks", ax)
    _month_bars(ax, table["month"], table["tracks"], GREEN)
    return ax


def daily_plays(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plays a day as a thin line and their mean over seven days as a thick one (columns day, plays)."""
    ax = frame("Plays per day", "day", "plays", ax)
    series = table.set_index(pd.DatetimeIndex(table["day"]))["plays"].asfreq("D", fill_value=0)
    ax.plot(series.index.to_numpy(), series.to_numpy(), color=GREY, linewidth=1, label="day")
    week = series.rolling(7, center=True).mean()
    ax.plot(week.index.to_numpy(), week.to_numpy(), color=BLUE, linewidth=2, label="mean of 7 days")
    ax.legend(frameon=False, loc="upper left", fontsize=10)
    ax.set_ylim(0, 1.15 * float(series.max()))
    _date_axis(ax)
    return ax


def history_lengths(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many users have how long a history, both axes logarithmic, the median marked (columns plays, users)."""
    ax = frame("Length of histories", "plays of a user (log)", "users (log)", ax, grid="both")
    ax.scatter(table["plays"], table["users"], s=9, color=BLUE, linewidths=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    half = int(table["plays"].to_numpy()[np.searchsorted(table["users"].cumsum(), table["users"].sum() / 2)])
    ax.axvline(half, color=ORANGE, linewidth=1.5)
    ax.annotate(f" median {half}", (half, float(table["users"].max())), color=ORANGE, fontsize=10, va="top")
    ax.xaxis.set_major_formatter(AMOUNTS)
    ax.yaxis.set_major_formatter(AMOUNTS)
    return ax


def cohorts(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Users by month of arrival (rows) who play in each later month, as a share of their cohort (columns arrival, month, share)."""
    wide = table.pivot(index="arrival", columns="month", values="share")
    ax = frame("Who stays: active users by month of arrival", "month", "month of the first play", ax,
               height=min(max(SIZE[1], 0.36 * len(wide) + 1.4), 6.5))
    ax.grid(False)
    ax.imshow(np.ma.masked_invalid(wide.to_numpy()), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(*_some_months(wide.columns))
    ax.set_yticks(*_some_months(wide.index))
    if wide.size <= 14 * 14:
        for (row, column), share in np.ndenumerate(wide.to_numpy()):
            if not np.isnan(share):
                ax.text(column, row, percent(round(share, 2)), ha="center", va="center", fontsize=8, color="white" if share > 0.55 else INK)
    return ax


def _some_months(months: pd.Index) -> tuple[list[int], list[str]]:
    places = list(range(0, len(months), -(-len(months) // 12)))
    return places, [months[place].strftime("%b %y") for place in places]


def _month_bars(ax: Axes, months: pd.Series, values: pd.Series, color: str, label: str | None = None) -> None:
    middle = mdates.date2num(pd.DatetimeIndex(months).to_pydatetime()) + 14.5
    ax.bar(middle, values.to_numpy(), width=25, color=color, label=label)
    ax.xaxis_date()
    _date_axis(ax)
    if len(months) <= 14:
        yearly = [place == 0 or month.month == 1 for place, month in enumerate(months)]
        ax.set_xticks(middle, [f"{month:%b\n%Y}" if year else f"{month:%b}" for month, year in zip(months, yearly)])


def _date_axis(ax: Axes) -> None:
    locator = mdates.AutoDateLocator(minticks=4, maxticks=13)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    ax.yaxis.set_major_formatter(AMOUNTS)
