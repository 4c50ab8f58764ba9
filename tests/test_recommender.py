"""TwoStageRecommender: candidates, lists, constraints, and the same answers after it was saved and loaded."""

import dataclasses
import gc
import json
import pickle
import shutil
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest

from musicrec.dataset import Interactions, TrainSet, interactions
from musicrec.errors import ArtifactError, RankingError, StorageError
from musicrec.features import FEATURES
from musicrec.lists import empty
from musicrec.models import MODELS, als
from musicrec.models.als import ALS
from musicrec.ranking import Constraints, RankerSettings, fit_ranker, tail
from musicrec.recommender import BLENDED, RANKED, RRF, TwoStageRecommender
from tests.worlds import DAY, random_world

COLD = 123_456_789
SMALL_ALS = ALS(factors=8, iterations=3, spread=1)
# Of the recommender `whole`, which nobody should have to fit before the tests are collected.
ORDERS = ("random", "popular", "als", "item_knn", "popular_by_genre", RRF, BLENDED, RANKED)


def all_users(world: TrainSet) -> np.ndarray:
    """Every user of the train set in another order, and two unknown ones."""
    return np.concatenate([[COLD], world.user_ids[::-1], [-5]]).astype(np.int32)


def later_plays(world: TrainSet) -> Interactions:
    """A test set in which users play popular items that they have not seen."""
    rng = np.random.default_rng(1)
    items = np.minimum(rng.geometric(0.05, 800), len(world.item_ids)) - 1
    return interactions(rng.choice(world.user_ids, 800), items, np.full(800, 2000 * DAY), None, len(world.item_ids))


def plain(**changed: Any) -> TwoStageRecommender:
    """A fitted recommender of three models and two baselines, without a ranker."""
    models = {"als": SMALL_ALS, "item_knn": MODELS["item_knn"](), "popular_by_genre": MODELS["popular_by_genre"]()}
    made = TwoStageRecommender(models, {name: group() for name, group in FEATURES.items()},
                               {"random": MODELS["random"](), "popular": MODELS["popular"]()}, candidates_per_model=30, max_candidates=50)
    return dataclasses.replace(made, **changed).fit(random_world())


@cache
def whole() -> TwoStageRecommender:
    """The same with a ranker, in the order "ranked"."""
    made = plain()
    test = later_plays(made.fitted.train)
    table = made.training_table(test.user_ids, test, negatives=10)
    return made.with_ranker(fit_ranker([table], RankerSettings(iterations=20, depth=3, learning_rate=0.2, n_seeds=2))).with_order(RANKED)


def saved_and_loaded(made: TwoStageRecommender, folder: Path) -> TwoStageRecommender:
    """What comes back from the disk."""
    made.save(folder / "recommender")
    return TwoStageRecommender.load(folder / "recommender")


def assert_same_answers(one: TwoStageRecommender, other: TwoStageRecommender) -> None:
    """Lists in every order and the candidate table agree in every bit."""
    users = all_users(one.fitted.train)
    assert one.orders == other.orders
    for order in one.orders:
        mine, theirs = (made.with_order(order).recommend(users, 20) for made in (one, other))
        assert mine.item_ids.tobytes() == theirs.item_ids.tobytes(), order
        assert mine.scores.tobytes() == theirs.scores.tobytes(), order
    mine_table, theirs_table = one.candidates(users), other.candidates(users)
    assert mine_table.columns == theirs_table.columns
    for part in ("item_ids", "scores", "features"):
        assert getattr(mine_table, part).tobytes() == getattr(theirs_table, part).tobytes(), part


@pytest.mark.parametrize("order", ORDERS)
def test_a_loaded_recommender_answers_as_the_saved_one(order: str, tmp_path: Path) -> None:
    """Settings, order and all answers of the loaded recommender are those of the one that was saved, bit for bit."""
    made = dataclasses.replace(whole().with_order(order), constraints=Constraints(max_per_artist=2, exploration=0.1))
    again = saved_and_loaded(made, tmp_path)
    for setting in ("models", "features", "baselines", "constraints", "order", "candidates_per_model", "max_candidates", "columns"):
        assert getattr(again, setting) == getattr(made, setting)
    assert again.fitted.train.cutoff == made.fitted.train.cutoff
    assert made.orders == ORDERS
    assert_same_answers(made, again)


