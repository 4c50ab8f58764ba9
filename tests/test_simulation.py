"""Simulated listeners: a world with a known taste, and the loop simulate -> learn -> publish in front of real services."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from musicrec import pipeline, registry, settings, simulation
from musicrec.errors import RefusedError, ServiceError, SourceError
from musicrec.experiments import analysis
from musicrec.experiments.attribution import outcomes
from musicrec.serving.answers import Answer
from musicrec.serving.exploration import explored
from musicrec.simulation import Listened, Played, World, listening
from musicrec.storage import storage
from tests import taste_logs
from tests.commands import exit_code
from tests.service_world import Services, running

WORLD = World(users=240, tracks=400, scenes=6)


def test_a_world_is_made_again_from_its_file(tmp_path: Path) -> None:
    """The logs hold what makes the same users and tracks again, and another seed makes others."""
    simulation.write_logs(World(users=5, tracks=30), tmp_path)
    again = World.of_folder(tmp_path)
    np.testing.assert_array_equal(again.track_factors, World(users=5, tracks=30).track_factors)
    assert not np.array_equal(again.taste(3), World(seed=1, users=5, tracks=30).taste(3))


def test_logs_of_no_world_are_refused(tmp_path: Path) -> None:
    """A folder without a world says which command makes one."""
    with pytest.raises(SourceError, match=r"holds no simulated logs.*musicrec datasets make simulated --out"):
        World.of_folder(tmp_path)


def test_an_artist_tires() -> None:
    """Every earlier track of the artist in a session multiplies the expected share by 0.8."""
    shares = WORLD.expected_share(WORLD.taste(1), np.zeros(4, np.int64), np.arange(4))
    np.testing.assert_allclose(shares[1:] / shares[:-1], 0.8)


def test_taste_drifts_from_round_to_round() -> None:
    """The similarity of a user's taste to that of round 0 falls with every round."""
    similarity = [float(WORLD.taste(7) @ WORLD.taste(7, round_)) for round_ in range(4)]
    assert similarity == sorted(similarity, reverse=True)
    assert similarity[0] == pytest.approx(1)
    assert similarity[3] < 0.999


def test_a_session_ends_after_five_losses_or_fifty_tracks() -> None:
    """The worst tracks for a user end the session at the fifth; the best ones go on until the limit."""
    liking = WORLD.expected_share(WORLD.taste(2), np.arange(WORLD.tracks))
    order = np.argsort(liking)
    worst = simulation.session(WORLD, 2, np.random.default_rng(0), lambda played: int(order[len(played)]))
    best = simulation.session(World(users=240, tracks=400, scenes=6, fatigue=1), 2, np.random.default_rng(0),
                              lambda played: int(order[-len(played)]))
    assert sum(one.share < 0.5 for one in worst) == 5
    assert worst[-1].share < 0.5
    assert len(best) == 50


def test_listening_is_what_was_played_of_recommended_tracks() -> None:
    """The first track, which the user chose, does not count; the others add up, and random is what the rest is held against."""
    sessions = [Listened("random", user, [Played(1, 1.0), Played(2, 0.5)]) for user in range(50)]
    sessions += [Listened("blended", user, [Played(1, 1.0), Played(2, 0.5), Played(3, 0.25)]) for user in range(50, 100)]
    table = listening(sessions).set_index("arm")
    assert table.loc["random", ["tracks", "kept", "listening", "low", "high"]].tolist() == [1.0, 1.0, 0.5, 0.5, 0.5]
    assert table.loc["blended", ["tracks", "kept", "listening"]].tolist() == [2.0, 0.5, 0.75]
    assert table.loc["blended", "over_random"] == pytest.approx(0.5)


