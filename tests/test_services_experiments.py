"""An experiment through real services: users of two variants get different lists, and the report says what each variant brought."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from musicrec.experiments.assignment import Experiment, Variant
from tests.commands import exit_code
from tests.service_world import Services, published, running

pytestmark = pytest.mark.slow

# In the variant `online` the first place goes to a track similar to the latest play, in the control to a popular one.
TEXT = "[places]\nvariants.control = {}\nvariants.online = {first = 'online'}\n"
PLACES = Experiment("places", (Variant("control"), Variant("online")))
LISTENERS = range(1, 41)
PLAYED, SIMILAR, POPULAR = 200, 201, 100


@dataclass
class Trial:
    """Services, and the file of experiments that they watch."""

    services: Services
    file: Path

    def write(self, text: str) -> None:
        """What the file says from now on."""
        self.file.write_text(text)

    def ask(self, user: int, path: str = "/recommendations") -> tuple[list[int], str]:
        """The list, and the variants that the header names."""
        answer = self.services.post("recommendations", path, user_id=user, k=4)
        assert answer.ok, answer.text
        return answer.json()["recs"], answer.headers.get("X-Variant", "")

    def state(self) -> dict[str, Any]:
        """What /stats says of experiments."""
        found: dict[str, Any] = requests.get(f"{self.services.url('recommendations')}/stats", timeout=5).json()["experiments"]
        return found


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Services that record impressions, with the experiment `places` for all users."""
    root = tmp_path_factory.mktemp("trial")
    published(root)
    (root / "experiments.toml").write_text(TEXT)
    with running(root, MUSICREC_SERVICE_IMPRESSIONS="true", MUSICREC_SERVICE_POLL_S="0.2", MUSICREC_SERVICE_RELOAD_KEY="admin",
                 MUSICREC_EXPERIMENTS_FILE=str(root / "experiments.toml")) as services:
        yield Trial(services, root / "experiments.toml")


