"""The musicrec command: help, exit codes, one sentence for every failure, and what each command says."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pytrec_eval import RelevanceEvaluator
from typer.main import get_command

from musicrec import registry
from musicrec.cli import app
from musicrec.cli.stopping import interruption
from musicrec.evaluation.files import evaluated
from musicrec.events import event_store
from musicrec.registry import RunInfo
from musicrec.storage import storage
from tests import taste_logs
from tests.commands import MUSICREC, exit_code
from tests.service_world import write_run

PROJECT = Path(__file__).resolve().parents[1]


def commands(command: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command and group, by the words that call it."""
    inner = getattr(command, "commands", {})
    return {path: command} | {words: found for name, one in inner.items() for words, found in commands(one, (*path, name)).items()}


COMMANDS = commands(get_command(app))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_that_begins_with_what_it_does(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """--help ends with 0 and describes the command; every option and argument has a text."""
    assert exit_code(*words, "--help") == 0
    said = capsys.readouterr().out
    assert said.startswith("Usage: musicrec")
    assert len(said.splitlines()[2].strip()) > 20
    assert [one.name for one in COMMANDS[words].params if not one.help] == []


@pytest.mark.parametrize(("words", "code"), [((), 2), (("--help",), 0), (("train", "--help"), 0), (("runs", "diff", "-h"), 0),
                                             (("trian",), 2), (("train", "--preset", "huge"), 2), (("predict",), 2), (("complete",), 0)])
def test_help_completion_and_wrong_usage_load_no_library(words: tuple[str, ...], code: int) -> None:
    """Only a command that runs imports what it needs, so help comes at once: no library is loaded but typer and what that loads, and of
    musicrec nothing but the commands and what they need to describe themselves."""
    asked = {"_MUSICREC_COMPLETE": "complete_bash", "COMP_WORDS": "musicrec tr", "COMP_CWORD": "1"} if words == ("complete",) else {}
    program = ("import sys, json, atexit; from musicrec.cli import main; atexit.register(lambda: print(json.dumps(sorted(sys.modules)), "
               "file=sys.__stdout__)); main()")
    done = subprocess.run([sys.executable, "-c", program, *(() if asked else words)], capture_output=True, text=True, cwd=PROJECT,
                          env={**os.environ, **asked})
    assert done.returncode == code
    loaded = json.loads(done.stdout.splitlines()[-1])
    libraries = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert libraries & {"numpy", "pyarrow", "requests", "dotenv", "tqdm", "boto3", "pandas", "ibis", "duckdb", "numba", "scipy",
                        "catboost", "implicit", "faiss", "fastapi", "uvicorn", "aiohttp", "matplotlib", "nbclient", "nicegui"} == set()
    assert "asyncio" not in loaded
    assert {name.split(".")[1] for name in loaded if name.startswith("musicrec.")} <= {"cli", "datasets", "errors", "project"}


@pytest.mark.parametrize(("words", "said"), [
    (("trian",), "No such command 'trian'"), (("predict",), "Missing option '--out'"),
    (("train", "--preset", "huge"), "'huge' is not one of"),
    (("serve", "--port", "80"), "--host, --port and --workers are for one service"), (("notebook", "--set", "x"), "--set takes NAME=VALUE"),
    (("config", "show", "spilt"), "there is no section 'spilt'; there are urls, data"),
])
def test_wrong_usage_is_2_and_says_what_is_wrong(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, the reason on stderr, nothing on stdout."""
    assert exit_code(*words) == 2
    told = capsys.readouterr()
    assert said in " ".join(told.err.split())
    assert told.out == ""


@pytest.mark.parametrize(("words", "said"), [
    (("runs", "list"), "nothing is published at artifacts"), (("train",), "data/sample"),
    (("predict", "--out", "x.parquet"), "nothing is published"),
    (("train", "--config", "no.ini"), "no.ini does not exist"), (("evaluate", "a.csv", "b.csv"), "a.csv does not exist"),
    (("notebook", "--data", "nowhere"), "nowhere is not a folder"),
    (("tune", "--only", "als"), "--only names 'als', which has nothing to tune"),
    (("train", "--source", "vinyl"), "names 'vinyl', which does not exist; there are yandex"),
    (("predict", "--out", "x.parquet", "--users-file", "none.txt"), "none.txt cannot be read"),
])
def test_a_failure_is_1_and_one_sentence(words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    """In an empty folder every command that needs something says what, in one line on stderr."""
    monkeypatch.chdir(tmp_path)
    assert exit_code(*words) == 1
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_a_missing_package_names_the_extra_that_has_it(tmp_path: Path) -> None:
    """Where uvicorn is not installed, `musicrec serve events` says how to install it."""
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('No module named uvicorn', name='uvicorn')\n")
    done = subprocess.run([*MUSICREC, "serve", "events"], capture_output=True, text=True, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}"})
    assert done.returncode == 1
    assert done.stderr == "This command needs the package uvicorn; install it with: pip install 'musicrec[serve]'\n"


def test_a_stop_behind_other_errors_is_found() -> None:
    """DuckDB raises its own error from a KeyboardInterrupt; an error without one is no stop."""
    wrapped = RuntimeError("interrupted")
    wrapped.__cause__ = KeyboardInterrupt()
    assert interruption(wrapped) is wrapped.__cause__
    assert interruption(ValueError("no stop")) is None


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "by", "stage"), [
    (signal.SIGINT, 130, "Ctrl-C", "preprocess"), (signal.SIGTERM, 143, "SIGTERM", "recommend")])
def test_a_stopped_training_says_one_sentence_and_publishes_nothing(number: signal.Signals, code: int, by: str, stage: str,
                                                                    tmp_path: Path) -> None:
    """Stopped after any stage, also by SIGTERM as a scheduler sends it: nothing half done is left, and services load the earlier run whole;
    after the last stages the command may be done instead."""
    logs, place = taste_logs.write(tmp_path / "logs"), storage(str(tmp_path / "artifacts"), {})
    earlier = registry.publish(place, write_run(tmp_path / "made"), RunInfo({}))
    environ = {**os.environ, **taste_logs.environment(logs, tmp_path), "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen([*MUSICREC, "train"], env=environ, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr
    line = process.stderr.readline()
    while f" {stage}: " not in line:
        assert process.poll() is None, line
        line = process.stderr.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    run = registry.current(place)
    registry.fetch(place, None, run.files, tmp_path / "cache")
    assert "Traceback" not in said
    if stage == "recommend" and process.returncode == 0:
        return
    assert process.returncode == code
    assert said.splitlines()[-1] == f"Stopped by {by}; nothing was published and the earlier run is untouched."
    assert run.run_id == earlier
    assert {path.parent.name for path in (tmp_path / "artifacts").rglob("*.parquet")} == {earlier}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two runs of the same tables in a folder of their own, the current one: the second with one user's list turned round."""
    monkeypatch.chdir(tmp_path)
    made, place = write_run(tmp_path / "made"), storage("artifacts", {})
    rows = [{"model": "als", "users": 9, "ndcg@10": 0.2, "ndcg@10_low": 0.1, "ndcg@10_high": 0.3, "recall@10": 0.5, "coverage@10": 0.25}]
    metrics = {"published": "als", "warm": rows, "reason": "als is published because it is the only one.", "trained_until": "2022-12-31"}
    first = registry.publish(place, made, RunInfo({"ranking": {"k": 100}}, metrics), datetime(2022, 1, 1, tzinfo=UTC))
    lists = pd.read_parquet(made / "recommendations.parquet")
    user = lists["user_id"].iloc[0]
    mine = lists["user_id"] == user
    lists.loc[mine, "item_id"] = lists.loc[mine, "item_id"].max() + 1 + np.arange(mine.sum(), dtype=np.int32)
    lists.to_parquet(made / "recommendations.parquet", index=False)
    return first, registry.publish(place, made, RunInfo({"ranking": {"k": 50}}, metrics))


def test_show_and_diff_tell_what_a_run_is_and_what_changed(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """The reason, the interval, the share of changed lists, items gained and lost, and the changed setting."""
    assert exit_code("runs", "show", runs[0]) == 0
    said = capsys.readouterr().out
    assert f"Run {runs[0]}, published" in said
    assert "als is published because it is the only one." in said
    assert "0.2000 [0.100, 0.300]" in said
    assert exit_code("runs", "diff", *runs) == 0
    said = capsys.readouterr().out
    lists = pd.read_parquet(Path("artifacts") / "runs" / runs[0] / "recommendations.parquet")
    users = lists["user_id"].nunique()
    assert f"{1 / users:.1%} of {users:,} users have other items in their first 10" in said
    assert "ranking.k: 100 -> 50" in said
    assert re.search(r"items in lists .*\(\d+ gained, \d+ lost\)", said)
    assert exit_code("runs", "diff", runs[0], runs[0]) == 0
    assert "0.0% of" in capsys.readouterr().out


def test_stats_count_plays_users_and_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What was put is what is counted, with the first and last moment in UTC."""
    monkeypatch.chdir(tmp_path)
    Path("var").mkdir()
    moments = iter([0.0, 3600.0, 7200.0, 7200.0, 7200.0])

    async def put() -> None:
        store = event_store("sqlite", "var/events.sqlite", clock=lambda: next(moments))
        for user, item in ((1, 10), (1, 11), (2, 10)):
            await store.put(user, item)
        await store.close()

    asyncio.run(put())
    assert exit_code("events", "stats") == 0
    assert capsys.readouterr().out == ("3 plays of 2 items by 2 users, from 1970-01-01 00:00:00+00:00 to 1970-01-01 02:00:00+00:00; "
                                       "0 impressions.\n")


def test_config_init_show_and_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A new folder gets the files of a project once; secrets are masked; a bad value is one sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUSICREC_SERVICE_API_KEY", "hunter2")
    assert exit_code("config", "init") == 0
    assert (tmp_path / "config.ini").read_bytes() == (PROJECT / "config.ini").read_bytes()
    assert exit_code("config", "init") == exit_code("config", "show") == exit_code("config", "check") == 0
    said = capsys.readouterr().out
    assert "Every file is there already" in said
    assert "api_key = **********" in said
    assert "hunter2" not in said
    assert "every key is known" in said
    monkeypatch.setenv("MUSICREC_SPLIT_FOLDS", "none")
    assert exit_code("config", "check") == 1
    assert "key 'folds', value 'none'" in capsys.readouterr().err


def test_evaluate_agrees_with_trec_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On random lists and plays with text ids, CSV and parquet: NDCG, precision, recall and reciprocal rank to the fourth decimal."""
    rng = np.random.default_rng(0)
    users = [f"user {number}" for number in range(40)]
    lists = pd.DataFrame([(user, f"track {item}", rank) for user in users[:36] for rank, item in enumerate(rng.permutation(60)[:20], 1)],
                         columns=["user_id", "item_id", "rank"]).sample(frac=1, random_state=0)
    plays = pd.DataFrame([(user, f"track {item}") for user in users for item in rng.integers(0, 60, 8)], columns=["user_id", "track_id"])
    lists.to_csv(tmp_path / "lists.csv", index=False)
    plays.to_parquet(tmp_path / "plays.parquet")
    assert exit_code("evaluate", tmp_path / "lists.csv", tmp_path / "plays.parquet") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    found = {row[0]: float(row[1]) for row in rows}
    relevant = {user: dict.fromkeys(of["track_id"], 1) for user, of in plays.groupby("user_id")}
    scored = {user: {item: 1.0 / rank for item, rank in zip(of["item_id"], of["rank"]) if rank <= 10}
              for user, of in lists.groupby("user_id")}
    told = RelevanceEvaluator(relevant, {"P_10", "recall_10", "recip_rank"}).evaluate(scored)
    for ours, theirs in (("precision@10", "P_10"), ("recall@10", "recall_10"), ("mrr@10", "recip_rank")):
        assert found[ours] == pytest.approx(sum(one[theirs] for one in told.values()) / len(users), abs=5e-5), ours
    assert found["users"] == 40
    assert found["served"] == 0.9


def test_evaluate_leaves_seen_items_out_of_lists_and_targets() -> None:
    """A seen item is no place and no target; a user who was not seen is not evaluated; lists without rank go by score."""
    lists = pd.DataFrame({"user_id": [1, 1, 1, 2], "item_id": [10, 11, 12, 10], "score": [0.9, 0.8, 0.7, 1.0]})
    plays = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [10, 11, 10]})
    seen = pd.DataFrame({"user_id": [1], "item_id": [10]})
    table = evaluated(lists, plays, seen, 1).set_index("metric")["mean"]
    assert (table["users"], table["ndcg@1"], table["recall@1"]) == (1, 1.0, 1.0)
    assert evaluated(lists, plays, None, 1).set_index("metric")["mean"]["recall@1"] == 0.75
