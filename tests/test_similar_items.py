"""Similar items: each source against a dense computation, and the joined lists as a whole."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.dataset import TrainSet
from musicrec.errors import ModelError, StorageError
from musicrec.schema import SIMILAR, check
from musicrec.similar_items import SOURCES, similar_items, write
from musicrec.similar_items.calibration import calibrated
from musicrec.similar_items.co_listening import co_listening
from musicrec.similar_items.content import WEIGHTS, content_neighbors
from musicrec.similar_items.nearest import nearest, unit
from tests.worlds import random_world, train_set


def dense_cosine(left: np.ndarray) -> np.ndarray:
    """Cosines of all pairs of rows; 0 where a row is empty."""
    norms = np.maximum(np.linalg.norm(left, axis=1, keepdims=True), 1e-30)
    return (left / norms) @ (left / norms).T


def factors(world: TrainSet, seed: int = 0) -> np.ndarray:
    """Random item vectors."""
    return np.random.default_rng(seed).normal(size=(len(world.catalog), 5)).astype(np.float32)


def test_nearest_is_dense_cosine() -> None:
    """Cosines of the nearest rows are the largest of a dense matrix, the row itself left out."""
    vectors = np.random.default_rng(0).normal(size=(300, 12)).astype(np.float32)
    dense = dense_cosine(vectors.astype(np.float64))
    np.fill_diagonal(dense, -9)
    found, cosines = nearest(vectors, 7)
    np.testing.assert_allclose(cosines, np.sort(dense, axis=1)[:, ::-1][:, :7], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(dense, found, axis=1), cosines, atol=1e-5)


def test_equal_vectors_never_name_themselves() -> None:
    """Where all vectors are equal, no row is its own neighbor."""
    found, _ = nearest(np.ones((50, 4), np.float32), 5)
    assert not (found == np.arange(50)[:, None]).any()
    assert all(len(set(row)) == 5 for row in found.tolist())


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_few_vectors_leave_places_empty(n: int) -> None:
    """With fewer than k other rows the rest is -1 and -inf."""
    found, cosines = nearest(np.eye(n, 3, dtype=np.float32) + 1, 5)
    assert found.shape == cosines.shape == (n, 5)
    assert ((found >= 0).sum(axis=1) == max(n - 1, 0)).all()
    assert (cosines[found < 0] == -np.inf).all()


def test_large_sets_are_searched_nearly_exactly() -> None:
    """Above the exact bound the inverted file finds at least 97 % of the ten true neighbors of clustered vectors."""
    rng = np.random.default_rng(1)
    vectors = (rng.normal(size=(300, 8))[rng.integers(0, 300, 31_000)] + 0.3 * rng.normal(size=(31_000, 8))).astype(np.float32)
    asked, points = np.arange(0, 31_000, 155), unit(vectors)
    dense = points[asked] @ points.T
    dense[np.arange(len(asked)), asked] = -9
    true = np.argpartition(-dense, 10, axis=1)[:, :10]
    found = nearest(vectors, 10)[0][asked]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), true.tolist())]) > 0.97


def test_co_listening_is_dense_shrunk_cosine() -> None:
    """Scores equal shared listeners over shrunk norms, computed densely."""
    world = random_world(5)
    played = (world.matrix.toarray() > 0).astype(float)
    shared, listeners = played.T @ played, played.sum(axis=0)
    dense = shared / (np.sqrt(np.outer(listeners, listeners)) + 5)
    np.fill_diagonal(dense, 0)
    items, scores = co_listening(world, 6, 5.0)
    expected = np.sort(dense, axis=1)[:, ::-1][:, :6]
    np.testing.assert_allclose(np.where(scores > 0, scores, 0), expected, atol=1e-6)
    there = items >= 0
    np.testing.assert_allclose(np.take_along_axis(dense, items, axis=1)[there], scores[there], atol=1e-6)


def test_content_is_a_weighted_sum_of_three_cosines() -> None:
    """Scores lie within the 5 % that popularity takes from the dense formula."""
    world = random_world(6)
    dense = sum(weight * dense_cosine(getattr(world.catalog, name).toarray()) for name, weight in WEIGHTS.items())
    rows = np.array([3, 70, 41], np.int32)
    items, scores = content_neighbors(world, rows, 4)
    for row, its, values in zip(rows, items, scores):
        there = its >= 0
        assert row not in its
        raw = dense[row, its[there]]
        assert (values[there] <= raw + 1e-6).all()
        assert (values[there] >= 0.95 * raw - 1e-6).all()


def test_mapped_scores_keep_their_order_and_lie_on_the_scale() -> None:
    """Raw scores that are a tenth of the cosine are mapped back to about the cosine, larger ones to larger ones."""
    rng = np.random.default_rng(0)
    points = unit(np.abs(rng.normal(size=(400, 6))).astype(np.float32))
    items = rng.integers(0, 400, (400, 10)).astype(np.int32)
    raw = (np.einsum("if,ijf->ij", points, points[items]) / 10).astype(np.float32)
    everything = np.arange(400, dtype=np.int32)
    mapped = calibrated(points, everything, everything, items, raw, raw)
    assert np.abs(mapped - raw * 10).mean() < 0.02
    order = np.argsort(raw.ravel(), kind="stable")
    assert (np.diff(mapped.ravel()[order]) >= 0).all()


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), k=st.integers(1, 100), with_factors=st.booleans())
def test_lists_are_well_formed(seed: int, k: int, with_factors: bool) -> None:
    """Never the item itself, no repeats, scores 0..1 descending, ties by item index, empty places last."""
    world = random_world(seed)
    items, scores, sources = similar_items(world, factors(world, seed) if with_factors else None, k)
    assert items.shape == scores.shape == sources.shape == (80, k)
    for item, its, values in zip(range(80), items, scores):
        there = its >= 0
        assert there[: there.sum()].all()
        its, kept = its[there], values[there]
        assert item not in its
        assert len(set(its.tolist())) == len(its)
        assert ((kept >= 0) & (kept <= 1)).all()
        assert (np.lexsort((its, -kept)) == np.arange(len(its))).all()
        assert (values[~there] == -np.inf).all()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_the_same_artist_gets_its_share_at_most(share: float) -> None:
    """By an artist of the item there are at most share x k items, or as many as are needed to fill the list, the most similar first."""
    world, k = random_world(), 10
    same = (world.catalog.artists @ world.catalog.artists.T).toarray() > 0
    free, limited = (similar_items(world, None, k, min_listeners=0, max_same_artist=most) for most in (1.0, share))
    longer = similar_items(world, None, 3 * k, min_listeners=0)
    changed = 0
    for item, (before, after) in enumerate(zip(free.items.tolist(), limited.items.tolist())):
        others = [other for other in longer.items[item] if other >= 0 and not same[item, other]]
        mates = [other for other in after if other >= 0 and same[item, other]]
        assert len([other for other in after if other >= 0]) == len([other for other in before if other >= 0])
        assert mates == [other for other in before if other >= 0 and same[item, other]][:len(mates)]
        assert len(mates) <= int(share * k) or set(after) >= set(others) & set(before)
        changed += before != after
    assert changed > 10
    assert (limited.scores[:, :-1] >= limited.scores[:, 1:]).all()


def test_a_track_without_listeners_gets_its_album_mates() -> None:
    """A track that nobody played gets similar items by content, the more popular one first."""
    world = train_set([(1, 0, 1), (2, 0, 1), (1, 1, 1)], 4, genres=[[0]] * 4, artists=[[0], [0], [0], [1]], albums=[[0], [0], [0], [1]])
    items, _, sources = similar_items(world, None, 3)
    assert items[2].tolist() == [0, 1, 3]
    assert {SOURCES[source] for source in sources[2]} == {"content"}


def test_an_empty_train_set_has_only_content() -> None:
    """Without plays nothing fails."""
    world = train_set([], 3, genres=[[0], [0], [1]], artists=[[0], [0], [1]], albums=[[0], [1], [2]])
    items, _, _ = similar_items(world, np.zeros((3, 4), np.float32), 2)
    assert items.tolist() == [[1, -1], [0, -1], [-1, -1]]


def test_factors_of_another_catalog_are_refused() -> None:
    """The number of rows must be that of the catalog."""

    with pytest.raises(ModelError, match="factors of 79 items"):
        similar_items(random_world(), factors(random_world())[:79], 3)


def test_the_written_table_holds_ids_and_sources(tmp_path: Path) -> None:
    """similar.parquet follows the schema, sorted by track and score, with the source beside."""
    world = random_world()
    similar = similar_items(world, factors(world), 5)
    rows = write(tmp_path / "similar.parquet", similar, world.item_ids)
    stored = pq.read_table(tmp_path / "similar.parquet")
    check(stored, SIMILAR, "similar.parquet")
    frame = stored.to_pandas()
    assert len(frame) == rows == (similar.items >= 0).sum()
    assert frame.equals(frame.sort_values(["item_id_1", "score", "item_id_2"], ascending=[True, False, True], ignore_index=True))
    assert set(frame["source"]) <= set(SOURCES)
    assert not (frame["item_id_1"] == frame["item_id_2"]).any()


def test_a_folder_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    """Writing into nowhere raises StorageError and names the file."""
    world = random_world()
    with pytest.raises(StorageError, match=r"similar\.parquet cannot be written"):
        write(tmp_path / "none" / "similar.parquet", similar_items(world, None, 2), world.item_ids)


def test_a_sample_of_listeners_finds_the_same_groups() -> None:
    """With bounds below the longest rows, neighbors stay in their group and scores near those of all listeners."""
    rng = np.random.default_rng(8)
    rows = [(user, user % 2 * 30 + int(item), 1) for user in range(1000) for item in rng.choice(30, 15, replace=False)]
    world = train_set(rows, 60)
    items, scores = co_listening(world, 29, 0.0, max_listeners=150, max_tracks=10)
    assert (items // 30 == np.arange(60)[:, None] // 30).all()
    assert 0.7 < scores.mean() / co_listening(world, 29, 0.0)[1].mean() < 1.1
