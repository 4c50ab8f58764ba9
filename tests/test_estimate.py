"""What training is said to take, against powers known beforehand, and that saying so trains nothing."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.pipeline.estimate import Costs
from tests import taste_logs
from tests.commands import exit_code

KNOWN = Costs([1000, 10_000, 100_000], {"linear": [1, 10, 100], "square": [1, 100, 10_000], "constant": [5, 5, 5]},
              {"linear": [1, 1, 2], "square": [1, 1, 1], "constant": [1, 1, 1]}, 1.2)


@given(st.integers(100, 10**8))
def test_costs_follow_powers_between_sizes_and_beyond(plays: int) -> None:
    """Stages that grow as the plays, as their square and not at all do so at any size; the clock counts cores and what is not parallel."""
    table = KNOWN.of(plays, 4).set_index("stage")
    for stage, expected in (("linear", plays / 1000), ("square", (plays / 1000) ** 2), ("constant", 5.0)):
        assert table.loc[stage, "core_seconds"] == pytest.approx(expected, rel=1e-6, abs=0.06)
        assert table.loc[stage, "seconds"] == pytest.approx(expected * 1.2 / 4, rel=1e-6, abs=0.06)


def test_exponents_are_the_powers() -> None:
    """One row a stage, one column for each step between sizes."""
    assert KNOWN.exponents().to_numpy().tolist() == [["linear", 1.0, 1.0], ["square", 2.0, 2.0], ["constant", 0.0, 0.0]]


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_more_plays_take_no_less_beyond_what_was_measured(one: int, other: int) -> None:
    """With the shipped figures no stage gets cheaper or smaller from the largest measured log on."""
    costs = Costs.shipped()
    few, many = (costs.of(costs.plays[-1] + more, 2) for more in sorted((one, other)))
    for figure in ("core_seconds", "peak_gb"):
        assert (few[figure] <= many[figure]).all()


def test_estimate_reads_logs_and_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    """`musicrec train --estimate` names the plays of the logs, time and memory, and leaves nothing published."""
    logs = taste_logs.write(tmp_path / "logs")
    for name, value in taste_logs.environment(logs, tmp_path).items():
        monkeypatch.setenv(name, value)
    assert exit_code("train", "--estimate") == 0
    told = capsys.readouterr().out
    plays = pq.read_metadata(logs / "interactions.parquet").num_rows
    assert f"{plays:,} plays: about " in told
    assert "GB of memory" in told
    assert not list(tmp_path.rglob("manifest.json"))
