"""Where a log is cut: by the settings, by the custom of the source, and by the log itself, to the day or to the second."""

from datetime import datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pytest

from musicrec import pipeline, settings
from musicrec.dataset import DAY, Dataset, Fold, catalog, moment
from musicrec.errors import SettingsError, SplitError
from tests import taste_logs

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"


def work(project: Path, **changed: str) -> pipeline.Workspace:
    """A workspace with the shipped folds."""
    plain = {"SPLIT_FOLDS": "4", "SPLIT_FOLD_DAYS": "0"}
    variables = {f"MUSICREC_{key}": value for key, value in {**plain, **changed}.items()}
    return pipeline.workspace(settings.load(CONFIG, {**taste_logs.environment(project / "logs", project), **variables}))


def log(times: list[datetime], users: int = 7) -> ibis.Table:
    """Interactions at these times, users and tracks in turn."""
    places = np.arange(len(times))
    rows = {"user_id": (places % users).astype("int32"), "track_id": (places % 11).astype("int32"), "started_at": times}
    return ibis.memtable(pa.table(rows))


def evenly(start: datetime, step: timedelta, n: int) -> list[datetime]:
    """n times, one each step."""
    return [start + step * place for place in range(n)]


def test_a_log_of_a_year_is_cut_at_midnight_before_its_last_plays(tmp_path: Path) -> None:
    """Without test_start the latest 6 % of the plays, in whole days, are the test set."""
    chosen = pipeline.plan(work(tmp_path), log(evenly(datetime(2023, 1, 1), timedelta(hours=12), 730)))
    assert chosen.test_start == datetime(2023, 12, 10)


def test_plays_that_lists_have_brought_move_no_cutoff(tmp_path: Path) -> None:
    """The shares are of the other plays, so that these are looked for, however much was played from lists lately; where all were brought
    one sentence says what to set."""
    year = evenly(datetime(2023, 1, 1), timedelta(hours=12), 730)
    both = log(year + [datetime(2023, 12, 31, 12)] * 1000).to_pyarrow()
    brought = ibis.memtable(both.append_column("was_recommended", pa.array([0] * 730 + [1] * 1000, pa.int8())))
    assert pipeline.plan(work(tmp_path), brought).test_start == datetime(2023, 12, 10)
    with pytest.raises(SplitError, match=r"every play was brought by a list.*judge_recommended = true"):
        pipeline.plan(work(tmp_path), brought.mutate(was_recommended=1))


@pytest.mark.parametrize("step", [timedelta(seconds=1), timedelta(minutes=5)], ids=["minutes", "days"])
def test_a_short_log_is_cut_at_a_second(tmp_path: Path, step: timedelta) -> None:
    """A log of minutes or days is cut where 6 % of its plays are left, and its folds lie inside it."""
    times = evenly(datetime(2023, 5, 1, 9), step, 1000)
    chosen = pipeline.plan(work(tmp_path), log(times))
    assert np.mean([time >= chosen.test_start for time in times]) == pytest.approx(0.06, abs=0.001)
    assert len(chosen.folds) == 4
    assert moment(chosen.folds[0].start) > times[0]


def test_the_custom_of_the_source_is_followed_where_it_lies_within_the_log(tmp_path: Path) -> None:
    """Source yandex is cut at 2022-12-16 in a log of 2022, not in one of 2024."""
    of_2022 = pipeline.plan(work(tmp_path), log(evenly(datetime(2022, 1, 1), timedelta(days=1), 365)))
    of_2024 = pipeline.plan(work(tmp_path), log(evenly(datetime(2024, 1, 1), timedelta(days=1), 365)))
    assert of_2022.test_start == datetime(2022, 12, 16)
    assert of_2024.test_start == datetime(2024, 12, 9)


@pytest.mark.parametrize(("asked", "expected"), [
    ("2023-03-01", datetime(2023, 3, 1)), ("2023-03-01 18:30", datetime(2023, 3, 1, 18, 30)), ("10", datetime(2023, 4, 1)),
    ("2023-03-01T12:00:00+02:00", datetime(2023, 3, 1, 10))])
