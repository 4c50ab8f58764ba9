"""Where a log is cut, decided by the settings, the source and the log itself."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from ibis.expr.types import Table

from musicrec.dataset import DAY, Dataset, Fold, Interactions, Timeline, TrainSet, cutoff, folds_before, latest_folds, moment, second
from musicrec.dataset.cutoffs import folds_of_days
from musicrec.dataset.times import SINCE_1970
from musicrec.errors import SplitError
from musicrec.pipeline.workspace import Workspace
from musicrec.sources import SOURCES

# With so many different days, days are fine enough to cut by; shorter logs are cut by the second.
MANY_DAYS = 60


@dataclass(frozen=True)
class Plan:
    """The cutoff before the test set, and the folds of the backtest before it, earliest first; in seconds since 2000-01-01 UTC."""

    cutoff: int
    folds: tuple[Fold, ...]

    @property
    def test_start(self) -> datetime:
        """The cutoff as a moment in UTC."""
        return moment(self.cutoff)


def plan(work: Workspace, interactions: Table) -> Plan:
    """The Plan of a log: interactions has user_id, track_id (or item_id) and started_at.

    The cutoff is [split] test_start where it is set: a moment, or a number of days before the end; else the customary cutoff of the
    source where it leaves plays on both sides; else what leaves test_share of the plays behind it. Folds hold fold_share of the plays
    before the cutoff each, or last fold_days; early ones are left out where the later ones have enough users to learn from. Shares are of
    the plays that no list has brought, because only they are looked for.
    Raises SplitError, naming the fact of the log, when nothing can be learned from it.
    """
    refuse_unlearnable(interactions)
    chosen, times = work.settings.split, timeline(judged(interactions))
    at = _chosen_cutoff(work, times)
    folds = folds_of_days(at, chosen.fold_days, chosen.folds) if chosen.fold_days else \
        folds_before(times, at, chosen.fold_share, chosen.folds)
    users = [_users_within(interactions, fold) for fold in folds]
    return Plan(at, tuple(latest_folds(folds, users, work.settings.ranking.max_training_users)))


def validation_split(dataset: Dataset, chosen: Plan) -> tuple[TrainSet, Interactions]:
    """The train set before the latest fold, and the plays of that fold: where settings are tried, since the test set takes no part in it.

    Where no fold has plays before it, everything before the cutoff, and nobody's plays.
    """
    for fold in reversed(chosen.folds):
        with suppress(SplitError):
            return dataset.split(fold.start, fold.end)
    return dataset.split(chosen.cutoff, chosen.cutoff)


def judged(interactions: Table) -> Table:
    """The plays that no list has brought. Raises SplitError where there are none."""
    if "was_recommended" not in interactions.columns:
        return interactions
    found = interactions.filter(interactions.was_recommended == 0)
    if not found.count().to_pyarrow().as_py():
        raise SplitError("every play was brought by a list, so nothing is left to evaluate lists by; set [split] judge_recommended = true.")
    return found


def timeline(interactions: Table) -> Timeline:
    """When plays happened, by the day where there are MANY_DAYS, else by the second. One pass of the engine."""
    days = _counted(interactions, interactions.started_at.truncate("D"))
    return days if len(days.times) >= MANY_DAYS else _counted(interactions, interactions.started_at.truncate("s"))


def refuse_unlearnable(interactions: Table) -> None:
    """Return nothing for a log from which something can be learned. Raises SplitError with the fact that is in the way."""
    item = interactions["track_id" if "track_id" in interactions.columns else "item_id"]
    of_user = interactions.group_by("user_id").agg(low=item.min(), high=item.max())
    found = of_user.agg(several=(of_user.low != of_user.high).sum(), low=of_user.low.min(), high=of_user.high.max())
    told = found.to_pyarrow().to_pylist()[0]
    if told["low"] is None:
        raise SplitError("the log has no plays.")
    if not told["several"]:
        fact = f"all plays are of one track ({told['low']})" if told["low"] == told["high"] else "every user has played a single track"
        raise SplitError(f"{fact}, so nothing can be learned about what goes together and nobody can be evaluated; "
                         "use a log in which some users have played at least two tracks.")


def _chosen_cutoff(work: Workspace, times: Timeline) -> int:
    chosen = work.settings.split
    last = int(times.times[-1])
    if isinstance(chosen.test_start, int):
        at = last // DAY * DAY + DAY - chosen.test_start * DAY
    elif chosen.test_start is not None:
        at = second(chosen.test_start)
    else:
        customary: Any = getattr(SOURCES[work.settings.data.source], "customary_cutoff", None)
        at = second(customary) if customary is not None and _within(times, second(customary)) else cutoff(times, chosen.test_share)
    if not _within(times, at):
        side = "before" if at <= times.times[0] else "at or after"
        raise SplitError(f"no play lies {side} {moment(at)}, which [split] test_start asks for: the log goes from "
                         f"{moment(int(times.times[0]))} to {moment(last)}; leave test_start empty or choose a moment in between.")
    return at


def _within(times: Timeline, at: int) -> bool:
    return bool(times.times[0] < at <= times.times[-1])


def _counted(interactions: Table, moments: Any) -> Timeline:
    rows = interactions.group_by(moment=moments).agg(plays=interactions.count()).to_pyarrow()
    micros = rows["moment"].to_numpy().astype("datetime64[s]").astype(np.int64)
    return Timeline.of(micros - SINCE_1970, rows["plays"].to_numpy())


def _users_within(interactions: Table, fold: Fold) -> int:
    times = interactions.started_at
    users: int = interactions.filter((times >= moment(fold.start)) & (times < moment(fold.end))).user_id.nunique().to_pyarrow().as_py()
    return users
