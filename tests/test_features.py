"""What the feature groups compute, against values worked out by hand or by plain loops."""

import numpy as np
import pandas as pd
import pytest

from musicrec.dataset import TrainSet
from musicrec.features import FEATURES
from tests.worlds import DAY, random_world, train_set

WORLD = train_set(
    # user, item, day; the cutoff is day 100; items 4 and 5 are unseen
    [(1, 0, 10), (1, 1, 50), (1, 2, 99), (2, 0, 95), (2, 3, 96), (3, 0, 60)], 6,
    genres=[[0], [0, 1], [1], [1], [0], []], artists=[[0], [0], [1], [2], [0, 1], []], albums=[[0], [0, 1], [1], [2], [0], []],
    cutoff_day=100)


def column(world: TrainSet, group: str, name: str, user: int, item: int) -> float:
    """One value of one pair."""
    fitted = FEATURES[group]().fit(world)
    return float(fitted.values(np.array([user], np.int32), np.array([item], np.int32))[0, fitted.names.index(name)])


@pytest.mark.parametrize(("group", "name", "user", "item", "expected"), [
    ("item_catalog", "num_albums", 0, 1, 2),
    ("item_catalog", "num_artists", 0, 5, 0),
    ("item_catalog", "genre_score_mean", 0, 1, 0.5),
    ("item_catalog", "genre_score_mean", 0, 5, 0),
    ("item_catalog", "artist_tracks", 0, 4, 3),
    ("item_catalog", "album_tracks", 0, 5, np.nan),
    ("item_popularity", "listeners_7", 0, 0, 1),
    ("item_popularity", "listeners_30", 0, 3, 1),
    ("item_popularity", "listeners_all", 0, 0, 3),
    ("item_popularity", "share_all", 0, 0, 500),
    ("item_popularity", "trend_30", 0, 0, 1000 / 3 - 500),
    ("item_popularity", "popularity", 0, 0, 1),
    ("item_popularity", "popularity", 0, 5, 0),
    ("item_age", "item_age", 0, 0, 90),
    ("item_age", "item_days_since_last_play", 0, 0, 5),
    ("item_age", "item_never_played", 0, 4, 1),
    ("item_age", "item_age", 0, 4, np.nan),
    ("artist_popularity", "artist_share_all", 0, 4, 4000 / 6),
    ("artist_popularity", "artist_age", 0, 4, 90),
    ("artist_popularity", "artist_fresh", 0, 4, -1),
    ("artist_popularity", "artist_never_played", 0, 0, 1 / 3),
    ("album_popularity", "album_fresh", 0, 4, -50),
    ("user_activity", "listening_month", 0, 0, 3),
    ("user_activity", "tracks_listened", 0, 0, 3),
    ("user_activity", "tracks_per_month", 1, 0, 2),
    ("user_activity", "tracks_7", 1, 0, 2),
    ("user_activity", "user_age", 0, 0, 90),
    ("user_activity", "user_days_since_last_play", 2, 0, 40),
    ("user_activity", "tracks_listened", -1, 0, 0),
    ("user_activity", "user_days_since_last_play", -1, 0, np.nan),
    ("user_taste", "hit_share", 2, 0, 1),
    ("user_taste", "early_share", 2, 0, 0),
    ("user_taste", "mean_item_age", 2, 0, 50),
    ("user_taste", "artists_per_track", 0, 0, 2 / 3),
    ("user_taste", "mean_popularity", 2, 0, np.log(4)),
    ("artist_affinity", "artist_tracks_seen", 0, 4, 2),
    ("artist_affinity", "artist_affinity", 0, 4, 2 / 3),
    ("artist_affinity", "artist_lift", 0, 4, 2),
    ("artist_affinity", "artist_share_seen", 0, 4, 2 / 3),
    ("artist_affinity", "artist_days", 0, 4, 1),
    ("artist_affinity", "artist_days", 2, 3, np.nan),
    ("album_affinity", "album_share_seen", 0, 4, 2 / 3),
    ("genre_affinity", "genre_affinity", 1, 4, 0.5),
])
def test_values_worked_out_by_hand(group: str, name: str, user: int, item: int, expected: float) -> None:
    """On a small train set each value equals its description."""
    np.testing.assert_allclose(column(WORLD, group, name, user, item), expected, rtol=1e-6)


