"""Seconds, memory and names of stages."""

import logging
import sys

import numpy as np
import pytest

from musicrec.pipeline.stages import Stages


def test_a_stage_inside_another_counts_in_both() -> None:
    """Seconds of the outer stage include those of the inner one, which carries both names."""
    stages = Stages()
    with stages.measured("learn"), stages.measured("als"):
        sum(range(200_000))
    table = stages.table().set_index("stage")
    assert list(table.index) == ["learn", "learn: als"]
    assert table.loc["learn", "seconds"] >= table.loc["learn: als", "seconds"] > 0


def test_a_failed_stage_is_measured() -> None:
    """A stage that raises has its figures, and the next one does not stand inside it."""
    stages = Stages()
    with pytest.raises(ValueError, match="lost"), stages.measured("first"):
        raise ValueError("lost")
    with stages.measured("second"):
        pass
    assert stages.table()["stage"].tolist() == ["first", "second"]
    assert stages.table()["seconds"].notna().all()


def test_a_stage_is_logged_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """One line a stage, the inner one first and for those who ask for more, with its seconds and its peak."""
    stages = Stages()
    with caplog.at_level(logging.DEBUG, "musicrec.pipeline"), stages.measured("learn"), stages.measured("als"):
        assert not caplog.messages
    assert [message.split(": ")[:-1] for message in caplog.messages] == [["learn", "als"], ["learn"]]
    assert all("peak" in message for message in caplog.messages)
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can forget a peak")
def test_the_peak_is_that_of_the_stage() -> None:
    """What an earlier stage held and gave back does not count in a later one."""
    stages = Stages()
    with stages.measured("large"):
        np.ones(40_000_000)
    with stages.measured("small"):
        np.ones(10)
    peaks = stages.table().set_index("stage")["peak_gb"]
    assert peaks["large"] - peaks["small"] > 0.2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux is asked to take memory back")
def test_what_was_freed_goes_back_to_the_system() -> None:
    """Many middle-sized arrays, which the allocator keeps when they are freed, do not count in the next stage either."""
    stages = Stages()
    with stages.measured("large"):
        # An array freed raises the size below which the allocator of Linux keeps what is freed, as long as something lies behind it.
        np.ones(3_000_000)
        arrays = [np.ones(250_000) for _ in range(200)]
        del arrays[:-1]
    with stages.measured("small"):
        assert len(arrays) == 1
    peaks = stages.table().set_index("stage")["peak_gb"]
    assert peaks["large"] - peaks["small"] > 0.2
