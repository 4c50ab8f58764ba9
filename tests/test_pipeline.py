"""The whole path on a tiny world: what it publishes, what it refuses, and what is left when it is stopped."""

import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec import pipeline, registry, settings
from musicrec.errors import MusicRecError, SettingsError, SplitError, StorageError
from musicrec.events import event_store, export
from musicrec.keys import KeyTable
from musicrec.recommender import RANKED, RRF, TwoStageRecommender
from musicrec.schema import RECOMMENDATIONS, SIMILAR, TOP_POPULAR, check
from musicrec.storage import storage
from tests import taste_logs
from tests.commands import exit_code

PROJECT = Path(__file__).resolve().parents[1]
CONFIG = PROJECT / "config.ini"


def configured(project: Path, **changed: str) -> settings.Settings:
    """The project's settings for a quick run below `project`, some of them changed."""
    environ = taste_logs.environment(project / "logs", project)
    return settings.load(CONFIG, {**environ, **{f"MUSICREC_{key}": value for key, value in changed.items()}})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pipeline.Result]:
    """A finished run."""
    project = tmp_path_factory.mktemp("run")
    taste_logs.write(project / "logs")
    return project, pipeline.run(configured(project))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pipeline.Result]:
    """The same without refit."""
    project = tmp_path_factory.mktemp("evaluated")
    taste_logs.write(project / "logs")
    return project, pipeline.run(configured(project, SPLIT_REFIT="false"))


def published(project: Path, name: str) -> pd.DataFrame:
    """A table of the current run."""
    run = registry.current(storage(str(project / "artifacts"), {})).run_id
    return pq.read_table(project / "artifacts" / "runs" / run / name).to_pandas()


def test_published_tables_have_their_schemas(done: tuple[Path, pipeline.Result]) -> None:
    """Every table that services load has the columns that the schema promises."""
    run = done[0] / "artifacts" / "runs" / done[1].run_id
    for name, schema in (("recommendations", RECOMMENDATIONS), ("similar", SIMILAR), ("top_popular", TOP_POPULAR)):
        check(pq.read_schema(run / f"{name}.parquet"), schema, name)


def test_recommendations_are_sorted_unique_and_unseen(done: tuple[Path, pipeline.Result]) -> None:
    """Sorted by user and rank from 1, at most k a user, no track twice, none that the user has ever played."""
    found, events = published(done[0], "recommendations.parquet"), published(done[0], "events.parquet")
    assert (found.sort_values(["user_id", "rank"]).index == found.index).all()
    assert (found.groupby("user_id").cumcount() + 1 == found["rank"]).all()
    assert found["rank"].max() <= 20
    assert not found.duplicated(["user_id", "item_id"]).any()
    assert found.merge(events, on=["user_id", "item_id"]).empty


def test_a_log_without_repeats_has_no_familiar_lists(done: tuple[Path, pipeline.Result]) -> None:
    """Neither their file nor the table of all plays is in the run."""
    run = registry.current(storage(str(done[0] / "artifacts"), {}))
    assert "familiar.parquet" not in run.files
    assert "all_plays" not in run.info.metrics


def test_lists_of_all_models_are_written_for_those_who_are_explained(done: tuple[Path, pipeline.Result]) -> None:
    """For every model the first 10 places, as in the file of its lists where it has one."""
    found, als = (published(done[0], name) for name in ("lists_by_model.parquet", "personal_als.parquet"))
    made = TwoStageRecommender.load(done[0] / "artifacts" / "runs" / done[1].run_id / "recommender")
    assert set(found["model"]) == set(made.models)
    assert found["rank"].max() == 10
    of_als, als = found[found["model"] == "als"], als[als["rank"] <= 10]
    columns = ["user_id", "rank", "item_id"]
    pd.testing.assert_frame_equal(of_als[columns].reset_index(drop=True), als[columns].reset_index(drop=True), check_dtype=False)


