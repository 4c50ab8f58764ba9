"""How lists become one."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from musicrec.serving.blending import BLENDS, ScoredItem, SimilarItems, alternate, backfill, by_score, combined, rrf

Ids = st.lists(st.integers(0, 30), max_size=15, unique=True)


def scored_items(source: str, items: list[int], scores: list[float] | None = None) -> list[ScoredItem]:
    """Scored items in order, with falling scores where none are given."""
    return [ScoredItem(item, source, score) for item, score in zip(items, scores or [1 - place / 100 for place in range(len(items))])]


def ids(found: Iterable[ScoredItem]) -> list[int]:
    """The items, in order."""
    return [item.item_id for item in found]


def test_offline_takes_even_places() -> None:
    """Even places, counted from 0, come from the offline list and odd ones from the online list."""
    found = alternate(scored_items("offline", [1, 2, 3]), scored_items("online", [11, 12, 13]))
    assert ids(found) == [1, 11, 2, 12, 3, 13]


def test_the_other_way_round() -> None:
    """With online first the even places are online."""
    found = alternate(scored_items("offline", [1, 2, 3]), scored_items("online", [11, 12, 13]), offline_first=False)
    assert ids(found) == [11, 1, 12, 2, 13, 3]


def test_a_repeat_does_not_shift_the_sides() -> None:
    """An item of both lists is taken once, and the side that lost it offers its next one at the same place."""
    found = list(alternate(scored_items("offline", [1, 2, 3]), scored_items("online", [1, 12, 13])))
    assert ids(found) == [1, 12, 2, 13, 3]
    assert [item.source for item in found] == ["offline", "online", "offline", "online", "offline"]


def test_longer_side_goes_on_alone() -> None:
    """When one side has nothing more, the other fills all further places."""
    assert ids(alternate(scored_items("offline", [1, 2, 3, 4]), scored_items("online", [11]))) == [1, 11, 2, 3, 4]


@given(Ids, Ids, st.sampled_from(sorted(BLENDS)), st.booleans())
def test_every_blend_keeps_everything_once(a: list[int], b: list[int], blend: str, offline_first: bool) -> None:
    """Every blend holds exactly the items of both lists, each once."""
    found = ids(BLENDS[blend](scored_items("offline", a), scored_items("online", b), offline_first))
    assert len(found) == len(set(found))
    assert set(found) == set(a) | set(b)


@given(Ids, Ids)
def test_places_belong_to_their_side(a: list[int], b: list[int]) -> None:
    """As long as both sides have something new, each place comes from the side whose turn it is."""
    offline, online = scored_items("offline", a), scored_items("online", b)
    taken: set[int] = set()
    for place, item in enumerate(alternate(offline, online)):
        mine, other = (offline, online) if place % 2 == 0 else (online, offline)
        has_new = any(one.item_id not in taken for one in mine)
        assert item.source == (mine[0].source if has_new else other[0].source)
        taken.add(item.item_id)


def test_by_score_scales_each_list() -> None:
    """Scores of different scale count alike: the best of each list is worth 1."""
    found = by_score(scored_items("offline", [1, 2, 3], [1000, 900, 0]), scored_items("online", [11, 12, 13], [0.3, 0.2, 0.1]))
    assert ids(found) == [1, 11, 2, 12, 3, 13]


def test_rrf_by_hand() -> None:
    """An item that both lists have beats the first of either, as 1/62 + 1/61 is more than 1/61."""
    assert ids(rrf(scored_items("offline", [1, 2]), scored_items("online", [2, 3])))[0] == 2


def test_combined_by_hand() -> None:
    """The newest play weighs most, an item brought by two plays adds up, and the play that adds most is the reason."""
    found = combined([SimilarItems(7, [1, 2], [0.9, 0.5]), SimilarItems(8, [2, 3], [0.8, 0.8])], decay=0.5)
    assert [(item.item_id, round(item.score, 6), item.because) for item in found] == [(1, 0.9, 7), (2, 0.9, 7), (3, 0.4, 8)]


def test_backfill_limits_artists() -> None:
    """No artist has more items than allowed while there are others, which fill up; items of unknown artists are not limited."""
    artists = {1: [5], 2: [5], 3: [5, 6], 4: [6], 5: [], 6: []}
    for k, wanted in ((3, [1, 4, 5]), (4, [1, 4, 5, 6]), (5, [1, 4, 5, 6, 2]), (9, [1, 4, 5, 6, 2, 3])):
        assert ids(backfill(scored_items("x", [1, 2, 3, 4, 5, 6]), k, artists.__getitem__, 1)) == wanted


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 12))
def test_backfill_is_the_first_k_different(items: list[int], k: int) -> None:
    """Without a limit it is the first k different items in order."""
    assert ids(backfill(scored_items("x", items), k, lambda _: (), 0)) == list(dict.fromkeys(items))[:k]
