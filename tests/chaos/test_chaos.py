"""Three faults of every attack: nothing is lost or wrong, no more fails than the attack allows, and all is whole again in time.

Other tests run beside these, so they allow three times the seconds of `make chaos`. Real processes.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos import attacks, load
from tests.chaos.attacks import ATTACKS

pytestmark = pytest.mark.slow
# Those on what stores plays. Of the others tests of services show the same without load.
SHORT = ("events service killed (kill -9) under puts", "Redis killed (kill -9) under puts", "disk of the event store full")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in ATTACKS])
def test_an_attack(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load and under attack the services keep their promise: no acknowledged play is lost, no answer is wrong."""
    # Leaves a core to the tests that run beside this one, and half of the time that `make chaos` takes for a fault.
    monkeypatch.setattr(load, "PACE_S", 0.02)
    monkeypatch.setattr(attacks, "DOWN_S", 0.5)
    attack = replace(ATTACKS[name], recovers_s=3 * ATTACKS[name].recovers_s)
    outcome = attack.run(tmp_path, 0)
    assert outcome.requests > 50
    assert attack.broken(outcome) == [], outcome
