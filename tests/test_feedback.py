"""Feedback strength: what it is, what models learn from it, and that it decides what counts as a hit."""

from datetime import datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.dataset import Dataset, TrainSet, centered, random_holdout, second
from musicrec.dataset.feedback import DISLIKE, LIKE, PRIOR_PLAYS, learned_weights, strengths
from musicrec.evaluation import Evaluator
from musicrec.evaluation.targets import REFERENCE, targets
from musicrec.features import FEATURES
from musicrec.lists import Lists
from musicrec.models import MODELS
from musicrec.ranking import candidates, training_table
from musicrec.similar_items.co_listening import co_listening
from tests.worlds import train_set

START, TRACKS_OF_ARTIST = datetime(2022, 1, 1), 30
N_ITEMS = 2 * TRACKS_OF_ARTIST
CATALOG = train_set([], N_ITEMS, artists=[[item // TRACKS_OF_ARTIST] for item in range(N_ITEMS)],
                    genres=[[item // TRACKS_OF_ARTIST] for item in range(N_ITEMS)]).catalog


def _log(rows: list[tuple[int, int, int, float | None]], feedback: list[str | None] | None = None,
         recommended: list[int] | None = None) -> Dataset:
    """A dataset from rows (user id, item index, day, played share)."""
    users, items, days, shares = zip(*rows)
    columns = {"user_id": pa.array(users, pa.int32()), "item_id": pa.array([10 * item + 10 for item in items], pa.int32()),
               "started_at": pa.array([START + timedelta(days=day) for day in days], pa.timestamp("us")),
               "played_share": pa.array(shares, pa.float32())}
    more = {"feedback": pa.array(feedback, pa.string())} if feedback else {}
    more |= {"was_recommended": pa.array(recommended, pa.int8())} if recommended else {}
    return Dataset(ibis.memtable(pa.table(columns | more)), CATALOG)


def _taste(shares: tuple[float, float]) -> TrainSet:
    """Every user has heard 8 tracks of each of two artists, chosen at random, and played the first share of those by their artist."""
    rng = np.random.default_rng(0)
    rows = [(user, artist * TRACKS_OF_ARTIST + int(track), int(day), shares[0] if artist == user % 2 else shares[1])
            for user in range(60) for artist in range(2)
            for track, day in zip(rng.permutation(TRACKS_OF_ARTIST)[:8], rng.integers(0, 90, 8))]
    return _log(rows).train_set()


def _share_of_own_artist(world: TrainSet, model: str) -> float:
    """The share of tracks by the user's artist in lists of five."""
    settings = {"factors": 4} if model == "als" else {"shrinkage": 1} if model == "user_knn" else {}
    users = np.arange(len(world.user_ids), dtype=np.int32)
    items, _ = MODELS[model](**settings).fit(world).recommend(users, 5)
    return float((items // TRACKS_OF_ARTIST == (world.user_ids % 2)[:, None])[items >= 0].mean())


@pytest.mark.parametrize("model", ["als", "item_knn", "user_knn", "content", "artist_affinity", "slim"])
def test_models_recommend_what_users_finish_not_what_they_skip(model: str) -> None:
    """Where all users heard as much of both artists and finished only one's tracks, lists hold that artist's tracks."""
    assert _share_of_own_artist(_taste((1.0, 0.1)), model) > 0.9


@pytest.mark.parametrize("model", ["als", "item_knn", "content", "artist_affinity"])
def test_without_a_difference_in_feedback_there_is_no_preference(model: str) -> None:
    """The control: the same plays, all of them finished, give lists of both artists."""
    assert 0.3 < _share_of_own_artist(_taste((1.0, 1.0)), model) < 0.7


def test_strength_of_each_kind_of_feedback() -> None:
    """A share counts as it is, a missing one is 1, of a skip 0; likes and dislikes have strengths of their own."""
    plays = pa.table({"played_share": pa.array([0.3, None, 0.2, None, 0.9, 0.9], pa.float32()),
                      "feedback": pa.array(["play", None, "skip", "skip", "like", "dislike"])})
    np.testing.assert_allclose(strengths(plays), [0.3, 1, 0.2, 0, LIKE, DISLIKE], rtol=1e-6)  # type: ignore[arg-type]
    np.testing.assert_allclose(strengths(plays.drop_columns("feedback")), [0.3, 1, 0.2, 1, 0.9, 0.9], rtol=1e-6)  # type: ignore[arg-type]
    assert strengths(pa.table({"user_id": [1]})) is None


def test_weights_worked_out_by_hand() -> None:
    """A user with shares 1, 0.6 and 0.2 of two, one and one plays, another with 0.5: distances to shrunken means, times plays."""
    overall = (1 * 2 + 0.6 + 0.2 + 0.5) / 5
    first, second_ = (2.8 + PRIOR_PLAYS * overall) / (4 + PRIOR_PLAYS), (0.5 + PRIOR_PLAYS * overall) / (1 + PRIOR_PLAYS)
    found = learned_weights(np.array([1, 0.6, 0.2, 0.5], np.float32), np.array([2, 1, 1, 1], np.int32), np.array([0, 3, 4]))
    assert 0.6 < first < 1
    assert second_ > 0.5
    np.testing.assert_allclose(found, [2, 0, 0, 0], atol=1e-6)
    above, mean = centered(np.array([1, 0.6, 0.2, 0.5], np.float32), np.array([2, 1, 1, 1], np.int32), np.array([0, 3, 4]))
    np.testing.assert_allclose(mean, [first] * 3 + [second_], rtol=1e-6)
    np.testing.assert_allclose(above, [1 - first, 0.6 - first, 0.2 - first, 0.5 - second_], atol=1e-6)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), st.integers(0, 100))
def test_weights_are_between_zero_and_plays_and_rise_with_strength(shares: list[float], seed: int) -> None:
    """Of one user's pairs with a play each, more strength is never less weight, and a whole play has weight 1."""
    strength = np.sort(np.array(shares, np.float32))
    weights = learned_weights(strength, np.ones(len(strength), np.int32), np.array([0, len(strength)]))
    assert (np.diff(weights) >= 0).all()
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (weights[strength == 1] == 1).all()


def test_a_log_of_whole_plays_is_one_without_feedback() -> None:
    """Shares that are all 1 or missing, and feedback that is all play, give the train set of a log without these columns."""
    rows = [(1, 0, 1, 1.0), (1, 1, 2, None), (2, 1, 3, 1.0), (2, 1, 5, None)]
    for feedback in (None, ["play", None, "play", "play"]):
        made = _log(rows, feedback).train_set()
        assert made.strength is None
        assert made.matrix.data.tolist() == [1, 1, 2]


def test_the_strength_of_a_pair_is_the_mean_over_its_plays() -> None:
    """Two plays of 0.2 and 0.6 have strength 0.4, and the pair stays seen though nothing is learned from it."""
    made = _log([(1, 0, 1, 0.2), (1, 0, 2, 0.6), (1, 1, 3, 1.0)]).train_set()
    np.testing.assert_allclose(made.strength, [0.4, 1.0])  # type: ignore[arg-type]
    assert made.matrix.data.tolist() == [0, 1]
    assert MODELS["popular"]().fit(made).recommend(np.array([0], np.int32), 5)[0].tolist() == [[-1, -1, -1, -1, -1]]


def test_a_skip_is_no_hit_and_no_target() -> None:
    """Of two plays after the cutoff only the finished one is a target, in the evaluation and for the ranker."""
    data = _log([(1, 0, 0, 1.0), (2, 1, 0, 1.0), (2, 2, 0, 0.9), (1, 1, 9, 1.0), (1, 2, 9, 0.1)])
    train, test = data.split(second(START + timedelta(days=5)))
    assert targets(train, test).items.tolist() == [1]
    assert targets(train, test, REFERENCE).items.tolist() == [1, 2]
    found = candidates({"shelf": (np.array([[1, 2]], np.int32), np.array([[2, 1]], np.float32))}, np.array([0], np.int32), 5)
    assert training_table(found, np.array([1], np.int32), test, {}, 10, 0).target.tolist() == [1, 0]


def test_what_a_list_has_brought_is_learned_from_and_not_judged() -> None:
    """Of three plays after the cutoff the one that a list has brought is no target and no miss: lists are evaluated, and the ranker
    learns, as if the item were not there. Before the cutoff it is a play as any other."""
    rows = [(1, 0, 0, 1.0), (2, 1, 0, 1.0), (2, 2, 0, 0.9), (2, 3, 0, 0.1), (1, 1, 9, 1.0), (1, 2, 9, 1.0), (1, 3, 9, 0.1)]
    train, test = _log(rows, recommended=[0, 1, 1, 0, 0, 1, 0]).split(second(START + timedelta(days=5)))
    plain, _ = _log(rows).split(second(START + timedelta(days=5)))
    np.testing.assert_array_equal(train.matrix.toarray(), plain.matrix.toarray())
    assert test.unjudged.tolist() == [False, True, False]
    assert targets(train, test).items.tolist() == [1]
    found = candidates({"shelf": (np.array([[2, 1, 3]], np.int32), np.array([[3, 2, 1]], np.float32))}, np.array([0], np.int32), 5)
    assert training_table(found, np.array([1], np.int32), test, {}, 10, 0).target.tolist() == [1, 0]
    evaluator = Evaluator(train, test)
    evaluator.add("second", Lists(np.array([1], np.int32), np.array([[2, 1, 3]], np.int32), np.array([[3, 2, 1]], np.float32)))
    assert evaluator.relevance("second")["mrr@5"].tolist() == [1.0]


def test_a_user_who_only_skips_is_not_evaluated() -> None:
    """A user of the test set without a relevant pair has no targets."""
    data = _log([(1, 0, 0, 1.0), (2, 1, 0, 1.0), (1, 1, 9, 0.1), (2, 0, 9, 1.0)])
    train, test = data.split(second(START + timedelta(days=5)))
    assert Evaluator(train, test).user_ids.tolist() == [2]


def test_feedback_after_the_cutoff_changes_nothing_before_it() -> None:
    """Weights and strengths of the train set are those of the log without later plays, bit for bit."""
    before = [(user, item, item, (user * item % 7) / 6) for user in range(1, 6) for item in range(5)]
    after = [(user, item, 40, share) for user in range(1, 6) for item, share in ((7, 0.0), (8, 1.0))]
    alone, whole = (_log(rows).train_set(second(START + timedelta(days=30))) for rows in (before, before + after))
    np.testing.assert_array_equal(alone.matrix.data, whole.matrix.data)
    np.testing.assert_array_equal(alone.strength, whole.strength)  # type: ignore[arg-type]


def test_a_holdout_computes_weights_from_the_kept_plays_only() -> None:
    """What is held out has no part in the means of users: the weights are those of the kept pairs alone."""
    kept, _ = random_holdout(_log([(user, item, item, (user + item) % 4 / 3) for user in range(1, 9) for item in range(6)]).train_set())
    assert kept.strength is not None
    np.testing.assert_array_equal(kept.matrix.data, learned_weights(kept.strength, kept.n_plays, kept.matrix.indptr))


def test_popularity_counts_those_who_liked_it() -> None:
    """A track that four users skipped comes after one that two users finished."""
    rows = [(user, 0, 1, 0.0) for user in range(1, 5)] + [(user, 1, 1, 1.0) for user in range(3, 5)] + [(9, 5, 1, 1.0)]
    world = _log(rows).train_set()
    for name in ("popular", "popular_decayed", "popular_recent", "popular_by_genre"):
        assert MODELS[name]().fit(world).recommend(np.array([world.user_ids.tolist().index(9)], np.int32), 1)[0].tolist() == [[1]]


def test_skipped_tracks_are_not_similar_to_finished_ones() -> None:
    """Tracks that the same users finished are neighbors by co-listening; one that all of them skipped is not."""
    rows = [(user, item, item, share) for user in range(1, 6) for item, share in ((0, 1.0), (1, 1.0), (2, 0.0))]
    items, _ = co_listening(_log(rows).train_set(), 3, shrinkage=1.0)
    assert items[0].tolist() == [1, -1, -1]


def test_feedback_features_worked_out_by_hand() -> None:
    """Means of a user, an item, an artist, and of the user's pairs with the artist, centered by users; NaN without feedback."""
    world = _log([(1, 0, 1, 1.0), (1, 1, 2, 0.0), (2, 0, 3, 1.0), (2, TRACKS_OF_ARTIST, 4, 0.0)]).train_set()
    user, item = np.array([0], np.int32), np.array([0], np.int32)
    assert world.strength is not None
    # Both users have the mean 0.5.
    np.testing.assert_allclose(FEATURES["feedback"]().fit(world).values(user, item), [[0.5, 1 / 7, 0.5 / 8, 0.0]], atol=1e-6)
    of_other = FEATURES["feedback"]().fit(world).values(np.array([1], np.int32), np.array([2], np.int32))
    np.testing.assert_allclose(of_other, [[0.5, -0.5 / 6, -0.5 / 6, -0.25]], atol=1e-6)
    cold = FEATURES["feedback"]().fit(world).values(np.array([-1], np.int32), item)
    assert np.isnan(cold[0, [0, 3]]).all()
    without = FEATURES["feedback"]().fit(train_set([(1, 0, 1)], 2)).values(user, item)
    assert np.isnan(without).all()