def until(true: Callable[[], bool]) -> None:
    """Return when `true` says so."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def variant_of(user: int) -> str:
    """Where the user is, computed here."""
    variant = PLACES.variant_of(user)
    assert variant is not None
    return variant.name


def test_a_report_says_what_each_variant_brought(trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """Listeners take a similar track where it comes first, so that the variant `online` brings one play a user and the control none."""
    for user in LISTENERS:
        assert trial.services.post("events", "/put", user_id=user, item_id=PLAYED).ok
        recs, label = trial.ask(user)
        assert label == f"places:{variant_of(user)}"
        assert recs[0] == (SIMILAR if variant_of(user) == "online" else POPULAR)
        if recs[0] == SIMILAR:
            assert trial.services.post("events", "/put", user_id=user, item_id=SIMILAR).ok
    url = f"{trial.services.url('recommendations')}/recommendations/batch"
    batch = requests.post(url, json={"user_ids": [1, 2, 3], "k": 1}, timeout=10)
    firsts = [one["recs"][0] for one in batch.json()["answers"]]
    assert [first == POPULAR for first in firsts] == [variant_of(user) == "control" for user in (1, 2, 3)]
    time.sleep(1)  # exposures are sent in the background
    for name, value in trial.services.environment.items():
        monkeypatch.setenv(name, value)
    assert exit_code("experiments", "report", "places", "--out", tmp_path / "r.json", "--picture", tmp_path / "r.svg") == 0
    told = capsys.readouterr().out
    result = json.loads((tmp_path / "r.json").read_text())
    users = {name: sum(variant_of(user) == name for user in LISTENERS) for name in ("control", "online")}
    assert result["sample_ratio"]["users"] == users
    assert {row["variant"]: row["plays"] for row in result["variants"]} == {"control": 0, "online": users["online"]}
    plays = result["differences"][0]
    assert (plays["metric"], plays["difference"], plays["cuped_low"]) == ("plays", 1, 1)
    assert plays["p_holm"] < 0.001
    assert {row["source"] for row in result["by_source"]} >= {"online", "popular"}
    assert "Sample ratio: p = " in told
    assert "<svg" in (tmp_path / "r.svg").read_text()[:1000]
    for form in ("impressions", "interactions"):
        assert exit_code("events", "export", "--form", form, "--out", tmp_path / "exports" / f"{form}.parquet") == 0
    capsys.readouterr()
    pq.write_table(pa.table({"user_id": [1], "item_id": [SIMILAR]}), tmp_path / "lists.parquet")
    options = ("--exports", tmp_path / "exports", "--lists", tmp_path / "lists.parquet")
    assert exit_code("experiments", "report", "places", *options) == 0
    assert capsys.readouterr().out == told, "without propensities nothing is estimated"


def test_experiments_change_without_a_restart_and_a_broken_file_changes_nothing(trial: Trial) -> None:
    """A pause is over when the file says so; while it cannot be read, what it said before holds and /stats says why."""
    user = next(user for user in range(1000, 1020) if variant_of(user) == "online")
    assert trial.services.post("events", "/put", user_id=user, item_id=PLAYED).ok
    assert trial.ask(user)[1] == "places:online"
    trial.write(TEXT + "share = 2\n")
    until(lambda: "experiment 'places', key 'share', value '2'" in trial.state()["problem"])
    assert trial.ask(user)[1] == "places:online"
    assert "experiments stay as they were" in trial.services.log("recommendations")
    trial.write(TEXT + "paused = true\n")
    until(lambda: not trial.state()["running"])
    assert trial.state()["problem"] == ""
    assert trial.ask(user) == ([POPULAR, SIMILAR, POPULAR + 1, SIMILAR + 1], "")
    trial.write(TEXT + "[two]\nvariants.a = {}\nvariants.b = {max_per_artist = 1}\nsalt = 'places'\n")
    until(lambda: list(trial.state()["running"]) == ["places", "two"])
    assert trial.ask(user)[1] == "places:online two:b"
    trial.file.unlink()
    until(lambda: not trial.state()["running"])
    trial.write(TEXT)
    until(lambda: list(trial.state()["running"]) == ["places"])


def test_a_deleted_user_is_in_no_experiment(trial: Trial) -> None:
    """From the next answer on that needs the events service, and there is no other list for the user."""
    user = next(user for user in range(1020, 1040) if variant_of(user) == "online")
    assert trial.ask(user)[1] == "places:online"
    requests.delete(f"{trial.services.url('events')}/users/{user}", headers={"X-Reload-Key": "admin"}, timeout=10).raise_for_status()
    assert trial.ask(user)[1] == ""
    assert trial.ask(user, "/recommendations_offline")[1] == ""


def test_the_command_says_who_is_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """State and weights of each experiment, the variant of a user; an unknown experiment is refused in one sentence."""
    (tmp_path / "experiments.toml").write_text(TEXT + "end = 2026-01-01\n[small]\nshare = 0\nvariants.a = {weight = 2}\nvariants.b = {}\n")
    monkeypatch.chdir(tmp_path)
    assert exit_code("experiments", "list") == 0
    assert capsys.readouterr().out == ("places: has ended, share 1, control:1 online:1, until 2026-01-01 00:00\n"
                                       "small: runs, share 0, a:2 b:1\n")
    assert exit_code("experiments", "assign", "7") == 0
    assert capsys.readouterr().out == f"places: {variant_of(7)} (has ended)\nsmall: outside the share (runs)\n"
    assert exit_code("experiments", "report", "large") == 1
    assert capsys.readouterr().err == "experiments.toml has no experiment 'large'; there are places, small.\n"
    assert exit_code("experiments", "report", "small", "--exports", "none") == 1
    assert "none/impressions.parquet cannot be read as parquet" in capsys.readouterr().err
    assert exit_code("experiments", "report", "small", "--picture", "x.txt") == 2
