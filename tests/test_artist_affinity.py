"""Artist affinity against a dense computation."""

import numpy as np
import pytest

from musicrec.errors import ModelError
from musicrec.models.artist_affinity import ArtistAffinity
from tests.worlds import random_world, train_set


def test_scores_are_affinity_times_popularity() -> None:
    """Sparse scores equal the dense formula for every user and item."""
    world = random_world(4)
    rows = np.arange(len(world.user_ids), dtype=np.int32)
    plays, artists, albums = world.matrix.toarray(), world.catalog.artists.toarray(), world.catalog.albums.toarray()
    share = plays / plays.sum(axis=1, keepdims=True)
    dense = (share @ artists @ artists.T + 0.3 * share @ albums @ albums.T) * np.log(2 + world.n_listeners)
    items, scores = ArtistAffinity(album_weight=0.3).fit(world).recommend(rows, 80)
    for row in rows:
        there = items[row] >= 0
        np.testing.assert_allclose(scores[row, there], dense[row, items[row, there]], rtol=1e-4)
        assert set(items[row, there].tolist()) == set(np.flatnonzero((dense[row] > 0) & (plays[row] == 0)).tolist())


def test_only_tracks_of_known_artists_and_albums_are_recommended() -> None:
    """A user of artist 0 gets its other tracks, the more popular first, and nothing of artist 1."""
    world = train_set([(1, 0, 1), (2, 2, 1)], 5, artists=[[0], [0], [0], [1], [1]], albums=[[i] for i in range(5)])
    items, _ = ArtistAffinity().fit(world).recommend(np.array([0], np.int32), 4)
    assert items.tolist() == [[2, 1, -1, -1]]


def test_recency_prefers_the_artist_of_today() -> None:
    """With a half-life the latest artist comes first, without it the lower item index."""
    world = train_set([(1, 0, 1), (1, 2, 999)], 4, artists=[[0], [0], [1], [1]], albums=[[i] for i in range(4)])
    row = np.array([0], np.int32)
    assert ArtistAffinity().fit(world).recommend(row, 2)[0].tolist() == [[1, 3]]
    assert ArtistAffinity(half_life_days=30).fit(world).recommend(row, 2)[0].tolist() == [[3, 1]]


def test_a_negative_half_life_is_refused() -> None:
    """Time does not run backwards."""
    with pytest.raises(ModelError, match="half_life_days is -1"):
        ArtistAffinity(half_life_days=-1).fit(random_world())
