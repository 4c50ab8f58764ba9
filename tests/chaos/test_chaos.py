"""Every attack for a few seconds: nothing is lost or wrong, and no more fails or takes longer than the attack allows. Real processes."""

from pathlib import Path

import pytest

from tests.chaos.attacks import ATTACKS

pytestmark = pytest.mark.slow
SECONDS = 6


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack(name: str, tmp_path: Path) -> None:
    """Under load and under attack the services keep their promise: no acknowledged play is lost, no answer is wrong."""
    outcome = ATTACKS[name].run(tmp_path, SECONDS)
    assert outcome.requests > 50
    assert ATTACKS[name].broken(outcome) == [], outcome
