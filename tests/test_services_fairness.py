"""Nobody's requests hold up or use up those of others: batches take turns and count as their length, addresses cannot be invented."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from musicrec import schema
from musicrec.registry import RunInfo, publish
from musicrec.serving.client_address import client_address
from musicrec.serving.turns import Turns
from musicrec.storage import storage
from tests.service_world import published, running, services, write_run
from tests.test_watch import wait_until

CALLERS, USERS, K, SIMILAR = 2, 1000, 1000, 100


def large_run(root: Path) -> None:
    """Publish the little world with 3,000 tracks, each with 100 similar ones, so that a list of 1,000 can be made for everybody."""
    folder, n = write_run(root / "run"), 3000
    items = pq.read_table(folder / "items.parquet")
    more = items.take(pa.array(np.arange(n) % len(items)))
    more = more.set_column(0, items.schema.field("item_id"), pa.array(np.arange(100, 100 + n), items.schema.field("item_id").type))
    pq.write_table(more, folder / "items.parquet")
    of = np.repeat(np.arange(100, 100 + n), SIMILAR)
    to = 100 + (of - 100 + np.tile(np.arange(1, SIMILAR + 1), n)) % n
    columns = dict(zip(schema.SIMILAR.names, (of, to, np.tile(np.linspace(1, 0.1, SIMILAR), n))))
    kinds = {column.name: column.type for column in schema.SIMILAR.columns}
    pq.write_table(pa.table({name: pa.array(values).cast(kinds[name]) for name, values in columns.items()}), folder / "similar.parquet")
    publish(storage(str(root / "artifacts"), {}), folder, RunInfo({}))


@pytest.mark.slow
def test_large_batches_leave_single_answers_whole(tmp_path: Path) -> None:
    """While 2 callers ask for 1,000 users x 1,000 items each, no answer for one user is degraded or fails, and neither is a batch."""
    large_run(tmp_path)
    with running(tmp_path, MUSICREC_SERVICE_TIMEOUT_MS="5000", MUSICREC_SERVICE_BATCH_TIMEOUT_MS="60000") as found:
        url, batches = found.url("recommendations"), list[tuple[int, Any]]()
        with requests.Session() as session:
            for user in range(USERS):
                session.post(f"{found.url('events')}/put", params={"user_id": user, "item_id": 100 + 3 * user}, timeout=10)

        def batch(_: int) -> None:
            answer = requests.post(f"{url}/recommendations/batch", json={"user_ids": list(range(USERS)), "k": K}, timeout=300)
            batches.append((answer.status_code, answer.json()))

        began = time.monotonic()
        batch(0)
        # Half of what a batch blocks when it does not take turns, on this machine and beside what else it does now.
        found.environment["MUSICREC_SERVICE_TIMEOUT_MS"] = str(max(500, round(500 * (time.monotonic() - began))))
        batches.clear()
        found.stop("recommendations")
        found.start("recommendations")
        with ThreadPoolExecutor(CALLERS) as callers, requests.Session() as session:
            under_way = [callers.submit(batch, number) for number in range(CALLERS)]
            singles = []
            while not all(future.done() for future in under_way):
                answer = session.post(f"{url}/recommendations", params={"user_id": len(singles) % USERS, "k": 100}, timeout=60)
                singles.append((answer.status_code, str(answer.json().get("degraded", "whole")), len(answer.json().get("recs", ()))))
                time.sleep(0.02)
        assert len(singles) > 10
        assert set(singles) == {(200, "whole", 100)}
        for status, content in batches:
            assert status == 200
            assert "degraded" not in content
            assert [one["user_id"] for one in content["answers"]] == list(range(USERS))
            assert {len(one["recs"]) for one in content["answers"]} == {K}


@pytest.mark.slow
def test_a_batch_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    """After its client has hung up, the rest of a batch is not worked on: its line in the log has status 499."""
    published(tmp_path)
    with running(tmp_path) as found:
        body = {"user_ids": list(range(1000)), "k": 1000}
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{found.url('recommendations')}/recommendations/batch", json=body, timeout=(5, 0.1))
        wait_until(lambda: '"route": "/recommendations/batch", "status": 499' in found.log("recommendations"), "the batch went on")


def test_long_work_leaves_the_loop_to_others() -> None:
    """Of ten that take turns each gets its results in order, and somebody with little to do is done long before them."""
    async def steps() -> None:
        turns, ended = Turns(), list[int]()

        def work(value: int) -> int:
            end = time.perf_counter() + 0.0005
            while time.perf_counter() < end:
                pass
            return 2 * value

        async def one(length: int) -> None:
            assert await turns.each(work, range(length)) == [2 * value for value in range(length)]
            ended.append(length)

        async with asyncio.TaskGroup() as group:
            for length in (200, 200, 200, 5):
                group.create_task(one(length))
            rounds = 0
            while len(ended) < 4:
                await asyncio.sleep(0)
                rounds += 1
        assert ended == [5, 200, 200, 200]
        assert rounds > 100
    asyncio.run(steps())


@pytest.mark.slow
def test_a_batch_counts_as_its_length(tmp_path: Path) -> None:
    """After one batch of 100 at 25 a second the client is refused and told to wait about as long as it takes to pay; so is a next one."""
    published(tmp_path)
    shown = {"user_id": 1, "item_id": 2, "source": "x", "position": 0}
    with running(tmp_path, MUSICREC_SERVICE_RATE_LIMIT="25") as found:
        for name, path, body in (("features", "/similar_items/batch", {"item_ids": list(range(100))}),
                                 ("events", "/get/batch", {"user_ids": list(range(100))}),
                                 ("events", "/impressions", {"impressions": [shown] * 100}),
                                 ("recommendations", "/recommendations/batch", {"user_ids": list(range(100))})):
            if path == "/impressions":
                time.sleep(4)  # until the batch before is paid off
            first, second = (requests.post(found.url(name) + path, json=body, timeout=10) for _ in range(2))
            assert first.status_code == 200, path
            assert second.status_code == 429, path
            assert 2 <= int(second.headers["Retry-After"]) <= 4, path
            assert "a batch counts as its length" in second.json()["detail"]
            assert requests.get(f"{found.url(name)}/ready", timeout=5).ok


@pytest.mark.slow
def test_invented_addresses_bring_no_new_limit(tmp_path: Path) -> None:
    """With uvicorn's own defaults 30 requests with 30 invented addresses are limited as one client, until the sender is trusted: then each
    client behind it has a limit of its own, and what it asks for itself is not limited."""
    def statuses(url: str, *forwarded: str) -> list[int]:
        return [requests.post(f"{url}/get?user_id=1", headers={"X-Forwarded-For": value} if value else {}, timeout=5).status_code
                for value in forwarded]

    invented = [f"203.0.113.{number}" for number in range(30)]
    for options in ((), ("--no-proxy-headers",)):
        with running_events(tmp_path, options, MUSICREC_SERVICE_RATE_LIMIT="2") as url:
            assert statuses(url, *invented).count(429) >= 20
            assert statuses(url, *(f"{address}:80" for address in invented)).count(429) >= 20
        with running_events(tmp_path, options, MUSICREC_SERVICE_RATE_LIMIT="2", MUSICREC_SERVICE_TRUSTED_ADDRESSES="127.0.0.0/8") as url:
            assert set(statuses(url, *invented)) == {200}
            assert statuses(url, *[f"{invented[0]}, 127.0.0.9"] * 30).count(429) >= 20
            # What a client writes in front of its own address, which the proxy adds, is not looked at.
            assert statuses(url, *(f"{address}, 198.51.100.1" for address in invented)).count(429) >= 20
            assert set(statuses(url, *[""] * 30)) == {200}


@contextlib.contextmanager
def running_events(root: Path, options: tuple[str, ...], **settings: str) -> Iterator[str]:
    """The address of an events service with options of uvicorn."""
    found = services(root, **settings)
    try:
        found.start("events", options=options)
        yield found.url("events")
    finally:
        for process in found.running.values():
            process.kill()
            process.wait()


@pytest.mark.parametrize(("peer", "forwarded", "trusted", "expected"), [
    ("9.9.9.9", None, "", "9.9.9.9"), ("9.9.9.9", "1.1.1.1", "", "9.9.9.9"), ("10.0.0.5", None, "10.0.0.0/8", None),
    ("10.0.0.5", "1.1.1.1", "10.0.0.0/8", "1.1.1.1"), ("10.0.0.5", "2.2.2.2, 1.1.1.1, 10.0.0.7", "10.0.0.0/8", "1.1.1.1"),
    ("10.0.0.5", "10.0.0.7", "10.0.0.0/8", None), ("10.0.0.5", "junk", "10.0.0.0/8", "junk"),
    # As uvicorn hands it on when it believes 127.0.0.1.
    ("1.1.1.1", "1.1.1.1", "", "untold"), ("10.0.0.5", "10.0.0.5", "10.0.0.0/8", "untold"), ("1.1.1.1", "1.1.1.1", "127.0.0.1", "1.1.1.1"),
    ("1.1.1.1", "[1.1.1.1]:8", "", "untold")])
def test_the_address_of_a_client(peer: str, forwarded: str | None, trusted: str, expected: str | None) -> None:
    """X-Forwarded-For counts from trusted addresses alone, from the right; what uvicorn took from it unasked does not."""
    scope = {"client": (peer, 1), "headers": [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]}
    found = client_address(scope, tuple(ip_network(one) for one in trusted.split()))
    assert (found if expected != "untold" else (found or "").startswith("behind a proxy")) == (expected if expected != "untold" else True)
