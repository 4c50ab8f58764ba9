"""How often the test of experiments finds a difference when one looks every day, and how often a plain t-test does.

    python -m benchmarks.experiments [--worlds 200]

A world has 1,000 users who come on some of 20 days and differ in how often they come and how much they play. Without a difference a test
should find one in at most 5 % of the worlds.
"""

import argparse

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from musicrec.experiments.analysis import differences
from musicrec.progress import progress

DAYS = 20


class World:
    """`effect`: the share by which the variant `new` adds to what a user does in one visit."""

    def __init__(self, seed: int, effect: float = 0.0, users: int = 1000) -> None:
        rng = np.random.default_rng(seed)
        self.variants = np.where(rng.random(users) < 0.5, "new", "control")
        taste = rng.gamma(2, 1, (users, 1, 1)) * np.array([1, 0.7, 0.5, 0.05, 1.2])
        comes = (rng.random((users, DAYS, 1)) < rng.beta(1, 3, (users, 1, 1))) * 1.0
        self.before = rng.poisson(7 * taste[:, 0]).astype(float)
        expected = np.cumsum(taste * comes, axis=1)
        boost = np.where(self.variants == "new", 1 + effect, 1.0)[:, None, None]
        self.values = np.cumsum(rng.poisson(taste * comes * boost), axis=1).astype(float)
        self.seen = np.cumsum(comes[:, :, 0], axis=1)
        # Of plays, per user seen until each day.
        self.difference = effect * expected[:, :, 0].sum(axis=0) / (self.seen > 0).sum(axis=0)

    def at(self, day: int) -> pd.DataFrame:
        """The differences after a day, by metric."""
        there = self.seen[:, day] > 0
        table = differences(self.values[there, day], self.before[there], self.variants[there], "control", ["new"],
                            float(self.seen[:, day].sum()), 0)
        return table.set_index("metric")

    def t_test(self, day: int) -> float:
        """p of a t-test of plays after a day."""
        there = self.seen[:, day] > 0
        return float(ttest_ind(*(self.values[there & (self.variants == name), day, 0] for name in ("new", "control"))).pvalue)


def main(worlds: int) -> None:
    """Print a row per effect."""
    print("        p_holm below 0.05   a t-test of plays below 0.05   true difference of plays")
    print("effect         on any day     on any day   on the last day     always in the sequence")
    for effect in (0.0, 0.1, 0.2, 0.3):
        found = np.zeros(4)
        for seed in progress(range(worlds), f"effect {effect}"):
            world = World(1000 + seed, effect)
            looks, p = [world.at(day) for day in range(DAYS)], [world.t_test(day) for day in range(DAYS)]
            inside = [look.loc["plays", "sequence_low"] <= world.difference[day] <= look.loc["plays", "sequence_high"]
                      for day, look in enumerate(looks)]
            found += [any((look["p_holm"] < 0.05).any() for look in looks), min(p) < 0.05, p[-1] < 0.05, all(inside)]
        any_day, naive, last, covered = 100 * found / worlds
        print(f"{effect:>6.0%} {any_day:>16.1f} % {naive:>12.1f} % {last:>15.1f} % {covered:>24.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=200)
    main(parser.parse_args().worlds)
