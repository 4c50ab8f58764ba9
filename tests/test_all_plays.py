"""Familiar items from logs to a published run, and the protocol in which re-listens count."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec import pipeline, registry, settings
from musicrec.cli.predict import published_recommender, write_lists
from musicrec.errors import SettingsError
from musicrec.evaluation import ALL_PLAYS, Evaluator
from musicrec.lists import Lists
from musicrec.models import OwnItems, Relisten
from musicrec.pipeline.all_plays import references
from musicrec.recommender import TwoStageRecommender
from musicrec.storage import storage
from musicrec.tuning import Slice, model_evaluated
from tests import taste_logs
from tests.worlds import train_set

CONFIG = Path(__file__).resolve().parents[1] / "config.ini"


def configured(project: Path, **changed: str) -> settings.Settings:
    """The project's settings for a quick run below `project`."""
    environ = taste_logs.environment(project / "logs", project)
    return settings.load(CONFIG, {**environ, **{f"MUSICREC_{key}": value for key, value in changed.items()}})


def play_again(logs: Path, seed: int = 0) -> None:
    """Every user plays two favorites again on many later days, before and after the cutoff."""
    rng = np.random.default_rng(seed)
    path = logs / "interactions.parquet"
    table = pq.read_table(path)
    rows = table.to_pandas()
    again = rows.groupby("user_id").head(2).loc[lambda first: first.index.repeat(6)].copy()
    again["started_at"] += pd.to_timedelta(rng.integers(1, 200, len(again)), unit="D")
    whole = pd.concat([rows, again[again["started_at"] < "2022-12-31"]]).sort_values(["user_id", "started_at"], ignore_index=True)
    whole["track_seq"] = (whole.groupby("user_id").cumcount() + 1).astype("int16")
    pq.write_table(pa.Table.from_pandas(whole, table.schema, preserve_index=False), path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pipeline.Result]:
    """A finished run on a log with repeats."""
    project = tmp_path_factory.mktemp("repeats")
    taste_logs.write(project / "logs")
    play_again(project / "logs")
    return project, pipeline.run(configured(project))


def test_familiar_lists_are_published_beside_new_ones(done: tuple[Path, pipeline.Result]) -> None:
    """familiar.parquet has everybody's own tracks, all of them up to k, ranked; recommendations.parquet still has none of them."""
    run = done[0] / "artifacts" / "runs" / done[1].run_id
    events, familiar, new = (pq.read_table(run / f"{name}.parquet").to_pandas() for name in ("events", "familiar", "recommendations"))
    own = events[["user_id", "item_id"]].drop_duplicates()
    assert len(familiar) == len(familiar.merge(own)) == own.groupby("user_id").size().clip(upper=20).sum()
    assert (familiar.sort_values(["user_id", "rank"]).index == familiar.index).all()
    assert (familiar.groupby("user_id").cumcount() + 1 == familiar["rank"]).all()
    assert new.merge(own).empty


def test_predict_writes_familiar_and_mixed_lists(done: tuple[Path, pipeline.Result], tmp_path: Path) -> None:
    """--mode familiar writes what the run has published, --mode mixed takes its first places by share from both, and no track twice."""
    project, result = done
    chosen = configured(project, BLENDING_FAMILIAR_SHARE="0.5")
    folder, made = published_recommender(chosen)
    users = made.fitted.train.user_ids.tolist()
    lists = {mode: tmp_path / mode for mode in ("new", "familiar", "mixed")}
    for mode, path in lists.items():
        write_lists(chosen, made, folder, users, 20, path, mode)  # type: ignore[arg-type]
    new, familiar, both = (pq.read_table(path).to_pandas() for path in lists.values())
    pd.testing.assert_frame_equal(familiar, pq.read_table(project / "artifacts" / "runs" / result.run_id / "familiar.parquet").to_pandas())
    assert not both.duplicated(["user_id", "item_id"]).any()
    user = users[0]
    firsts = [frame[frame["user_id"] == user]["item_id"].tolist() for frame in (familiar, new, both)]
    assert firsts[2][:4] == [firsts[0][0], firsts[1][0], firsts[0][1], firsts[1][1]]


