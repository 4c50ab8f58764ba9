"""One run answered by four services that hold a shard of the users each: together they answer as one that holds all."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import requests

from musicrec import registry, schema
from musicrec.keys import KeyTable
from musicrec.registry import RunInfo, publish
from musicrec.serving import cache
from musicrec.serving.cache_space import ServedRun
from musicrec.serving.lookup import lookup
from musicrec.serving.recommendations import PARTS
from musicrec.serving.shards import Shard, shard_of
from musicrec.storage import storage
from tests.service_world import Services, running, write, write_run

SHARDS, USERS = 4, range(10, 50)
NOBODY = "a stranger"


def sharded_run(root: Path, keyed: bool) -> list[int | str]:
    """Publish a run in which each user has a list, plays and familiar items of his own; returns the users as clients know them."""
    folder = write_run(root / "run")
    items = [(user, 100 + (3 * user + step) % 200) for user in USERS for step in range(20)]
    events, lists = [pair for at, pair in enumerate(items) if at % 20 < 5], [pair for at, pair in enumerate(items) if at % 20 >= 5]
    write(folder, schema.EVENTS, {
        "user_id": [user for user, _ in events], "item_id": [item for _, item in events], "track_seq": [1] * len(events),
        "started_at": [datetime(2022, 1, 1)] * len(events), "listened": [1] * len(events), "played_share": [1.0] * len(events)})
    ranked = [(user, item, 1 - (at % 15) / 100, at % 15 + 1) for at, (user, item) in enumerate(lists)]
    write(folder, schema.RECOMMENDATIONS, dict(zip(schema.RECOMMENDATIONS.names, zip(*ranked))))
    own = [(user, item, -float(at % 5), at % 5 + 1) for at, (user, item) in enumerate(events)]
    write(folder, schema.PERSONAL, dict(zip(schema.PERSONAL.names, zip(*own))))
    (folder / "personal.parquet").rename(folder / "familiar.parquet")
    keys = {f"listener {user}": user for user in USERS}
    if keyed:
        KeyTable(pa.array(list(keys)), np.array(list(keys.values()), np.int32)).write(folder / "user_keys.parquet")
    publish(storage(str(root / "artifacts"), {}), folder, RunInfo({}))
    return list(keys) if keyed else list(USERS)


@dataclass
class Sharded:
    """A service that holds all users, those of the shards in their order, and the users."""

    whole: Services
    shards: list[Services]
    users: list[int | str]

    def right(self, user: int | str) -> Services:
        """The service to ask for the user."""
        return self.shards[shard_of(user, SHARDS) - 1]


@pytest.fixture(scope="module", params=[False, True], ids=["ids", "keys"])
def sharded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharded]:
    """Five recommendations services over one run, which ask the same events and features services; some users have just played a track."""
    root = tmp_path_factory.mktemp("shards")
    users = sharded_run(root, request.param)
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(running(root))
        others = {f"MUSICREC_URLS_{name.upper()}_STORE_URL": whole.url(name) for name in ("events", "features")}
        shards = [stack.enter_context(running(root, "recommendations", MUSICREC_SERVICE_SHARD=f"{number}/{SHARDS}", **others))
                  for number in range(1, SHARDS + 1)]
        for user in users[::5]:
            assert whole.post("events", "/put", user_id=user, item_id=250).ok
        yield Sharded(whole, shards, users)


@pytest.mark.slow
def test_the_shard_of_a_user_answers_as_a_service_of_all_users(sharded: Sharded) -> None:
    """Items, scores and reasons are the same for every user on every kind of list, also for a user whom the run does not know."""
    stranger = NOBODY if isinstance(sharded.users[0], str) else 999
    for user in [*sharded.users, stranger]:
        for path, more in (("/recommendations_offline", {}), ("/recommendations", {}), ("/recommendations_offline", {"mode": "familiar"})):
            asked = {"user_id": user, "k": 12, "verbose": True, **more}
            one, other = (service.post("recommendations", path, **asked).json() for service in (sharded.whole, sharded.right(user)))
            assert one["recs"] or (user, more) == (stranger, {"mode": "familiar"})
            assert {**one, "recommendation_id": ""} == {**other, "recommendation_id": ""}


@pytest.mark.slow
def test_another_shard_refuses_and_names_the_right_one(sharded: Sharded) -> None:
    """Status 421 for a user of another shard, alone or in a batch; nobody gets popular tracks in place of an own list."""
    user = sharded.users[0]
    for number, service in enumerate(sharded.shards, 1):
        alone = service.post("recommendations", "/recommendations_offline", user_id=user, k=5)
        batch = requests.post(f"{service.url('recommendations')}/recommendations/batch", json={"user_ids": sharded.users}, timeout=10)
        assert batch.status_code == 421
        assert (alone.status_code == 200) == (number == shard_of(user, SHARDS))
        if alone.status_code != 200:
            assert alone.status_code == 421
            assert f"belongs to shard {shard_of(user, SHARDS)}/4" in alone.json()["detail"]


@pytest.mark.slow
def test_shards_hold_every_user_once(sharded: Sharded) -> None:
    """The users of all shards together are those of the run, and none holds more than half of them."""
    held = [requests.get(f"{service.url('recommendations')}/stats", timeout=10).json() for service in sharded.shards]
    assert [one["shard"] for one in held] == ["1/4", "2/4", "3/4", "4/4"]
    assert sum(one["users"] for one in held) == len(USERS)
    assert max(one["users"] for one in held) < len(USERS) / 2
    for number, service in enumerate(sharded.shards, 1):
        own = [user for user in sharded.users if shard_of(user, SHARDS) == number]
        asked = {"user_ids": own, "k": 5}
        answers = [requests.post(f"{one.url('recommendations')}/recommendations/batch", json=asked, timeout=10).json()["answers"]
                   for one in (service, sharded.whole)]
        assert answers[0] == answers[1]


def test_a_shard_maps_its_rows_alone_and_they_stay_in_the_cache(tmp_path: Path) -> None:
    """The arrays of the four shards are those of the whole run cut in four; cleaning the cache leaves those of a shard that is served."""
    sharded_run(tmp_path, keyed=True)
    location = str(tmp_path / "artifacts")
    run = registry.current(storage(location, {}))
    whole = lookup(run.run_id, cache.ready(location, {}, run, PARTS, tmp_path / "cache"))
    shards = [Shard(number, SHARDS) for number in range(1, SHARDS + 1)]
    folders = [cache.ready(location, {}, run, shard.parts(PARTS), tmp_path / "cache") for shard in shards]
    cut = [lookup(run.run_id, found, shard) for found, shard in zip(folders, shards)]
    for part in ("personal", "seen", "familiar"):
        assert sum(getattr(one, part).items.nbytes for one in cut) == getattr(whole, part).items.nbytes
        assert sorted(np.concatenate([getattr(one, part).keys for one in cut])) == getattr(whole, part).keys.tolist()
    ServedRun.of(tmp_path / "cache", location, shards[0].parts(PARTS)).write(run)
    cache.clean(tmp_path / "cache", None, everything=True)
    assert all(folder.is_dir() for folder in folders[0].values())
