"""The model learns from plays that services stored: put, export, train again, answer; with real services."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from musicrec import pipeline, settings
from musicrec.cli.processes import free_urls, running
from tests import taste_logs

PROJECT = Path(__file__).resolve().parents[1]
CONFIG = PROJECT / "config.ini"
KNOWN, NEW = 1, 777
PLAYED = {KNOWN: (141, 143, 145, 147), NEW: (100, 102, 104)}


def answer(url: str, user: int) -> tuple[list[int], str]:
    """The offline list of a user and how it was found."""
    told = requests.post(f"{url}/recommendations_offline", params={"user_id": user, "k": 10}, timeout=10)
    return told.json()["recs"], told.headers["X-Strategy"]


@pytest.mark.slow
def test_the_next_run_learns_from_stored_plays(tmp_path: Path) -> None:
    """A new user gets a personal list, a known user's list changes, and neither is recommended what they have just played."""
    taste_logs.write(tmp_path / "logs")
    changes = {**taste_logs.environment(tmp_path / "logs", tmp_path), "MUSICREC_EVENTS_STORE": "sqlite",
               "MUSICREC_EVENTS_PATH": str(tmp_path / "plays.sqlite")}
    environ: dict[str, str] = {**os.environ, **changes}
    pipeline.run(settings.load(CONFIG, environ))
    urls = free_urls(settings.load(CONFIG, environ).urls)
    with running(urls, environ, tmp_path / "log"):
        before = {user: answer(urls.recommendations_url, user) for user in PLAYED}
        for user, tracks in PLAYED.items():
            for track in tracks:
                put = requests.post(f"{urls.events_store_url}/put", params={"user_id": user, "item_id": track}, timeout=10)
                assert put.json() == {"result": "ok"}
        exported = tmp_path / "stored.parquet"
        command: list[Any] = [sys.executable, "-m", "musicrec", "events", "export", "--form", "interactions", "--out", exported]
        subprocess.run(command, env=environ, cwd=PROJECT, check=True, capture_output=True)
        pipeline.run(settings.load(CONFIG, {**environ, "MUSICREC_DATA_FURTHER_PLAYS": str(exported)}))
    with running(urls, environ, tmp_path / "log"):
        after = {user: answer(urls.recommendations_url, user) for user in PLAYED}
    assert before[NEW][1] == "popular"
    assert after[NEW][1] == "personal"
    assert sum(track % 2 == 0 for track in after[NEW][0][:5]) >= 4, "the new user's list does not follow their taste"
    assert before[KNOWN][0] != after[KNOWN][0]
    for user, tracks in PLAYED.items():
        assert not set(after[user][0]) & set(tracks)