def test_the_manifest_has_the_table_of_all_plays(done: tuple[Path, pipeline.Result]) -> None:
    """Its rows are the references, relisten, the list of new tracks and the mixed list, for the same users; own tracks are found there."""
    told = registry.current(storage(str(done[0] / "artifacts"), {})).info.metrics
    table = pd.DataFrame(told["all_plays"]).set_index("model")
    assert set(table.index) == {"most_played", "latest", "relisten", "mixed", told["published"]}
    assert table["users"].nunique() == 1
    assert table.loc["relisten", "ndcg@10"] > 0
    assert table.loc["relisten", "novelty@10"] == 0 < table.loc["mixed", "novelty@10"] < table.loc[told["published"], "novelty@10"] == 1
    assert set(table["baseline"]) <= {"most_played", "latest"}


def test_re_listens_are_targets_and_no_list_knows_the_test_set() -> None:
    """By hand: a re-listen in the first place is worth 1, and a log without repeats has no table of all plays."""
    train, test = train_set([(1, 0, 1), (1, 0, 2), (1, 1, 3), (2, 2, 3)], 4), train_set([(1, 0, 2000), (2, 3, 2001)], 4)
    evaluator = Evaluator(train, test, rules=ALL_PLAYS)
    lists = Relisten().fit(train).recommend_with_seen(evaluator.train_rows, 5)
    evaluator.add("relisten", Lists(evaluator.user_ids, *lists))
    assert evaluator.relevance("relisten")["ndcg@10"].tolist() == [pytest.approx(1 / np.log2(2 + (lists[0][0, 0] != 0))), 0]
    made = TwoStageRecommender({}).fit(train_set([(1, 0, 1)], 2))
    work = pipeline.Workspace(settings.load(CONFIG, {}), None, Path("nowhere"))
    assert pipeline.evaluated_all_plays(work, made, test) is None


def test_the_references_are_the_most_played_and_the_latest_items() -> None:
    """Most plays first, among equal ones the latest; and the latest play first."""
    train = train_set([(1, 0, 1), (1, 0, 2), (1, 1, 3), (1, 2, 4), (1, 3, 5), (1, 3, 6)], 4)
    lists = {name: one.recommend_with_seen(np.zeros(1, np.int32), 4)[0][0].tolist() for name, one in references(train).items()}
    assert lists == {"most_played": [3, 0, 2, 1], "latest": [3, 2, 1, 0]}
    assert isinstance(references(train)["latest"], OwnItems)


def test_relisten_is_tuned_by_the_plays_that_it_can_find() -> None:
    """Its values are compared by re-listens, so they differ where discovery would find nothing at all."""
    rows = [(1, 0, day) for day in range(10)] + [(1, 1, 999), (2, 0, 999), *((2, 1, day) for day in range(10))]
    folds = [Slice(train_set(rows, 2), train_set([(1, 0, 2000), (2, 1, 2000)], 2))]
    present, evaluated = model_evaluated(Relisten(), folds, 10, 0)
    assert present == dataclasses.asdict(Relisten())
    assert evaluated({"decay": 0.1}, 0).tolist() == [1, 1]
    assert (evaluated({"decay": 2.0}, 0) < 1).all()


def test_a_run_tunes_relisten_where_tracks_are_played_again(tmp_path: Path) -> None:
    """Its section is searched beside those of the candidate models in a log with repeats, and only there."""
    sections = {}
    for name in ("first plays", "repeats"):
        logs = taste_logs.write(tmp_path / name / "logs")
        if name == "repeats":
            play_again(logs)
        work = pipeline.workspace(configured(tmp_path / name, TUNING_TRIALS="6", CANDIDATES_MODELS="popular_decayed"))
        raw = pipeline.raw_tables(work)
        _, found = pipeline.tuned(work, pipeline.preprocessed_tables(work, raw), pipeline.plan(work, raw.interactions))
        sections[name] = [one.section for one in found]
    assert sections == {"first plays": ["candidates.popular_decayed"], "repeats": ["candidates.popular_decayed", "candidates.relisten"]}


@pytest.mark.parametrize(("key", "name"), [("MODELS", "relisten"), ("BASELINES", "relisten"), ("TOP_POPULAR", "relisten"),
                                           ("FAMILIAR", "als")])
def test_models_of_seen_items_have_their_own_place(key: str, name: str, tmp_path: Path) -> None:
    """They recommend no candidates, and other models no familiar items: both are refused before any work."""
    with pytest.raises(SettingsError, match=r"relisten, belong in \[candidates\] familiar"):
        pipeline.workspace(configured(tmp_path, **{f"CANDIDATES_{key}": name}))