def test_contributions_explain_the_first_places_of_lists() -> None:
    """All parts of a place add up to its score less one constant; places are those of the lists, and cold users have none."""
    made = dataclasses.replace(whole(), constraints=Constraints(max_per_artist=2))
    users = [*made.fitted.train.user_ids[:5], -7]
    lists = made.recommend(users, 20).to_pandas().query("rank <= 3 and user_id != -7")
    found = made.contributions(users, 20, places=3, parts=99)
    assert found["part"].nunique() == len(made.columns.parts)
    added = found.groupby(["user_id", "rank"]).agg(item_id=("item_id", "first"), value=("value", "sum")).reset_index()
    assert added["item_id"].tolist() == lists["item_id"].tolist()
    free = whole().contributions(users, 20, places=3, parts=99).groupby(["user_id", "rank"])["value"].sum().to_numpy()
    rest = whole().recommend(users, 20).to_pandas().query("rank <= 3 and user_id != -7")["score"].to_numpy() - free
    np.testing.assert_allclose(rest, rest[0], atol=1e-3)
    pd.testing.assert_frame_equal(made.contributions(users, 20, places=3, parts=2),
                                  found.groupby(["user_id", "rank"]).head(2).reset_index(drop=True))
    assert made.contributions([-7], 20).empty


@pytest.mark.parametrize("name", MODELS)
def test_every_model_answers_the_same_after_loading(name: str, tmp_path: Path) -> None:
    """A recommender of one model alone is the same after loading, bit for bit."""
    made = TwoStageRecommender({name: MODELS[name]()}, order=name).fit(random_world())
    assert_same_answers(made, saved_and_loaded(made, tmp_path))


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_group_has_the_same_values_after_loading(name: str, tmp_path: Path) -> None:
    """A recommender with one feature group is the same after loading, bit for bit."""
    made = TwoStageRecommender({"popular": MODELS["popular"]()}, {name: FEATURES[name]()}).fit(random_world())
    assert made.candidates([COLD]).features.shape[1] == 7 + len(FEATURES[name].names)
    assert_same_answers(made, saved_and_loaded(made, tmp_path))


def test_a_warm_started_model_answers_the_same_after_loading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model that started from an earlier train set is stored as it was fitted, not fitted again from scratch."""
    monkeypatch.setattr(als, "LARGE", 1)
    world = random_world()
    scratch = TwoStageRecommender({"als": SMALL_ALS}, order="als").fit(world)
    warm = scratch.unfitted.fit(world, scratch.warm_starts)
    assert warm.recommend(world.user_ids).scores.tobytes() != scratch.recommend(world.user_ids).scores.tobytes()
    assert_same_answers(warm, saved_and_loaded(warm, tmp_path))


class FittedShelf:
    """Recommends its items in order to everybody."""

    def __init__(self, items: np.ndarray) -> None:
        self.shelf = items

    def recommend(self, user_index: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The first k items."""
        items, scores = empty(len(user_index), k)
        items[:, :len(self.shelf[:k])], scores[:, :len(self.shelf[:k])] = self.shelf[:k], -np.arange(len(self.shelf[:k]))
        return items, scores

    def arrays(self) -> dict[str, np.ndarray]:
        """The items."""
        return {"shelf": self.shelf}

    @classmethod
    def restored(cls, train: TrainSet, settings: Any, arrays: Any) -> Self:
        """The model of these items."""
        return cls(arrays["shelf"])


@dataclasses.dataclass(frozen=True)
class Shelf:
    """A model whose fit counts its calls."""

    fits: ClassVar[list[int]] = []

    def fit(self, train: TrainSet) -> FittedShelf:
        """The first items."""
        self.fits.append(1)
        return FittedShelf(np.arange(9, dtype=np.int32))