def test_the_same_list_in_two_arms_differs_in_one_of_twenty_worlds_at_most_a_few_times() -> None:
    """Arms that are answered alike lie within each other's interval in at least 34 of 40 draws of users."""
    rng, inside = np.random.default_rng(0), 0
    for draw in range(40):
        sessions = [Listened(arm, user, [Played(0, 1.0), Played(1, float(rng.beta(1, 2)))]) for arm in ("random", "blended")
                    for user in range(60)]
        row = listening(sessions, 400, draw).set_index("arm").loc["blended"]
        inside += row["over_random_low"] <= 0 <= row["over_random_high"]
    assert inside >= 34


def table(**of_model: tuple[float, float, float]) -> list[dict[str, object]]:
    """Rows of a comparison: mean, low and high of NDCG@10 by model."""
    return [{"model": model, "ndcg@10": mean, "ndcg@10_low": low, "ndcg@10_high": high} for model, (mean, low, high) in of_model.items()]


def offered(world: World, user: int, first: int) -> Answer:
    """What an imperfect recommender offers after a first track, the best first: it knows scene and artist, not the track."""
    artists = world.track_factors.reshape(world.artists, -1, world.track_factors.shape[1]).mean(axis=1)
    order = np.argsort(-(artists @ world.taste(user, 1))[world.artist_of], kind="stable")
    items = order[order != first].tolist()
    return Answer(items, ["personal"] * len(items), [1.0] * len(items), [None] * len(items), "blended")


def test_what_other_lists_would_bring_is_estimated_from_explored_ones() -> None:
    """The kept plays of lists that nobody was shown, from those of explored ones, lie within the interval of what the same users keep
    when these lists are really played to them; without the propensities they lie outside."""
    world, rows, lists, kept, start = World(users=1500, tracks=400, scenes=6), [], [], [], datetime(2026, 3, 1)
    for user in range(world.users):
        first = simulation.session(world, user, np.random.default_rng(user), lambda played: None)[0].track
        answer = offered(world, user, first)
        shown = explored(answer, 0.2 if user % 2 else 0.8, 0, 1, f"{user}")
        one = simulation.session(world, user, np.random.default_rng(user), lambda played, shown=shown: shown.item_ids[0], 1, 2)[1]
        rows.append((user, *shown.item_ids, *shown.propensities, one.share, f"x:{'much' if user % 2 else 'little'}"))
        other = [answer.item_ids[0], *sorted(answer.item_ids[50:150], key=lambda item: -world.fame[item])[:50]]
        lists += [(user, item) for item in other]
        for draw in range(5):
            rng = np.random.default_rng((user, draw))
            really = simulation.session(world, user, rng, lambda played, rng=rng, other=other: int(rng.choice(other)), 1, 2)
            kept.append(really[1].share >= 0.5)
    users, items, propensities, shares, variants = zip(*rows)
    moments, answers = pa.array([start] * len(users), pa.timestamp("us")), [str(user) for user in users]
    impressions = pa.table({"user_id": users, "item_id": items, "source": ["personal"] * len(users), "position": [0] * len(users),
                            "shown_at": moments, "recommendation_id": answers, "variant": variants, "propensity": propensities})
    told = pa.table({"user_id": users, "item_id": items, "started_at": moments, "played_share": shares, "recommendation_id": answers})
    found = outcomes("x", impressions, told, pa.table(dict(zip(("user_id", "item_id"), zip(*lists)))), 24)
    estimate, naive = (analysis.snips(drawn) for drawn in (found.drawn, found.drawn.assign(propensity=1.0)))
    assert estimate["low"] < np.mean(kept) < estimate["high"]
    assert estimate["high"] - estimate["low"] < 0.2
    assert naive["low"] > np.mean(kept)


NO_FINDINGS = pd.DataFrame(columns=["severity", "finding", "count", "example"])
CURRENT = {"published": "als", "warm": table(als=(0.30, 0.28, 0.32))}


