"""Exploration, whose propensities make other lists comparable, and the fall-off of artists."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from musicrec.experiments.analysis import snips
from musicrec.serving.answers import Answer
from musicrec.serving.exploration import explored
from musicrec.serving.fall_off import LAST, fallen, times_before, times_of


def ranked(n: int = 200) -> Answer:
    """A list of the items 0, 1, 2, ..."""
    return Answer(range(n), ["personal"] * n, [1.0] * n, [None] * n, "blended")


def test_pages_come_from_one_draw() -> None:
    """Two pages are together the longer list, without repeats; another seed draws others; without a share nothing moves."""
    pages = [explored(ranked(), 0.3, first, 20, "u").item_ids for first in (0, 20)]
    assert [*pages[0], *pages[1]] == explored(ranked(), 0.3, 0, 40, "u").item_ids
    assert len({*pages[0], *pages[1]}) == 40
    assert explored(ranked(), 0.3, 0, 20, "v").item_ids != pages[0]
    assert explored(ranked(), 0.0, 0, 20, "u").item_ids == list(range(20))
    assert sorted(explored(ranked(), 1.0, 0, 200, "u").item_ids) == list(range(200))


@pytest.mark.parametrize(("n", "first", "k"), [(200, 0, 10), (200, 40, 60), (120, 0, 10), (70, 0, 60), (30, 0, 10)])
def test_propensities_are_how_often_an_item_is_in_the_list(n: int, first: int, k: int) -> None:
    """Over 3,000 seeds every item comes as often as the propensity says that it carries when it is shown."""
    times, said, draws = Counter[int](), dict[int, float](), 3000
    for seed in range(draws):
        found = explored(ranked(n), 0.2, first, k, str(seed))
        times.update(found.item_ids)
        said |= dict(zip(found.item_ids, found.propensities))
    propensities = np.array(list(said.values()))
    freely = np.array([times[item] for item in said]) / draws
    deviations = (freely - propensities) / (np.sqrt(propensities * (1 - propensities) / draws) + 1e-9)
    assert np.square(deviations).mean() < 1.4
    assert np.abs(deviations).max() < 6
    assert sum(propensities) == pytest.approx(len(found.item_ids), abs=0.2)


def test_a_drawn_item_keeps_the_limit_on_artists() -> None:
    """With one track per artist in the first places, none comes in twice by a draw."""
    for seed in range(50):
        found = explored(ranked(), 0.5, 0, 50, str(seed), lambda item: [item % 60])
        assert max(Counter(item % 60 for item in found.item_ids).values()) == 1


def test_snips_of_a_known_world_is_unbiased_within_its_interval() -> None:
    """The mean reward of a list that was never shown, from explored lists: within the interval in at least 17 of 20 worlds, and the mean
    error over the worlds is within its own noise; the plain mean of what was shown is far from it."""
    errors, inside, naive = [], 0, []
    for world in range(20):
        rng = np.random.default_rng(world)
        rewards = np.clip(rng.normal(np.linspace(0.2, 0.9, 200), 0.1), 0, 1)
        other = np.concatenate((np.arange(5), 50 + rng.choice(100, 10, replace=False)))
        rows = []
        for user in range(400):
            shown = explored(ranked(), 0.4, 0, 20, f"{world} {user}")
            kept = rng.random(len(shown.item_ids)) < rewards[shown.item_ids]
            rows += [(user, float(hit), chance, item in other) for item, chance, hit in zip(shown.item_ids, shown.propensities, kept)]
        drawn = pd.DataFrame(rows, columns=["user", "kept", "propensity", "chosen"])
        found, truth = snips(drawn, 300), rewards[other].mean()
        errors.append(found["estimate"] - truth)
        inside += found["low"] <= truth <= found["high"]
        naive.append(drawn["kept"].mean() - truth)
    assert inside >= 17
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors))
    assert abs(np.mean(naive)) > 5 * abs(np.mean(errors))


def test_a_track_falls_off_by_what_came_before() -> None:
    """Each track of the artist before, in the session or in the list, multiplies what a place is worth; of several artists the worst."""
    owners, artists = np.array([0, 1, 1, 2]), np.array([7, 7, 8, 9], np.int32)
    assert times_of(3, owners, artists, {7: 1, 8: 2, 11: 5}).tolist() == [1, 2, 0]
    assert times_before(3, owners, artists).tolist() == [0, 1, 0]
    assert fallen(np.array([1, 0, 0]), 61 / 62 - 1e-6).tolist() == [1, 0, 2]
    assert fallen(np.array([1, 0, 0]), 61 / 62 + 1e-6).tolist() == [0, 1, 2]
    assert fallen(np.array([LAST, 0, LAST]), 1.0).tolist() == [1, 0, 2]
    assert fallen(np.arange(3)[::-1], 1.0).tolist() == [0, 1, 2]
