"""Modes: new, familiar and mixed lists, as arrays and as answers of a running service."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.mixing import mixed
from tests.service_world import COLD, HEARD, PERSONAL, POPULAR, USER, Services, published, running
from tests.test_cli import cli, shown

FAMILIAR = [105, 101, 108, 100]


@given(st.integers(0, 12), st.integers(0, 12), st.floats(0, 1), st.integers(0, 30))
def test_both_lists_have_their_share_of_every_first_places(a: int, b: int, share: float, k: int) -> None:
    """While both lists last, the first n have share x n familiar items, give or take one; both keep their order, nothing is lost."""
    familiar, new = np.arange(a, dtype=np.int32), np.arange(100, 100 + b, dtype=np.int32)
    padded = np.concatenate([familiar, np.full(3, -1, np.int32)])
    found = mixed(padded[None], new[None], share, k)[0]
    assert (found >= 0).sum() == min(k, a + b)
    its = found[found >= 0]
    for one in (familiar, new):
        kept = its[np.isin(its, one)]
        assert kept.tolist() == one[:len(kept)].tolist()
    for n in range(1, len(its) + 1):
        of_familiar = (its[:n] < 100).sum()
        if of_familiar < a and n - of_familiar < b:
            assert abs(of_familiar - share * n) <= 1


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """USER has four familiar tracks."""
    root = tmp_path_factory.mktemp("modes")
    published(root, familiar=FAMILIAR)
    with running(root, MUSICREC_BLENDING_FAMILIAR_SHARE="0.25") as found:
        yield found


@pytest.mark.slow
def test_the_mode_chooses_the_list(two: Services) -> None:
    """familiar gives the user's own tracks alone, mixed has one of them in four, new is what there is without a mode."""
    route = "/recommendations_offline"
    assert two.recs(route, user_id=USER, k=10, mode="familiar") == FAMILIAR
    assert two.recs(route, user_id=USER, k=2, mode="familiar") == FAMILIAR[:2]
    assert two.recs(route, user_id=USER, k=5, mode="mixed") == [150, 105, 151, 152, 153]
    assert two.recs(route, user_id=USER, k=5, mode="new") == two.recs(route, user_id=USER, k=5) == list(PERSONAL[:5])
    full = two.recs(route, user_id=USER, k=100, mode="mixed")
    assert len(set(full)) == 100
    assert set(full) & set(HEARD) == set(FAMILIAR)


@pytest.mark.slow
def test_blended_answers_have_modes_too(two: Services) -> None:
    """Similar tracks take turns with the mixed list; familiar tracks stay alone, and only the online list has no mode."""
    assert two.post("events", "/put", user_id=USER, item_id=200).ok
    assert two.recs("/recommendations", user_id=USER, k=4, mode="mixed") == [150, 201, 105, 202]
    assert two.recs("/recommendations", user_id=USER, k=4, mode="familiar") == FAMILIAR
    assert two.recs("/recommendations_online", user_id=USER, k=2) == [201, 202]
    assert two.post("recommendations", "/recommendations_online", user_id=USER, mode="mixed").status_code == 422


@pytest.mark.slow
def test_who_has_no_familiar_tracks(two: Services) -> None:
    """They get an empty list, and new tracks for mixed."""
    assert two.recs("/recommendations_offline", user_id=COLD, k=3, mode="familiar") == []
    assert two.recs("/recommendations_offline", user_id=COLD, k=3, mode="mixed") == list(POPULAR[:3])


@pytest.mark.slow
def test_a_familiar_track_says_why_it_is_there(two: Services) -> None:
    """Source, reason and strategy are those of familiar tracks."""
    answer = two.post("recommendations", "/recommendations_offline", user_id=USER, k=1, mode="familiar", verbose="true")
    assert answer.headers["X-Strategy"] == "familiar"
    assert (answer.json()["items"][0]["source"], answer.json()["items"][0]["reason"]) == ("familiar", "played by you before")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/recommendations", "/recommendations_offline"])
def test_an_unknown_mode_is_refused(two: Services, path: str) -> None:
    """With 422 and the modes that there are."""
    answer = two.post("recommendations", path, user_id=USER, mode="old")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"] == "mode must be one of new, familiar, mixed"


@pytest.mark.slow
def test_a_run_without_familiar_lists(tmp_path: Path) -> None:
    """As runs of logs without repeats, and earlier ones, are: familiar is empty, mixed is new."""
    published(tmp_path)
    with running(tmp_path, "recommendations") as found:
        assert found.recs("/recommendations_offline", user_id=USER, k=3, mode="familiar") == []
        assert found.recs("/recommendations_offline", user_id=USER, k=3, mode="mixed") == list(PERSONAL[:3])


@pytest.mark.slow
def test_the_client_of_the_command_line_asks_for_a_mode(two: Services, tmp_path: Path) -> None:
    """--mode goes with --offline and --blended alone."""
    found = cli(two, tmp_path, "--offline", "--user_id", str(USER), "--k", "3", "--mode", "familiar")
    assert shown(found) == FAMILIAR[:3]
    assert "played by you before" in found.stdout
    refused = cli(two, tmp_path, "--online", "--user_id", str(USER), "--mode", "familiar")
    assert (refused.returncode, "--mode needs --offline or --blended" in refused.stderr) == (2, True)