@pytest.mark.parametrize(("new", "before", "said"), [
    (table(ranked=(0.27, 0.25, 0.29), popular=(0.1, 0.1, 0.1)), CURRENT, None),
    (table(ranked=(0.27, 0.25, 0.29), popular=(0.1, 0.1, 0.1)), None, None),
    (table(ranked=(0.20, 0.18, 0.22), popular=(0.1, 0.1, 0.1)), CURRENT, "the list of the current run had 0.3000"),
    (table(ranked=(0.20, 0.18, 0.22), popular=(0.21, 0.1, 0.3)), None, "the baseline popular has 0.2100"),
    ([], CURRENT, None),
])
def test_a_list_that_loses_is_refused(new: list[dict[str, object]], before: dict[str, object] | None, said: str | None) -> None:
    """It loses against a baseline on the same users, and where its interval lies below that of the current run; a doubt is no loss."""
    measured = {"published": "ranked", "warm": new}
    if said is None:
        pipeline.check_acceptable(NO_FINDINGS, measured, ["popular"], before)
    else:
        with pytest.raises(RefusedError, match=said):
            pipeline.check_acceptable(NO_FINDINGS, measured, ["popular"], before)


def test_an_error_in_the_logs_is_refused() -> None:
    """Findings of the severity error keep a run from being published, warnings do not."""
    row = {"severity": "warning", "finding": "shares out of range", "count": 3, "example": "user 1: 7.5"}
    good = {"published": "ranked", "warm": table(ranked=(0.2, 0.1, 0.3))}
    pipeline.check_acceptable(pd.DataFrame([row]), good, [], None)
    with pytest.raises(RefusedError, match=r"an error in the logs, shares out of range \(3, such as user 1: 7.5\)"):
        pipeline.check_acceptable(pd.DataFrame([row | {"severity": "error"}]), good, [], None)