def test_a_cutoff_that_is_set_is_taken(tmp_path: Path, asked: str, expected: datetime) -> None:
    """A date, a time with or without a zone, or a number of days before the end of the last day."""
    times = evenly(datetime(2023, 1, 1), timedelta(days=1), 100)
    assert pipeline.plan(work(tmp_path, SPLIT_TEST_START=asked), log(times)).test_start == expected


def test_folds_end_at_the_cutoff_and_never_reach_beyond(tmp_path: Path) -> None:
    """Folds are back to back in order of time and end at the cutoff."""
    chosen = pipeline.plan(work(tmp_path), log(evenly(datetime(2023, 1, 1), timedelta(hours=1), 5000)))
    assert chosen.folds[-1].end == chosen.cutoff
    assert all(one.end == other.start for one, other in zip(chosen.folds, chosen.folds[1:]))


def test_settings_are_tried_on_the_latest_fold_that_has_plays_before_it(tmp_path: Path) -> None:
    """Folds without plays before them are passed over; without any fold everything before the cutoff is there, and nobody's plays."""
    times = np.arange(100) * DAY
    rows = pa.table({"user_id": np.zeros(100, np.int32), "item_id": np.ones(100, np.int32), "started_at": [moment(int(t)) for t in times]})
    items = pa.table({"item_id": [1], **{f"{name}_ids": [[1]] for name in ("genre", "artist", "album")}})
    data = Dataset(ibis.memtable(rows), catalog(items))
    early, late = Fold(-5 * DAY, 0), Fold(60 * DAY, 70 * DAY)
    train, test = pipeline.validation_split(data, pipeline.Plan(90 * DAY, (early, late)))
    assert (train.cutoff, train.n_plays.sum(), test.n_plays.sum()) == (60 * DAY, 60, 10)
    for folds in ((early,), ()):
        train, test = pipeline.validation_split(data, pipeline.Plan(90 * DAY, folds))
        assert (train.cutoff, len(test.user_ids)) == (90 * DAY, 0)


@pytest.mark.parametrize(("asked", "said"), [
    ("2030-01-01", "at or after 2030-01-01"), ("1999-01-01", "before 1999-01-01"), ("500", "before")])
def test_a_cutoff_outside_the_log_is_one_sentence_with_its_span(tmp_path: Path, asked: str, said: str) -> None:
    """The sentence names the cutoff, the first and the last play, and how to go on."""
    with pytest.raises(SplitError, match=said) as caught:
        pipeline.plan(work(tmp_path, SPLIT_TEST_START=asked), log(evenly(datetime(2023, 1, 1), timedelta(days=1), 100)))
    assert "2023-01-01 00:00:00 to 2023-04-10" in str(caught.value)
    assert "leave test_start empty" in str(caught.value)


def test_a_cutoff_that_is_no_time_is_refused(tmp_path: Path) -> None:
    """The sentence names the value and what is expected."""
    with pytest.raises(SettingsError, match=r"test_start.*soon.*2022-12-16"):
        work(tmp_path, SPLIT_TEST_START="soon")


@pytest.mark.parametrize(("rows", "fact"), [
    ([(user, 5, day) for user in range(9) for day in (1, 2)], "all plays are of one track"),
    ([(user, user, 1 + user) for user in range(9)], "every user has played a single track"),
    ([(1, 5, 1), (1, 6, 1)], "all plays have the same time"),
])
def test_a_log_from_which_nothing_can_be_learned_says_why(tmp_path: Path, rows: list[tuple[int, int, int]], fact: str) -> None:
    """The sentence names the fact of the log that is in the way, and no setting that could not help."""
    users, tracks, days = zip(*rows)
    table = pa.table({"user_id": users, "track_id": tracks, "started_at": [datetime(2023, 1, day) for day in days]})
    with pytest.raises(SplitError, match=fact) as caught:
        pipeline.plan(work(tmp_path), ibis.memtable(table))
    assert "[split]" not in str(caught.value)