def test_a_storable_model_of_the_registry_is_not_fitted_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new model needs its line in MODELS alone: what its fit returns is stored and restored where it is Storable."""
    made = TwoStageRecommender({"shelf": Shelf()}, order="shelf").fit(random_world())
    with pytest.raises(RankingError, match="Shelf, which is in no registry"):
        made.save(tmp_path / "recommender")
    monkeypatch.setattr("musicrec.recommender.saving.MODELS", {**MODELS, "shelf": Shelf})
    fits = len(Shelf.fits)
    assert_same_answers(made, saved_and_loaded(made, tmp_path))
    assert len(Shelf.fits) == fits


def _mapped(array: Any) -> bool:
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def test_loaded_arrays_are_memory_mapped(tmp_path: Path) -> None:
    """Train set, factors, similarities and feature tables of a loaded recommender are memory-mapped."""
    fitted = saved_and_loaded(whole(), tmp_path).fitted
    train, models = fitted.train, fitted.models
    arrays = {"user_ids": train.user_ids, "item_ids": train.item_ids, "indptr": train.matrix.indptr, "indices": train.matrix.indices,
              "data": train.matrix.data, "last_played": train.last_played, "repeats": train.repeats.times,
              "genres": train.catalog.genres.indices, "user factors": models["als"].user_factors,  # type: ignore[attr-defined]
              "item factors": models["als"].item_factors, "similarity": models["item_knn"].similarity.data,  # type: ignore[attr-defined]
              "table": fitted.features["item_popularity"].table}  # type: ignore[attr-defined]
    assert [name for name, array in arrays.items() if not _mapped(array)] == []


def test_a_saved_recommender_has_no_pickle(tmp_path: Path) -> None:
    """The folder holds .npy files that load without pickle, one .json and one .cbm file, and nothing else."""
    whole().save(tmp_path / "recommender")
    files = list((tmp_path / "recommender").iterdir())
    assert sorted(path.name for path in files if path.suffix != ".npy") == ["ranker.cbm", "recommender.json"]
    for path in files:
        if path.suffix == ".npy":
            assert np.load(path, allow_pickle=False).dtype != object
    json.loads((tmp_path / "recommender" / "recommender.json").read_text(encoding="utf-8"))


def refused(folder: Path) -> None:
    """Loading raises ArtifactError that names the folder."""
    with pytest.raises(ArtifactError) as caught:
        TwoStageRecommender.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_missing_or_cut_file_is_one_sentence(tmp_path: Path) -> None:
    """Where any one file is missing or truncated, loading raises ArtifactError."""
    folder = tmp_path / "recommender"
    whole().save(folder)
    for path in list(folder.iterdir()):
        content = path.read_bytes()
        path.unlink()
        refused(folder)
        path.write_bytes(content[:-1] if path.suffix == ".npy" else content[:len(content) // 2])
        refused(folder)
        path.write_bytes(b"")
        refused(folder)
        path.write_bytes(content)
    assert_same_answers(whole(), TwoStageRecommender.load(folder))


def described(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """A damage to recommender.json."""
    def damage(folder: Path) -> None:
        stored = json.loads((folder / "recommender.json").read_text())
        change(stored)
        (folder / "recommender.json").write_text(json.dumps(stored))
    return damage


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "no folder": shutil.rmtree,
    "a file": lambda folder: (shutil.rmtree(folder), folder.write_text("x")),
    "an empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
    "other json": lambda folder: (folder / "recommender.json").write_text("[1, 2]"),
    "no json": lambda folder: (folder / "recommender.json").write_bytes(b"\xff\xfe{"),
    "another format": described(lambda stored: stored.update(format=99)),
    "an unknown model": described(lambda stored: stored["models"]["als"].update(kind="magic")),
    "an unknown setting": described(lambda stored: stored["models"]["als"]["settings"].update(magic=1)),
    "an unknown constraint": described(lambda stored: stored["constraints"].update(magic=1)),
    "no models": described(lambda stored: stored.pop("models")),
    "no indices": described(lambda stored: stored["train"]["matrix"].pop("indices")),
    "another train set": lambda folder: np.save(folder / "train.user_ids.npy", np.arange(3, dtype=np.int32)),
    "times of another train set": lambda folder: np.save(folder / "train.last_played.npy", np.arange(3, dtype=np.int32)),
    "a pickle": lambda folder: (folder / "train.user_ids.npy").write_bytes(pickle.dumps([1])),
    "an array of objects": lambda folder: np.save(folder / "train.user_ids.npy", np.array([{}], object), allow_pickle=True),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_folder_is_one_sentence(damage: str, tmp_path: Path) -> None:
    """A folder with no readable recommender raises ArtifactError that names it."""
    whole().save(tmp_path / "recommender")
    DAMAGES[damage](tmp_path / "recommender")
    refused(tmp_path / "recommender")


def test_a_failed_save_keeps_the_earlier_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When the disk is full, at any of the files, the earlier recommender stays and no other file is left."""
    folder, other = tmp_path / "recommender", plain()
    whole().save(folder)
    save = np.save

    def full_after(n: int) -> Callable[..., None]:
        left = iter(range(n))

        def full(*arguments: Any, **named: Any) -> None:
            if next(left, None) is None:
                raise OSError(28, "No space left on device")
            save(*arguments, **named)
        return full

    for n in (0, 4, 19):
        monkeypatch.setattr(np, "save", full_after(n))
        with pytest.raises(StorageError, match="No space left on device"):
            other.save(folder)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["recommender"]
    assert_same_answers(whole(), TwoStageRecommender.load(folder))
    monkeypatch.setattr(Path, "rename", _refuse_rename)
    with pytest.raises(StorageError, match="refused"):
        other.save(folder)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["recommender"]
    assert_same_answers(whole(), TwoStageRecommender.load(folder))