@dataclass(frozen=True)
class Loop:
    """A published run of simulated logs, the services over it, and the variables under which commands see both."""

    root: Path
    services: Services
    environment: dict[str, str]

    def current(self) -> registry.Manifest:
        """The manifest of the run that is served."""
        return registry.current(storage(str(self.root / "artifacts"), {}))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A small world whose logs were trained on, with running services."""
    root = tmp_path_factory.mktemp("loop")
    simulation.write_logs(WORLD, root / "logs")
    told = taste_logs.environment(root / "logs", root) | {
        "MUSICREC_DATA_SOURCE": "botify", "MUSICREC_SOURCES_BOTIFY_WORK": str(root / "imported"),
        "MUSICREC_CANDIDATES_MODELS": "als item_knn", "MUSICREC_SPLIT_FOLDS": "1", "MUSICREC_SPLIT_FOLD_DAYS": "0"}
    pipeline.run(settings.load(None, told))
    (root / "experiments.toml").write_text("[explore]\nvariants.little = {exploration = 0.2}\nvariants.much = {exploration = 0.8}\n")
    with running(root, MUSICREC_ARTIFACTS_CACHE_FOLDER=str(root / "cache"), MUSICREC_BLENDING_BLOCKED_ITEMS="",
                 MUSICREC_SERVICE_IMPRESSIONS="true", MUSICREC_EXPERIMENTS_FILE=str(root / "experiments.toml")) as services:
        urls = {name: value for name, value in services.environment.items()
                if name.startswith(("MUSICREC_URLS", "MUSICREC_EVENTS", "MUSICREC_EXPERIMENTS"))}
        yield Loop(root, services, told | urls)


@pytest.mark.slow
def test_simulated_users_listen_more_to_what_is_chosen_for_them(loop: Loop, monkeypatch: pytest.MonkeyPatch,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    """The command drives the real services; offline and blended lists are listened to more than random tracks, beyond chance."""
    for name, value in loop.environment.items():
        monkeypatch.setenv(name, value)
    assert exit_code("simulate", "--data", loop.root / "logs", "--users", 40, "--arm", "random", "--arm", "offline", "--arm", "blended",
                     "--out", loop.root / "report.json") == 0
    rows = {row["arm"]: row for row in json.loads((loop.root / "report.json").read_text())}
    assert rows["offline"]["over_random_low"] > 0
    assert rows["blended"]["over_random_low"] > 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == ["arm", "random", "offline", "blended"]


@pytest.mark.slow
def test_lists_that_were_not_shown_are_judged_from_what_exploration_has_drawn(loop: Loop, monkeypatch: pytest.MonkeyPatch,
                                                                              tmp_path: Path) -> None:
    """Simulated users are shown one track each; the report weighs those of the other lists by the propensities that services logged."""
    for name, value in loop.environment.items():
        monkeypatch.setenv(name, value)
    assert exit_code("simulate", "--data", loop.root / "logs", "--users", 60, "--arm", "blended", "--tracks", 2, "--round", 7) == 0
    time.sleep(1)  # exposures are sent in the background
    for form in ("impressions", "interactions"):
        assert exit_code("events", "export", "--form", form, "--out", tmp_path / f"{form}.parquet") == 0
    shown = pd.read_parquet(tmp_path / "impressions.parquet").dropna(subset="propensity")
    shown = shown[shown["shown_at"] >= shown["shown_at"].max() - pd.Timedelta(minutes=10)]
    shown[["user_id", "item_id"]].iloc[::2].to_parquet(tmp_path / "lists.parquet")
    assert exit_code("experiments", "report", "explore", "--exports", tmp_path, "--lists", tmp_path / "lists.parquet",
                     "--out", tmp_path / "report.json") == 0
    assert set(shown["propensity"].astype(float).round(3)) == {0.002, 0.008, 0.2, 0.8}
    told = pd.read_parquet(tmp_path / "interactions.parquet")
    rewarded = shown.iloc[::2].merge(told, how="left", on=["user_id", "recommendation_id"]).query("item_id == track_id")
    weights = 1 / rewarded["propensity"]
    found = json.loads((tmp_path / "report.json").read_text())["off_policy"]
    assert found["estimate"] == pytest.approx(np.average(rewarded["played_share"] >= 0.5, weights=weights), abs=1e-6)


@pytest.mark.slow
def test_learn_publishes_what_was_played_online_or_nothing(loop: Loop, monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    """The next run knows a user who came after the logs; while one such command runs another is refused and changes nothing."""
    for name, value in loop.environment.items():
        monkeypatch.setenv(name, value)
    newcomer, before = WORLD.users + 999, loop.current()
    for track in range(0, 60, 10):
        assert loop.services.post("events", "/put", user_id=newcomer, item_id=track).json() == {"result": "ok"}
    assert exit_code("learn") == 0
    after = loop.current()
    assert after.run_id != before.run_id
    lists = pd.read_parquet(loop.root / "artifacts" / "runs" / after.run_id / "recommendations.parquet")
    keys = pd.read_parquet(loop.root / "artifacts" / "runs" / after.run_id / "user_keys.parquet").set_index("key")["id"]
    assert len(lists[lists["user_id"] == keys[str(newcomer)]]) > 0

    from musicrec.cli import learn

    capsys.readouterr()
    with learn._alone(loop.root / "work"):
        assert exit_code("learn") == 1
    assert "musicrec learn is running already" in capsys.readouterr().err
    assert loop.current().run_id == after.run_id


@pytest.mark.slow
def test_more_users_than_the_world_has_are_refused(loop: Loop) -> None:
    """No user is in two arms, so a world has a limit, which the sentence tells."""
    players = simulation.Player(loop.services.url("recommendations"), loop.services.url("events"))
    with pytest.raises(ServiceError, match="more than the 266 of this world"):
        list(simulation.listened(WORLD, players, ["random", "offline"], 200))
    unreachable = simulation.Player("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="did not answer as a simulated player expects"):
        list(simulation.listened(WORLD, unreachable, ["random"], 1))