@pytest.mark.parametrize(("group", "links"), [("artist_affinity", "artists"), ("album_affinity", "albums"), ("genre_affinity", "genres")])
def test_affinities_equal_a_plain_loop(group: str, links: str) -> None:
    """The kernel gives what loops over sets of names give."""
    world = random_world(3)
    names = [set(row.indices.tolist()) for row in getattr(world.catalog, links)]
    plays_of = {name: sum(int(world.n_listeners[i]) for i, own in enumerate(names) if name in own) for name in set().union(*names)}
    share = {name: count / world.matrix.nnz for name, count in plays_of.items()}
    users, items = np.repeat(np.arange(20, dtype=np.int32), 80), np.tile(np.arange(80, dtype=np.int32), 20)
    found = FEATURES[group]().fit(world).values(users, items)
    for user, item, row in zip(users, items, found):
        begin, end = world.matrix.indptr[user:user + 2]
        seen = list(zip(world.matrix.indices[begin:end].tolist(), world.last_played[begin:end].tolist()))
        hits = {name: [m for i, m in seen if name in names[i]] for name in names[item]}
        hits = {name: times for name, times in hits.items() if times}
        expected = [max((len(m) for m in hits.values()), default=0), max((len(m) / len(seen) for m in hits.values()), default=0),
                    max((len(m) / len(seen) / share[n] for n, m in hits.items()), default=0),
                    max((len(m) / sum(n in own for own in names) for n, m in hits.items()), default=0),
                    min(((world.cutoff - max(m)) / DAY for m in hits.values()), default=np.nan)]
        np.testing.assert_allclose(row, expected, rtol=1e-5)


def test_user_values_equal_pandas() -> None:
    """Months, tracks and means per user equal a group-by."""
    world = random_world(5)
    rows = np.repeat(np.arange(len(world.user_ids)), world.n_items_of_user)
    when = pd.to_datetime(world.last_played.astype(np.int64), unit="s", origin="2000-01-01")
    events = pd.DataFrame({"user": rows, "item": world.matrix.indices, "when": when, "last_played": world.last_played})
    events["delay"] = (events.last_played - events.groupby("item").last_played.transform("min")) / DAY
    events["month"] = events["when"].dt.year * 12 + events["when"].dt.month
    by_user = events.groupby("user")
    users = np.arange(len(world.user_ids), dtype=np.int32)
    activity, taste = FEATURES["user_activity"]().fit(world), FEATURES["user_taste"]().fit(world)
    got = dict(zip(activity.names + taste.names, np.hstack([activity.values(users, users), taste.values(users, users)]).T))
    np.testing.assert_array_equal(got["listening_month"], by_user.month.nunique())
    np.testing.assert_array_equal(got["tracks_listened"], by_user.size())
    np.testing.assert_array_equal(got["tracks_30"], (events.last_played >= world.cutoff - 30 * DAY).groupby(events.user).sum())
    np.testing.assert_allclose(got["mean_item_age"], by_user.delay.mean(), rtol=1e-5)
    np.testing.assert_allclose(got["early_share"], (events.delay <= 7).groupby(events.user).mean(), rtol=1e-5)


def test_catalog_features_ignore_plays() -> None:
    """Different interactions over the same catalog give the same item_catalog, so it cannot leak the test set."""
    empty = train_set([], 6, [[0], [0, 1], [1], [1], [0], []], [[0], [0], [1], [2], [0, 1], []], [[0], [0, 1], [1], [2], [0], []])
    np.testing.assert_array_equal(*(FEATURES["item_catalog"]().fit(world).table for world in (WORLD, empty)))
