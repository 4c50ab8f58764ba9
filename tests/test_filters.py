"""What a request lets into its lists: masks against plain Python, and the parameters over HTTP with real services."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from fastapi.exceptions import RequestValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec import schema
from musicrec.serving import layout
from musicrec.serving.filters import Filters, ItemColumns, item_columns
from tests.service_world import COLD, HEARD, ITEMS, PERSONAL, USER, Services, published, running, write, write_run

GENRES, ARTISTS = ("rock", "pop", "Ночь"), ("Ann", "The A, B & C", "Éa")
START = datetime(2022, 1, 1)
ITEM = st.tuples(st.sets(st.sampled_from(GENRES)), st.sets(st.sampled_from(ARTISTS)), st.integers(-1, 5))


def columns(folder: Path, items: list[tuple[set[str], set[str], int]]) -> ItemColumns:
    """The columns of items 10, 20, ... with these genres, artists and days since START (-1: not known); later ones are more popular."""
    n = len(items)
    write_run(folder)
    ids = [10 * number for number in range(1, n + 1)]
    write(folder, schema.ITEMS, {
        "item_id": ids, "name": ["x"] * n, "albums": [[]] * n, "artists": [sorted(artists) for _, artists, _ in items],
        "genres": [sorted(genres) for genres, _, _ in items], "num_users": range(n), "num_users_norm": [0.5] * n, "num_albums": [0] * n,
        "genre_score_mean": [0.5] * n, "album_ids": [[]] * n, "artist_ids": [[]] * n, "genre_ids": [[]] * n,
        "added_at": [None if day < 0 else START + timedelta(days=day, hours=5) for _, _, day in items]})
    top = pq.read_table(folder / "top_popular.parquet")
    pq.write_table(top.slice(0, 1).set_column(1, "item_id", pa.array([20], pa.int32())), folder / "top_popular.parquet")
    into = folder / "filters"
    into.mkdir()
    layout.write("filters", folder, into)
    return item_columns(into)


@settings(max_examples=25)
@given(items=st.lists(ITEM, min_size=3, max_size=12), wanted=st.sets(st.sampled_from(GENRES), max_size=2),
       unwanted=st.sets(st.sampled_from(GENRES), max_size=1),
       artists=st.sets(st.sampled_from(ARTISTS), max_size=2), barred=st.sets(st.sampled_from(ARTISTS), max_size=1),
       since=st.none() | st.integers(0, 5), excluded=st.sets(st.integers(0, 130)))
def test_a_mask_is_what_a_loop_over_the_items_finds(items: list[tuple[set[str], set[str], int]], wanted: set[str], unwanted: set[str],
                                                    artists: set[str], barred: set[str], since: int | None, excluded: set[int],
                                                    tmp_path_factory: pytest.TempPathFactory) -> None:
    """For any items and filters, the mask passes those and in that order that a loop over the items by popularity does."""
    all_genres, all_artists = (set().union(*(item[at] for item in items)) for at in range(2))
    if not wanted | unwanted <= all_genres or not artists | barred <= all_artists:
        return
    found = columns(tmp_path_factory.mktemp("columns"), items)
    asked = Filters.model_validate({"genres": wanted, "not_genres": unwanted, "artists": artists, "not_artists": barred, **(
        {} if since is None else {"added_since": str((START + timedelta(days=since)).date())})})
    mask = found.mask(asked, excluded)

    def passes(number: int) -> bool:
        genres, by, day = items[number]
        return (not (wanted and not wanted & genres) and not unwanted & genres and not (artists and not artists & by) and not barred & by
                and (since is None or day >= since) and 10 * (number + 1) not in excluded)
    order = [1, *(number for number in reversed(range(len(items))) if number != 1)]
    assert np.concatenate([*mask.places(), []]).tolist() == [place for place, number in enumerate(order) if passes(number)]
    ids = np.array([*(10 * number for number in range(1, len(items) + 1)), 5, 10**6], np.int32)
    assert mask.of(ids).tolist() == [*map(passes, range(len(items))), False, False]


def test_names_are_compared_without_case(tmp_path: Path) -> None:
    """Upper case, surrounding spaces and a comma in a name do not matter; a name that no item has is refused with the name."""
    found = columns(tmp_path, [({"rock"}, {"The A, B & C"}, 0), ({"pop"}, {"Ann"}, 0), (set(), set(), 0)])
    assert found.mask(Filters(genres=("ROCK ",), artists=("the a, b & c",)), []).passes.tolist() == [False, False, True]
    with pytest.raises(RequestValidationError) as refused:
        found.mask(Filters(not_artists=("Nobody",)), [])
    assert "no track of this run has the artist 'Nobody'" in refused.value.errors()[0]["msg"]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """All three services over the little world, where USER has just played 200."""
    root = tmp_path_factory.mktemp("services")
    published(root)
    with running(root) as found:
        found.post("events", "/put", user_id=USER, item_id=200)
        yield found


ROUTES = ("/recommendations", "/recommendations_offline", "/recommendations_online", "/recommendations_default")


@pytest.mark.slow
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(("filters", "passes"), [
    ({"genres": "rock"}, lambda item: item % 2),
    ({"not_genres": "Rock"}, lambda item: not item % 2),
    ({"artists": ["Artist 1", "Artist 2"], "genres": ["rock"]}, lambda item: item % 7 in (1, 2) and item % 2),
    ({"not_artists": ["Artist 5", "artist 6"], "exclude": [150, 151, 201]}, lambda item: item % 7 < 5 and item not in (150, 151, 201)),
], ids=["genres", "not_genres", "artists", "exclude"])
def test_a_list_holds_what_passes_and_is_filled(three: Services, path: str, filters: dict[str, Any], passes: Any) -> None:
    """Everything in a list passes the filters, and all that pass are in it when k is large, in query and JSON body alike."""
    found = three.recs(path, user_id=USER, k=300, **filters)
    assert all(map(passes, found))
    possible = range(201, 206) if path.endswith("online") else ITEMS
    left_out = () if path.endswith("default") else (*HEARD, 200)
    assert sorted(found) == [item for item in possible if passes(item) and item not in left_out]
    url = three.url("recommendations") + path
    assert requests.post(url, json={"user_id": USER, "k": 300, **filters}, timeout=5).json()["recs"] == found


@pytest.mark.slow
@pytest.mark.parametrize("method", ["alternate", "score", "rrf"])
def test_pages_fit_together(tmp_path: Path, method: str) -> None:
    """Pages of seven one after the other are the whole list, without repeats, whatever the blend, with an artist bound and filters."""
    published(tmp_path)
    with running(tmp_path, MUSICREC_BLENDING_METHOD=method) as found:
        for user in (USER, COLD):
            found.post("events", "/put", user_id=user, item_id=200)
            for more in ({}, {"max_per_artist": 2, "not_genres": "rock"}):
                for path in ROUTES[:3]:
                    whole = found.recs(path, user_id=user, k=70, **more)
                    pages = [found.recs(path, user_id=user, k=7, offset=offset, **more) for offset in range(0, 70, 7)]
                    assert [item for page in pages for item in page] == whole
                    assert len(whole) == len(set(whole))


@pytest.mark.slow
def test_max_per_artist_of_a_request(three: Services) -> None:
    """A request may bound an artist's tracks although the settings do not."""
    found = three.recs("/recommendations_offline", user_id=USER, k=7, max_per_artist=1)
    assert sorted(item % 7 for item in found) == list(range(7))
    assert found == list(PERSONAL[:7])


@pytest.mark.slow
@pytest.mark.parametrize(("parameters", "said"), [
    ({"genres": "polka"}, "genres: no track of this run has the genre 'polka'"),
    ({"not_artists": ["Artist 1", "Nobody"]}, "no track of this run has the artist 'Nobody'"),
    ({"added_since": "2022-01-01"}, "this run does not say when tracks were added"),
    ({"added_since": "yesterday"}, "added_since must be a day such as 2024-05-01"),
    ({"exclude": "abc"}, "exclude must be a list of 0 to 1000 whole numbers"),
    ({"genres": ["x" * 300]}, "genres must be a list of 0 to 100 texts of at most 256 characters"),
    ({"offset": -1}, "offset must be a whole number from 0 to 10000"),
], ids=str)
def test_what_cannot_be_filtered_by_is_refused(three: Services, parameters: dict[str, Any], said: str) -> None:
    """Unknown names and bad values get 422 with one sentence that names the parameter."""
    for path in ROUTES:
        answer = three.post("recommendations", path, user_id=USER, **parameters)
        assert answer.status_code == 422
        assert len(answer.json()["detail"]) == 1
        assert said in answer.json()["detail"][0]["msg"]