def _refuse_rename(path: Path, target: Path) -> Path:
    if path.suffix == ".part":
        raise OSError(5, "refused")
    shutil.move(path, target)
    return Path(target)


def test_saving_replaces_an_earlier_folder(tmp_path: Path) -> None:
    """Nothing of the earlier recommender is left, also when the new one was loaded from that folder."""
    folder = tmp_path / "recommender"
    whole().save(folder)
    without = TwoStageRecommender.load(folder).with_order(RRF).with_ranker(None)
    without.save(folder)
    assert not (folder / "ranker.cbm").exists()
    assert_same_answers(plain(), TwoStageRecommender.load(folder))


def test_the_candidate_table_as_a_data_frame() -> None:
    """user_id, item_id, score, then each model's score, rank and zscore and all features; best first within a user."""
    made = whole()
    users = [int(made.fitted.train.user_ids[4]), COLD, int(made.fitted.train.user_ids[0])]
    table = made.candidates(users).to_pandas()
    of_models = [f"{name}_{what}" for name in made.models for what in ("score", "rank", "zscore")]
    of_groups = [column for group in FEATURES.values() for column in group.names]
    agreement = ["n_models", "rrf", "rrf_rank", "best_rank"]
    assert list(table.columns) == ["user_id", "item_id", "score", *of_models, *agreement, *of_groups]
    assert list(dict.fromkeys(table["user_id"])) == users
    for _, part in table.groupby("user_id"):
        assert (np.lexsort((part["item_id"], -part["score"])) == np.arange(len(part))).all()
        assert not part["item_id"].duplicated().any()
        for name in made.models:
            own = part.dropna(subset=[f"{name}_rank"]).sort_values(f"{name}_rank")
            expected = made.with_order(name).recommend([part["user_id"].iloc[0]], 30).to_pandas()
            expected = expected[expected["item_id"].isin(own["item_id"])]
            assert own["item_id"].tolist() == expected["item_id"].tolist()
            assert own[f"{name}_score"].tolist() == expected["score"].tolist()


def test_the_candidate_table_of_one_user_twice_has_both() -> None:
    """Users stay in their order and are not merged."""
    user = int(whole().fitted.train.user_ids[3])
    once, twice = (whole().candidates([user] * n).to_pandas() for n in (1, 2))
    assert len(twice) == 2 * len(once)


@pytest.mark.parametrize("k", [7, 45])
@pytest.mark.parametrize("order", [RRF, BLENDED, RANKED])
def test_recommendations_are_the_top_of_the_candidate_table(order: str, k: int) -> None:
    """Lists without constraints are the best candidates with their scores, also where more are asked for than each model recommends."""
    made = whole().with_order(order)
    users = all_users(made.fitted.train)
    top = made.candidates(users).to_pandas().groupby("user_id").head(k).reset_index(drop=True)
    lists = made.recommend(users, k).to_pandas()
    assert lists["user_id"].tolist() == top["user_id"].tolist()
    assert lists["item_id"].tolist() == top["item_id"].tolist()
    assert lists["score"].tolist() == top["score"].tolist()
    assert (lists.groupby("user_id").cumcount() + 1 == lists["rank"]).all()