def test_contributions_are_written_where_the_ranker_makes_the_list(done: tuple[Path, pipeline.Result], tmp_path: Path) -> None:
    """For the first 10 places of every second user where half of the users are asked for; none beside the list of one model."""
    made = TwoStageRecommender.load(done[0] / "artifacts" / "runs" / done[1].run_id / "recommender")
    users = made.fitted.train.user_ids
    work = pipeline.workspace(configured(tmp_path, RANKING_EXPLAINED_USERS=str(-(-len(users) // 2))))
    pipeline.write_lists(work, made.with_order(RANKED))
    found, lists = (pq.read_table(work.folder / f"{name}.parquet").to_pandas() for name in ("contributions", "recommendations"))
    lists = lists[(lists["rank"] <= 10) & lists["user_id"].isin(users[::2])]
    places = found.drop_duplicates(["user_id", "rank"])[["user_id", "item_id", "rank"]]
    pd.testing.assert_frame_equal(places.reset_index(drop=True), lists[places.columns].reset_index(drop=True))
    pipeline.write_lists(work, made.with_order("als"))
    assert not (work.folder / "contributions.parquet").exists()


def test_everybody_who_ever_played_has_a_personal_list(done: tuple[Path, pipeline.Result]) -> None:
    """After the refit recommendations.parquet knows exactly the users of the log, those who came after the cutoff included."""
    events = published(done[0], "events.parquet")
    assert set(published(done[0], "recommendations.parquet")["user_id"]) == set(events["user_id"])
    assert (events.groupby("user_id")["started_at"].min() >= "2022-12-16").any()


def test_without_refit_what_was_evaluated_is_published(evaluated: tuple[Path, pipeline.Result]) -> None:
    """With refit = false the lists know the users and tracks before the cutoff alone, and trained_until lies before it."""
    project, _ = evaluated
    events = published(project, "events.parquet")
    before = events[events["started_at"] < "2022-12-16"]
    found = published(project, "recommendations.parquet")
    assert set(found["user_id"]) == set(before["user_id"])
    assert set(found["item_id"]) <= set(before["item_id"])
    assert found.merge(before, on=["user_id", "item_id"]).empty
    assert not found.merge(events, on=["user_id", "item_id"]).empty
    assert registry.current(storage(str(project / "artifacts"), {})).info.metrics["trained_until"] < "2022-12-16"


def test_the_manifest_tells_what_was_trained_and_what_was_evaluated(done: tuple[Path, pipeline.Result]) -> None:
    """trained_until is the last play of the log, evaluated_on begins at the cutoff, and every fold ends at or before it."""
    told = registry.current(storage(str(done[0] / "artifacts"), {})).info.metrics
    assert told["trained_until"][:10] == str(published(done[0], "events.parquet")["started_at"].max().date())
    assert told["evaluated_on"]["from"] == "2022-12-16 00:00:00"
    assert all(fold["end"] <= "2022-12-16 00:00:00" for fold in told["evaluated_on"]["backtest"])
    assert {row["list"] for row in told["promotion"]} >= {"ranked", "blended", "rrf"}


def test_a_run_tells_who_is_who_and_what_was_read(done: tuple[Path, pipeline.Result]) -> None:
    """The keys of whole-number logs are their ids, all users and items have one, and the manifest has the account of the logs."""
    users, items = published(done[0], "user_keys.parquet"), published(done[0], "item_keys.parquet")
    assert (users["key"] == users["id"].astype(str)).all()
    assert set(users["id"]) == set(published(done[0], "events.parquet")["user_id"])
    assert set(items["id"]) == set(published(done[0], "items.parquet")["item_id"])
    account = registry.current(storage(str(done[0] / "artifacts"), {})).info.account
    assert account["rows"] == len(published(done[0], "events.parquet"))
    assert account["left_out"] == {}


def test_logs_that_would_change_the_meaning_of_an_id_are_refused(done: tuple[Path, pipeline.Result], tmp_path: Path) -> None:
    """Where the current run says that id 1 is alice, logs in which 1 is itself are not preprocessed for the same place."""
    taste_logs.write(tmp_path / "logs")
    shutil.copytree(done[0] / "artifacts", tmp_path / "artifacts")
    place = storage(str(tmp_path / "artifacts"), {})
    files = tmp_path / "other"
    shutil.copytree(tmp_path / "artifacts" / "runs" / done[1].run_id, files)
    KeyTable(pa.array(["bob", "alice"]), np.array([0, 1], np.int32)).write(files / "user_keys.parquet")
    registry.publish(place, files, registry.RunInfo({}))
    work = pipeline.workspace(configured(tmp_path))
    with pytest.raises(MusicRecError, match="user 1 of these logs is 'alice' in the current run; publish them at another"):
        pipeline.preprocessed_tables(work, pipeline.raw_tables(work))


def test_extended_columns_are_those_of_the_items(tmp_path: Path) -> None:
    """num_users_norm of an event and of the default list is that of its item."""
    taste_logs.write(tmp_path / "logs")
    work = pipeline.workspace(configured(tmp_path, DATA_EXTENDED_COLUMNS="true"))
    tables = pipeline.preprocessed_tables(work, pipeline.raw_tables(work))
    events = pq.read_table(tmp_path / "work" / "events.parquet").to_pandas()
    items = tables.items.to_pyarrow().to_pandas().set_index("item_id")
    assert (events["num_users_norm"] == items["num_users_norm"].reindex(events["item_id"]).to_numpy()).all()
    made = pipeline.recommender(work.settings).fit(tables.dataset.train_set())
    pipeline.write_top_popular(work, tables, made)
    top = pq.read_table(tmp_path / "work" / "top_popular.parquet").to_pandas()
    assert (top["users_top"] == top["users"]).all()
    assert top["users_top_norm"].max() == 1
    assert (top["num_users_norm"] == items["num_users_norm"].reindex(top["item_id"]).to_numpy()).all()


def test_personal_lists_beat_hits_in_a_world_of_two_camps(done: tuple[Path, pipeline.Result]) -> None:
    """ALS, the neighbors and the ranked list find at least twice what the most popular tracks do."""
    ndcg = done[1].comparison.set_index("model")["ndcg@10"]
    assert ndcg[["als", "user_knn", RANKED]].min() > 2 * ndcg["popular"]


def test_the_manifest_tells_settings_findings_metrics_and_the_reason(done: tuple[Path, pipeline.Result]) -> None:
    """Whoever loads a run can read how it was made, what was odd in the logs, how good it is and why this list was chosen."""
    info = registry.current(storage(str(done[0] / "artifacts"), {})).info
    assert info.settings["split"]["refit"] is True
    assert {row["model"] for row in info.metrics["comparison"]} >= {"als", "popular", RANKED, RRF}
    assert info.metrics["reason"] == done[1].reason
    assert {row["segment"] for row in info.metrics["segments"]} >= {"light", "head", "tail"}
    assert {row["stage"] for row in info.metrics["stages"]} >= {"backtest", "recommend"}
    assert info.findings


def test_every_generator_is_judged_on_the_same_users(done: tuple[Path, pipeline.Result]) -> None:
    """One number of users in the whole comparison table."""
    assert done[1].comparison["users"].nunique() == 1


def test_the_top_list_says_who_made_it(done: tuple[Path, pipeline.Result]) -> None:
    """The metadata of top_popular.parquet names the model of the settings, and users are all who played the track."""
    run = done[0] / "artifacts" / "runs" / done[1].run_id
    assert pq.read_schema(run / "top_popular.parquet").metadata[b"made_by"] == b"popular_decayed"
    events, top = published(done[0], "events.parquet"), published(done[0], "top_popular.parquet")
    counted = events.groupby("item_id")["user_id"].nunique()
    assert (counted.loc[top["item_id"]].to_numpy() == top["users"].to_numpy()).all()


def test_json_lines_of_the_user_based_method_name_every_known_user(done: tuple[Path, pipeline.Result]) -> None:
    """recommendations_ub.json holds {"user": u, "tracks": [...]} for each user with a train set."""
    run = done[0] / "artifacts" / "runs" / done[1].run_id
    lines = [json.loads(line) for line in (run / "recommendations_ub.json").read_text().splitlines()]
    assert {line["user"] for line in lines} == set(published(done[0], "recommendations.parquet")["user_id"])
    assert all(set(line) == {"user", "tracks"} for line in lines)


def test_the_test_set_changes_nothing_but_the_comparison(evaluated: tuple[Path, pipeline.Result], tmp_path: Path) -> None:
    """Without refit, other plays from the cutoff on leave lists, models, similar tracks and the choice of the list the same."""
    path = taste_logs.write(tmp_path / "logs") / "interactions.parquet"
    table = pq.read_table(path)
    rows = table.to_pandas()
    late = rows["started_at"] >= "2022-12-16"
    rows.loc[late, "track_id"] = 100 + (rows.loc[late, "track_id"] + 7 - 100) % taste_logs.N_TRACKS
    rows = rows.drop(rows.index[late][:5]).drop_duplicates(["user_id", "track_id"])
    pq.write_table(pa.Table.from_pandas(rows, table.schema, preserve_index=False), path)
    assert pipeline.run(configured(tmp_path, SPLIT_REFIT="false")).reason == evaluated[1].reason
    for name in ("recommendations.parquet", "personal_als.parquet", "similar.parquet", "top_popular.parquet"):
        pd.testing.assert_frame_equal(published(evaluated[0], name), published(tmp_path, name))


def test_a_published_recommender_gives_the_published_lists_again(done: tuple[Path, pipeline.Result], tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """`musicrec predict` on the run writes recommendations.parquet again, row by row, for all and for some users."""
    for key, value in taste_logs.environment(done[0] / "logs", done[0]).items():
        monkeypatch.setenv(key, value)
    whole = published(done[0], "recommendations.parquet")
    out = tmp_path / "lists.parquet"
    for users, expected in (([], whole), (["--users", "3", "--users", "1"], whole[whole["user_id"].isin([1, 3])])):
        assert exit_code("predict", "--config", CONFIG, "--k", 20, "--out", out, *users) == 0
        pd.testing.assert_frame_equal(pq.read_table(out).to_pandas(), expected.reset_index(drop=True))


def test_the_recommender_of_a_run_knows_how_it_was_made(done: tuple[Path, pipeline.Result]) -> None:
    """Loaded from the folder of the run it has the published order, the models of the settings and everybody's interactions."""
    made = TwoStageRecommender.load(done[0] / "artifacts" / "runs" / done[1].run_id / "recommender")
    told = registry.current(storage(str(done[0] / "artifacts"), {})).info
    assert made.order == told.metrics["published"]
    assert list(made.models) == list(told.settings["candidates"]["models"])
    assert made.fitted.train.n_plays.sum() == len(published(done[0], "events.parquet"))


@pytest.mark.parametrize(("key", "value", "said"), [
    ("CANDIDATES_MODELS", "als magic", "magic"), ("RANKING_FEATURES", "aura", "aura"), ("DATA_SOURCE", "vinyl", "vinyl"),
    ("CANDIDATES_TOP_POPULAR", "charts", "charts"), ("CANDIDATES_ALS_FACTORS", "many", "factors"),
])
def test_settings_are_refused_before_any_work(tmp_path: Path, key: str, value: str, said: str) -> None:
    """A model, feature group or source that does not exist, and a bad value of a model, stop the run at once."""
    with pytest.raises(SettingsError, match=said):
        pipeline.workspace(configured(tmp_path, **{key: value}))
    assert not (tmp_path / "work").exists()


def test_a_cutoff_without_test_users_is_refused(tmp_path: Path) -> None:
    """A split that leaves nobody to evaluator on is one sentence and publishes nothing."""
    taste_logs.write(tmp_path / "logs")
    with pytest.raises(SplitError, match="2030-01-01"):
        pipeline.run(configured(tmp_path, SPLIT_TEST_START="2030-01-01"))
    assert not (tmp_path / "artifacts").exists()


def _cut_off(logs: Path) -> None:
    path = logs / "interactions.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def _replaced(name: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def damage(logs: Path) -> None:
        path = logs / f"{name}.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return damage


def _with(table: pa.Table, column: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.names.index(column), column, values)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing file": (lambda logs: (logs / "tracks.parquet").unlink(), "tracks.parquet"),
    "not parquet": (lambda logs: (logs / "tracks.parquet").write_text("hello there"), "tracks.parquet"),
    "cut off": (_cut_off, "interactions.parquet"),
    "missing column": (_replaced("interactions", lambda t: t.drop_columns(["track_id"])), "track_id"),
    "wrong type": (_replaced("tracks", lambda t: _with(t, "artists", pa.array(["x"] * t.num_rows))), "artists"),
    "no tracks": (_replaced("tracks", lambda t: t.slice(0, 0)), "tracks"),
    "no interactions": (_replaced("interactions", lambda t: t.slice(0, 0)), "interactions"),
    "orphan ids": (_replaced("tracks", lambda t: t.slice(10)), "max_orphan_share"),
    "duplicate track ids": (_replaced("tracks", lambda t: pa.concat_tables([t, t.slice(0, 1)])), "track_id"),
    "negative ids": (_replaced("interactions", lambda t: _with(t, "user_id", pa.array([-5] * t.num_rows, pa.int32()))), "user_id"),
    "impossible dates": (_replaced("interactions", lambda t: _with(
        t, "started_at", pa.array(np.full(t.num_rows, 2**61), pa.int64()).cast(pa.timestamp("us")))), "started_at"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_bad_logs_are_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    """The message names what is wrong, fits one line, and nothing is published."""
    harm, said = DAMAGES[damage]
    harm(taste_logs.write(tmp_path / "logs"))
    with pytest.raises(MusicRecError, match=said) as caught:
        pipeline.run(configured(tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "artifacts" / "current.json").exists()


def test_a_work_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the place of the folder is one sentence."""
    (tmp_path / "work").write_text("in the way")
    with pytest.raises(StorageError, match="work"):
        pipeline.workspace(configured(tmp_path))


def test_stored_plays_come_back_as_logs(tmp_path: Path) -> None:
    """What the events service stored and exported is among the preprocessed events, behind the user's logged plays, without gaps."""
    logs = taste_logs.write(tmp_path / "logs")
    store = event_store("sqlite", str(tmp_path / "plays.sqlite"))

    async def play() -> None:
        for track in (101, 103, 105):
            await store.put(1, track)
        await store.put(777, 100)
        await store.close()

    asyncio.run(play())
    plays = tmp_path / "plays.parquet"
    stored = event_store("sqlite", str(tmp_path / "plays.sqlite"))
    export.write(export.interactions(stored), plays)
    asyncio.run(stored.close())
    work = pipeline.workspace(configured(tmp_path, DATA_FURTHER_PLAYS=str(plays)))
    raw = pipeline.raw_tables(work)
    pipeline.preprocessed_tables(work, raw)
    events = pq.read_table(tmp_path / "work" / "events.parquet").to_pandas()
    assert len(events) == pq.read_metadata(logs / "interactions.parquet").num_rows + 4
    mine = events[events["user_id"] == 1].sort_values("track_seq")
    assert mine["track_seq"].tolist() == list(range(1, taste_logs.PLAYS + 4))
    assert mine["item_id"].tolist()[-3:] == [101, 103, 105]
    assert events.loc[events["user_id"] == 777, "track_seq"].tolist() == [1]
    assert raw.account.files[-1].rows == 4


def test_stored_feedback_comes_back_as_logs(tmp_path: Path) -> None:
    """Types and shares of an export are in the preprocessed events, blocks as dislikes, also where the logs have no such columns."""
    taste_logs.write(tmp_path / "logs")
    store = event_store("sqlite", str(tmp_path / "plays.sqlite"))

    async def say() -> None:
        for track, kind, share in ((101, "play", 0.5), (103, "skip", 0.25), (105, "like", None), (107, "block_artist", None)):
            await store.put(1, track, kind, share)
        await store.close()

    asyncio.run(say())
    plays = tmp_path / "plays.parquet"
    stored = event_store("sqlite", str(tmp_path / "plays.sqlite"))
    export.write(export.interactions(stored), plays)
    asyncio.run(stored.close())
    work = pipeline.workspace(configured(tmp_path, DATA_FURTHER_PLAYS=str(plays)))
    pipeline.preprocessed_tables(work, pipeline.raw_tables(work))
    events = pq.read_table(tmp_path / "work" / "events.parquet").to_pandas()
    mine = events[events["user_id"] == 1].sort_values("track_seq")
    assert mine["feedback"].tolist()[-4:] == ["play", "skip", "like", "dislike"]
    assert mine["played_share"].tolist()[-4:-2] == [0.5, 0.25]
    assert events["feedback"].isna().sum() == len(events) - 4


def test_further_plays_that_are_missing_are_named(tmp_path: Path) -> None:
    """A file that does not exist is one sentence with its name."""
    taste_logs.write(tmp_path / "logs")
    with pytest.raises(MusicRecError, match=r"absent\.parquet"):
        pipeline.raw_tables(pipeline.workspace(configured(tmp_path, DATA_FURTHER_PLAYS=str(tmp_path / "absent.parquet"))))


def test_memory_decides_how_many_users_are_answered_at_a_time(tmp_path: Path) -> None:
    """Twice the memory gives twice the users, half the candidates of a user do too, and there are never fewer than 64."""
    def users(**changed: str) -> int:
        work = pipeline.workspace(configured(tmp_path, **changed))
        return pipeline.recommender(work.settings).batch_users(work.settings.batch_memory)

    plain = users(CANDIDATES_BATCH_MEMORY="1GB", CANDIDATES_MAX_CANDIDATES="300")
    assert users(CANDIDATES_BATCH_MEMORY="2GB", CANDIDATES_MAX_CANDIDATES="300") == pytest.approx(2 * plain, abs=2)
    assert users(CANDIDATES_BATCH_MEMORY="1GB", CANDIDATES_MAX_CANDIDATES="150") == pytest.approx(2 * plain, abs=2)
    assert users(CANDIDATES_BATCH_MEMORY="1KB") == 64


@pytest.mark.parametrize("changed", [
    {"CANDIDATES_MODELS": "item_knn content", "CANDIDATES_BASELINES": ""}, {"CANDIDATES_MODELS": "popular_decayed"},
    {"RANKING_FEATURES": "", "SPLIT_FOLDS": "1"}], ids=str)
def test_other_recommenders_are_published_as_well(tmp_path: Path, changed: dict[str, str]) -> None:
    """Without ALS and baselines, with a single model, without features and with one fold: the run is published. With at most one track an
    artist, no artist comes twice in a published list before all its artists came once, whatever wins."""
    taste_logs.write(tmp_path / "logs")
    run = pipeline.run(configured(tmp_path, RANKING_MAX_PER_ARTIST="1", **changed))
    assert run.comparison["model"].is_unique
    artists = published(tmp_path, "items.parquet").set_index("item_id")["artist_ids"].map(lambda ids: ids[0])
    found = published(tmp_path, "recommendations.parquet")
    found["artist"] = artists.loc[found["item_id"]].to_numpy()
    assert len(found)
    for _, rows in found.groupby("user_id"):
        n_artists = rows["artist"].nunique()
        assert rows["artist"].head(n_artists).nunique() == n_artists


def test_a_track_that_was_there_can_be_recommended_though_nobody_has_played_it(tmp_path: Path) -> None:
    """With added_at in tracks, an unplayed track is an item from that moment on, in items.parquet too, and none before it."""
    logs = taste_logs.write(tmp_path / "logs")
    tracks = pq.read_table(logs / "tracks.parquet")
    more = tracks.slice(0, 2).set_column(0, "track_id", pa.array([900, 901], tracks.schema.field("track_id").type))
    tracks = pa.concat_tables([tracks, more])
    added = [None] * (len(tracks) - 2) + [datetime(2022, 6, 1), datetime(2022, 12, 20)]
    pq.write_table(tracks.append_column("added_at", pa.array(added, pa.timestamp("us"))), logs / "tracks.parquet")
    work = pipeline.workspace(configured(tmp_path))
    raw = pipeline.raw_tables(work)
    tables, chosen = pipeline.preprocessed_tables(work, raw), pipeline.plan(work, raw.interactions)
    train = tables.dataset.train_set(chosen.cutoff)
    assert 900 in train.item_ids
    assert 901 not in train.item_ids
    assert {900, 901} <= set(tables.dataset.train_set().item_ids.tolist())
    assert pq.read_table(work.folder / "items.parquet").to_pandas().set_index("item_id")["added_at"].notna().sum() == 2


def test_rows_get_titles_behind_their_ids(tmp_path: Path) -> None:
    """Rows keep their order and repeats, lists of names become text, and the table that was given is unchanged."""
    taste_logs.write(tmp_path / "logs")
    work = pipeline.workspace(configured(tmp_path))
    tables = pipeline.preprocessed_tables(work, pipeline.raw_tables(work))
    rows = pd.DataFrame({"rank": [1, 2, 3], "other": [103, 100, 103], "score": [0.3, 0.2, 0.1]})
    titled = tables.titled(rows, "other")
    assert list(titled.columns) == ["rank", "other", "name", "artists", "genres", "score"]
    assert titled["name"].tolist() == ["title 3", "title 0", "title 3"]
    assert titled["genres"].tolist() == ["genre 2", "genre 1", "genre 2"]
    assert list(rows.columns) == ["rank", "other", "score"]
    assert tables.titled(rows.head(0), "other").empty


def test_lists_with_new_items_are_evaluated_in_a_table_of_their_own(done: tuple[Path, pipeline.Result], tmp_path: Path) -> None:
    """With new_items the manifest has a second table; the main one is the same as without, and the run is published."""
    taste_logs.write(tmp_path / "logs")
    pipeline.run(configured(tmp_path, CANDIDATES_NEW_ITEMS="true"))
    without, told = (registry.current(storage(str(project / "artifacts"), {})).info.metrics for project in (done[0], tmp_path))
    assert "with_new_items" not in without
    assert "with_new_items" in told
    assert told["warm"] == without["warm"]
    assert len(published(tmp_path, "recommendations.parquet"))


def test_the_example_of_the_readme_runs(done: tuple[Path, pipeline.Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python lines load the recommender of a run and give lists and candidates for the listener."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0].replace("RUN_ID", done[1].run_id).replace("617032", "3")
    monkeypatch.chdir(done[0])
    space: dict[str, object] = {}
    *statements, last = example.strip().splitlines()
    exec("\n".join(statements), space)
    candidates = eval(last.split("#")[0], space)
    assert {"user_id", "item_id", "score", "als_rank", "item_age"} <= set(candidates.columns)
    assert 0 < len(eval(statements[-1], space)) <= 10