def test_nothing_seen_is_recommended() -> None:
    """In no order does a list hold an item that the user has seen."""
    made = whole()
    train = made.fitted.train
    for order in made.orders:
        items = made.with_order(order).recommend(train.user_ids, 20).item_ids
        for row, own in enumerate(items):
            assert not set(train.item_ids[train.matrix[row].indices].tolist()) & set(own[own >= 0].tolist())


def test_unknown_users_are_cold_users() -> None:
    """All unknown ids get the same list, that of row -1 of the models, in the order of rrf whatever the ranker learned."""
    made = whole()
    lists = {order: made.with_order(order).recommend([COLD, -5, 1], 10) for order in made.orders}
    for one in lists.values():
        assert (one.item_ids == one.item_ids[0]).all()
    assert lists[RANKED].item_ids.tolist() == lists[BLENDED].item_ids.tolist() == lists[RRF].item_ids.tolist()
    popular = made.fitted.models["popular"].recommend(np.array([-1], np.int32), 10)[0][0]
    assert lists["popular"].item_ids[0].tolist() == made.fitted.train.item_ids[popular].tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_a_user_gets_the_same_list_in_every_batch(order: str) -> None:
    """Neither the other users nor the size of the batches change a list."""
    made = dataclasses.replace(whole().with_order(order), constraints=Constraints(exploration=0.3))
    users = all_users(made.fitted.train)
    together = made.recommend(users, 10)
    in_batches = made.recommend(users, 10, batch_users=7)
    assert together.item_ids.tobytes() == in_batches.item_ids.tobytes()
    assert together.scores.tobytes() == in_batches.scores.tobytes()
    for row in (0, 5, len(users) - 1):
        assert made.recommend(int(users[row]), 10).item_ids[0].tolist() == together.item_ids[row].tolist()


def test_one_order_alone_has_the_list_that_it_has_among_all() -> None:
    """Lists of several orders at once are those of each order."""
    made = whole()
    users = all_users(made.fitted.train)
    together = made.lists(users, 12)
    assert tuple(together) == made.orders
    for order in made.orders:
        alone = made.lists(users, 12, [order])
        assert list(alone) == [order]
        assert alone[order].items.tobytes() == together[order].items.tobytes()
        assert alone[order].scores.tobytes() == together[order].scores.tobytes()


def test_models_that_an_order_does_not_need_are_not_called() -> None:
    """For the list of one model no other model computes anything, and for a list of candidates no baseline."""
    made, users = whole(), whole().fitted.train.user_ids[:3]
    for order, needed in (("als", {"als"}), ("popular", {"popular"}), (RRF, set(made.models))):
        models = {name: one if name in needed else None for name, one in made.fitted.models.items()}
        alone = dataclasses.replace(made, state=dataclasses.replace(made.fitted, models=models))  # type: ignore[arg-type]
        assert alone.lists(users, 5, [order])[order].items.tolist() == made.lists(users, 5, [order])[order].items.tolist()


def test_baselines_recommend_no_candidates_but_can_be_the_order() -> None:
    """Leaving out the baselines changes no candidate; as the order a baseline gives its own list."""
    made = whole()
    users = made.fitted.train.user_ids
    without = dataclasses.replace(made, baselines={})
    assert made.candidates(users).features.tobytes() == without.candidates(users).features.tobytes()
    rows = np.arange(len(users), dtype=np.int32)
    own = made.fitted.models["random"].recommend(rows, 9)[0]
    assert made.with_order("random").recommend(users, 9).item_ids.tolist() == made.fitted.train.item_ids[own].tolist()
    assert made.with_order("random").candidates(users).scores.tolist() == made.with_order(RRF).candidates(users).scores.tolist()


@pytest.mark.parametrize("order", ORDERS)
def test_constraints_hold_for_every_order(order: str) -> None:
    """Whatever is published, at most one track per artist and half of every prefix from the tail, where the candidates suffice."""
    made = dataclasses.replace(whole().with_order(order), constraints=Constraints(max_per_artist=1, min_tail_share=0.5))
    train = made.fitted.train
    is_tail, artists = tail(train), train.catalog.artists
    lists = made.lists(train.user_ids, 4, [order])[order]
    free = whole().lists(train.user_ids, 12, [order])[order]
    checked = 0
    for own, pool in zip(lists.items, free.items):
        pool = pool[pool >= 0]
        if len({int(artists[item].indices[0]) for item in pool[is_tail[pool]]}) < 4:
            continue
        checked += 1
        assert (own >= 0).all()
        assert np.asarray(artists[own].sum(axis=0)).max() == 1
        assert (np.cumsum(is_tail[own]) >= 0.5 * np.arange(1, 5)).all()
        assert set(own.tolist()) <= set(pool.tolist())
    assert checked >= 5, "too few users to tell"


def test_the_list_of_another_model_is_not_constrained() -> None:
    """Only the order that is published, and the orders of candidates, are constrained; the lists of the other models are their own."""
    made = dataclasses.replace(whole().with_order("als"), constraints=Constraints(max_per_artist=1))
    users = made.fitted.train.user_ids
    constrained, free = made.lists(users, 10), whole().lists(users, 10)
    for order in made.orders:
        same = constrained[order].items.tobytes() == free[order].items.tobytes()
        assert same == (order in {*made.models, *made.baselines} - {"als"}), order


def test_only_frees_the_other_models() -> None:
    """After only(...) nothing refers to the other models, features and ranker; what is kept answers as before."""
    made = plain().with_order("item_knn")
    users = made.fitted.train.user_ids
    expected = made.with_order("als").recommend(users)
    freed = [weakref.ref(made.fitted.models["item_knn"]), weakref.ref(made.fitted.features["user_taste"])]
    made = made.only(["als", "popular"])
    gc.collect()
    assert [reference() for reference in freed] == [None, None]
    assert made.orders == ("popular", "als", RRF)
    assert made.order == RRF
    assert made.with_order("als").recommend(users).item_ids.tobytes() == expected.item_ids.tobytes()


def test_an_unfitted_recommender_says_so(tmp_path: Path) -> None:
    """Methods that need a fitted recommender raise RankingError that says so."""
    unfitted = whole().unfitted
    uses: list[Callable[[], Any]] = [
        lambda: unfitted.recommend([1]), lambda: unfitted.candidates([1]), lambda: unfitted.lists(np.array([1], np.int32), 3),
        lambda: unfitted.save(tmp_path / "x"), lambda: unfitted.only(["als"]), lambda: unfitted.warm_starts]
    for use in uses:
        with pytest.raises(RankingError, match="not fitted yet; call fit"):
            use()
    assert not list(tmp_path.iterdir())


def test_an_order_that_does_not_exist_is_refused() -> None:
    """The message names the orders that there are, and the ranker where it is missing."""
    for use in (lambda: plain().with_order("best"), lambda: plain().lists(np.array([1], np.int32), 3, ["best"])):
        with pytest.raises(RankingError, match="no order 'best'; choose one of random, popular, als, item_knn, popular_by_genre, rrf"):
            use()
    with pytest.raises(RankingError, match="no order 'ranked', which needs a ranker"):
        plain(order=RANKED).recommend([1])


@pytest.mark.parametrize("ids", [[2**32 + 7], np.array([2**32 + 7]), [1.5], ["7"], [2**80]])
def test_ids_that_are_no_int32_are_refused(ids: Any) -> None:
    """An id out of range does not become the id of somebody else."""
    with pytest.raises(RankingError, match="user ids must be integers"):
        plain().recommend(ids)


def test_no_users_have_no_recommendations() -> None:
    """An empty list of users gives empty tables with all columns."""
    assert whole().recommend([]).to_pandas().columns.tolist() == ["user_id", "item_id", "score", "rank"]
    assert len(whole().candidates([]).to_pandas()) == 0


def test_fit_learns_from_the_train_set_alone() -> None:
    """Fitting a fitted recommender gives what fitting the unfitted one gives."""
    world = random_world(seed=3)
    assert_same_answers(whole().with_ranker(None).with_order(RRF).fit(world), plain().unfitted.fit(world))
