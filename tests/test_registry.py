"""Runs are published completely or not at all, damage is detected, and earlier runs can be made current."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec import registry
from musicrec.errors import ArtifactError, SchemaError, StorageError
from musicrec.registry import OPTIONAL, REQUIRED, RunInfo
from musicrec.storage import Storage, storage
from tests.commands import exit_code
from tests.s3_server import s3_server

INFO = RunInfo(settings={"split": {"test_start": "2022-12-16"}}, metrics={"als": {"recall@5": np.float32(0.5), "novelty": float("nan")}},
               findings=({"finding": "repeats", "count": np.int64(3)},), code_version="0.1.0+abc")


def run_folder(folder: Path, rows: int = 2) -> Path:
    """A folder with all required files and some optional ones, tables of `rows` empty rows."""
    folder.mkdir(exist_ok=True)
    for name, columns in {**REQUIRED, **OPTIONAL}.items():
        if columns is not None:
            pq.write_table(pa.table([pa.nulls(rows, kind) for kind in columns.arrow.types], schema=columns.arrow), folder / name)
    (folder / "recommendations_ub.json").write_text('{"user": 1, "tracks": [10]}\n' * rows)
    (folder / "other.txt").write_text("not to be published")
    return folder


def test_what_is_published_is_what_is_read(place: Storage, tmp_path: Path) -> None:
    """The manifest has settings, metrics, findings, code version, and bytes, checksum and rows of every file."""
    folder = run_folder(tmp_path / "made")
    run_id = registry.publish(place, folder, INFO)
    run = registry.current(place)
    assert run.run_id == run_id
    assert run.info.settings == INFO.settings
    assert run.info.metrics == {"als": {"recall@5": 0.5, "novelty": None}}
    assert run.info.findings == [{"finding": "repeats", "count": 3}]
    assert run.info.code_version == "0.1.0+abc"
    assert run.files["items.parquet"].rows == run.files["recommendations_ub.json"].rows == 2
    assert set(run.files) == {path.name for path in folder.iterdir()} - {"other.txt"}
    back = registry.fetch(place, None, run.files, tmp_path / "cache")
    for name, file in run.files.items():
        assert (back / name).read_bytes() == (folder / name).read_bytes()
        assert file.bytes == (folder / name).stat().st_size


def test_nothing_published_is_one_sentence(place: Storage, tmp_path: Path) -> None:
    """Where nothing is published, the message names a command that publishes."""
    with pytest.raises(ArtifactError, match=r"nothing is published at .*make demo"):
        registry.fetch(place, None, ["items.parquet"], tmp_path / "cache")


@pytest.mark.parametrize("missing", REQUIRED)
def test_an_incomplete_folder_is_refused(missing: str, tmp_path: Path) -> None:
    """Each required file is named when it is missing, and nothing is written."""
    folder, place = run_folder(tmp_path / "made"), storage(str(tmp_path / "published"), {})
    (folder / missing).unlink()
    with pytest.raises(ArtifactError, match=missing):
        registry.publish(place, folder, INFO)
    assert place.list() == []


def test_what_an_earlier_run_left_in_the_folder_is_not_published(tmp_path: Path) -> None:
    """An optional file that is older than items.parquet belongs to another run."""
    folder, place = run_folder(tmp_path / "made"), storage(str(tmp_path / "published"), {})
    (folder / "als_model.npz").write_bytes(b"of other logs")
    os.utime(folder / "als_model.npz", (0, 0))
    (folder / "cb_model.cbm").write_bytes(b"of these logs")
    registry.publish(place, folder, INFO)
    assert "als_model.npz" not in registry.current(place).files
    assert "cb_model.cbm" in registry.current(place).files


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    """A table without a required column raises SchemaError, and nothing is published."""
    folder, place = run_folder(tmp_path / "made"), storage(str(tmp_path / "published"), {})
    pq.write_table(pa.table({"user_id": pa.array([1], pa.int32())}), folder / "recommendations.parquet")
    with pytest.raises(SchemaError, match=r"recommendations\.parquet has no column 'item_id'"):
        registry.publish(place, folder, INFO)
    assert place.list() == []


def test_a_truncated_table_is_refused(tmp_path: Path) -> None:
    """A truncated parquet file raises ArtifactError before anything is written."""
    folder, place = run_folder(tmp_path / "made"), storage(str(tmp_path / "published"), {})
    whole = (folder / "similar.parquet").read_bytes()
    (folder / "similar.parquet").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(ArtifactError, match=r"similar\.parquet is not a complete parquet file"):
        registry.publish(place, folder, INFO)
    assert place.list() == []


def test_earlier_runs_stay_and_can_be_made_current(place: Storage, tmp_path: Path) -> None:
    """Runs are listed by time; rolling back swaps the pointer and nothing else."""
    first = registry.publish(place, run_folder(tmp_path / "made", 1), INFO, datetime(2022, 1, 1, tzinfo=UTC))
    second = registry.publish(place, run_folder(tmp_path / "made", 2), INFO, datetime(2022, 1, 2, tzinfo=UTC))
    assert registry.runs(place) == [first, second]
    assert registry.current(place).run_id == second
    registry.rollback(place, first)
    assert registry.current(place).run_id == first
    assert registry.runs(place) == [first, second]
    assert registry.current(place).files["items.parquet"].rows == 1


def test_rolling_back_to_an_unknown_or_incomplete_run_is_refused(place: Storage, tmp_path: Path) -> None:
    """The pointer stays where it was."""
    first = registry.publish(place, run_folder(tmp_path / "made"), INFO, datetime(2022, 1, 1, tzinfo=UTC))
    second = registry.publish(place, run_folder(tmp_path / "made"), INFO)
    place.delete(f"runs/{first}/items.parquet")
    with pytest.raises(ArtifactError, match=r"lacks items\.parquet"):
        registry.rollback(place, first)
    with pytest.raises(ArtifactError, match=f"run nonsense is not at .*; there are {first}, {second}"):
        registry.rollback(place, "nonsense")
    assert registry.current(place).run_id == second


def test_a_missing_file_is_named(place: Storage, tmp_path: Path) -> None:
    """A file that is missing in the storage, and a file that is not in the manifest, have different messages."""
    run_id = registry.publish(place, run_folder(tmp_path / "made"), INFO)
    place.delete(f"runs/{run_id}/similar.parquet")
    with pytest.raises(ArtifactError, match=r"similar\.parquet is missing"):
        registry.fetch(place, None, ["similar.parquet"], tmp_path / "cache")
    with pytest.raises(ArtifactError, match=r"has no file cb_model\.cbm; it has items\.parquet"):
        registry.fetch(place, None, ["cb_model.cbm"], tmp_path / "cache")


@pytest.mark.parametrize("place_of_change", [0.0, 0.5, 0.99])
def test_a_changed_byte_is_noticed(place: Storage, place_of_change: float, tmp_path: Path) -> None:
    """One changed byte raises ArtifactError that names the file; the repaired file is read again."""
    run_id = registry.publish(place, run_folder(tmp_path / "made"), INFO)
    key = f"runs/{run_id}/recommendations.parquet"
    content = bytearray(place.read(key))
    content[int(len(content) * place_of_change)] ^= 1
    place.write(key, bytes(content))
    for _ in range(2):
        with pytest.raises(ArtifactError, match=r"recommendations\.parquet is damaged"):
            registry.fetch(place, None, ["recommendations.parquet"], tmp_path / "cache")
    place.upload(tmp_path / "made" / "recommendations.parquet", key)
    registry.fetch(place, None, ["recommendations.parquet"], tmp_path / "cache")


def test_a_file_changed_after_it_was_checked_is_noticed(place: Storage, tmp_path: Path) -> None:
    """The second fetch skips the check only while the file is unchanged."""
    registry.publish(place, run_folder(tmp_path / "made"), INFO)
    folder = registry.fetch(place, None, ["items.parquet"], tmp_path / "cache")
    checked = (folder / "items.parquet").stat().st_mtime_ns
    registry.fetch(place, None, ["items.parquet"], tmp_path / "cache")
    content = bytearray((folder / "items.parquet").read_bytes())
    content[40] ^= 1
    (folder / "items.parquet").write_bytes(content)
    os.utime(folder / "items.parquet", ns=(checked + 1, checked + 1))
    with pytest.raises(ArtifactError, match=r"items\.parquet is damaged"):
        registry.fetch(place, None, ["items.parquet"], tmp_path / "cache")


@pytest.mark.parametrize(("content", "sentence"), [
    (b"{ half", "is damaged: it is not JSON"), (b"[]", "is of format None"),
    (b'{"format": 99, "run_id": "x"}', "is of format 99, this version reads format 1"),
    (b'{"format": 1}', "is damaged: it"), (b"[" * 500_000, "is damaged: it is not JSON"),
    (b"x" * (1 << 20) + b"y", "more than 1,048,576 bytes"),
    (b'{"format": "' + b"x" * 1000 + b'"}', "is of format x{20},"), (b'{"format": 1, "run_id": 7}', "is damaged: it has no valid run_id"),
], ids=["not json", "no object", "foreign format", "no run", "nested", "large", "long format", "number for a run"])
@pytest.mark.parametrize("key", ["pointer", "manifest"])
def test_a_damaged_or_foreign_manifest_or_pointer_is_one_sentence(key: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    """Truncated JSON, JSON of another type and another format have different messages."""
    place = storage(str(tmp_path / "published"), {})
    run_id = registry.publish(place, run_folder(tmp_path / "made"), INFO)
    place.write(registry.CURRENT if key == "pointer" else f"runs/{run_id}/manifest.json", content)
    with pytest.raises(ArtifactError, match=sentence):
        registry.current(place)


@pytest.mark.parametrize("run_id", ["", ".", "..", "../x", "a/b", "a b", "x" * 65, "\N{SNOWMAN}", "a\n", "\0"])
def test_a_run_id_that_could_be_no_folder_is_refused(run_id: str, place: Storage, tmp_path: Path) -> None:
    """Run ids other than up to 64 letters, digits, dots, dashes and underscores are refused, as arguments and in the pointer."""
    registry.publish(place, run_folder(tmp_path / "made"), INFO)
    with pytest.raises(ArtifactError, match="is not at"):
        registry.rollback(place, run_id)
    place.write(registry.CURRENT, json.dumps({"format": 1, "run_id": run_id}).encode())
    with pytest.raises(ArtifactError, match=r"current\.json is damaged: it has no valid run_id \("):
        registry.current(place)


@pytest.mark.parametrize(("field", "value"), [
    ("created_at", "yesterday"), ("created_at", 5), ("created_at", "2022-01-01T00:00:00"), ("run_id", "another"), ("info", []),
    ("info", {"settings": 1}), ("files", {"items.parquet": {"bytes": 1, "sha256": 7, "rows": 1}}),
    ("files", {"items.parquet": {"bytes": -1, "sha256": "0" * 64, "rows": 1}}), ("files", {"items.parquet": {"bytes": 1}}),
    ("files", {"../../items.parquet": {"bytes": 1, "sha256": "0" * 64, "rows": 1}}), ("files", None),
])
def test_a_manifest_is_checked_field_by_field(field: str, value: object, tmp_path: Path) -> None:
    """An invalid date, a checksum that is a number, a file outside the run and the like are damage, and the message names the field."""
    place = storage(str(tmp_path / "published"), {})
    key = f"runs/{registry.publish(place, run_folder(tmp_path / 'made'), INFO)}/manifest.json"
    place.write(key, json.dumps({**json.loads(place.read(key)), field: value}).encode())
    with pytest.raises(ArtifactError, match=rf"manifest\.json is damaged: it .*{'run another' if field == 'run_id' else field}") as told:
        registry.current(place)
    assert "\n" not in str(told.value)


def test_a_manifest_larger_than_readers_accept_is_not_published(tmp_path: Path) -> None:
    """A manifest above the limit raises ArtifactError before anything is written."""
    place = storage(str(tmp_path / "published"), {})
    with pytest.raises(ArtifactError, match=r"the manifest .* would have 1,\d{3},\d{3} bytes"):
        registry.publish(place, run_folder(tmp_path / "made"), RunInfo({"long": "x" * (1 << 20)}))
    assert place.list() == []


def test_publishing_killed_in_the_middle_leaves_the_earlier_run(tmp_path: Path) -> None:
    """After kill -9 during the copy the earlier run is current, and the partial run is not among the runs."""
    place = storage(str(tmp_path / "published"), {})
    first = registry.publish(place, run_folder(tmp_path / "made"), INFO)
    (tmp_path / "made" / "als_model.npz").write_bytes(b"x" * 200_000_000)
    program = f"""
from pathlib import Path
from musicrec import registry
from musicrec.storage import storage
registry.publish(storage({str(tmp_path / 'published')!r}, {{}}), Path({str(tmp_path / 'made')!r}), registry.RunInfo({{}}))
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    while process.poll() is None and not list((tmp_path / "published").glob("runs/*/als_model.npz.*")):
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert registry.current(place).run_id == first
    assert registry.runs(place) == [first]


def test_publishing_interrupted_in_the_middle_removes_what_it_sent(tmp_path: Path) -> None:
    """After Ctrl-C the earlier run is current, and no file of the new one is left."""

    class Interrupted:
        """A folder whose third upload is interrupted by the user."""

        def __init__(self, inner: Storage) -> None:
            self.inner, self.left = inner, 3

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def upload(self, local: Path, key: str, progress: object = None) -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            self.inner.upload(local, key)

    place = storage(str(tmp_path / "published"), {})
    first = registry.publish(place, run_folder(tmp_path / "made"), INFO)
    before = place.list()
    with pytest.raises(KeyboardInterrupt):
        registry.publish(Interrupted(place), tmp_path / "made", INFO)  # type: ignore[arg-type]
    assert place.list() == before
    assert registry.current(place).run_id == first


class Overtaken:
    """A storage in which `meanwhile` happens just before the manifest of the next run is written."""

    def __init__(self, inner: Storage, meanwhile: Callable[[], object]) -> None:
        self.inner, self.meanwhile = inner, meanwhile

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def write(self, key: str, content: bytes) -> None:
        """Somebody else acts first."""
        if key.endswith("manifest.json"):
            self.meanwhile()
        self.inner.write(key, content)


@pytest.mark.parametrize("what", ["a rollback", "another publisher", "nothing"])
def test_a_choice_made_while_publishing_is_not_overwritten(what: str, place: Storage, tmp_path: Path,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    """The run that was made current meanwhile stays so; the new one is complete, and one warning says how to make it current."""
    first, second = (registry.publish(place, run_folder(tmp_path / "made"), INFO, datetime(2022, 1, day, tzinfo=UTC)) for day in (1, 2))
    others: dict[str, Callable[[], object]] = {
        "a rollback": lambda: registry.rollback(place, first),
        "another publisher": lambda: registry.publish(place, tmp_path / "made", INFO, datetime(2022, 1, 3, tzinfo=UTC)),
        "nothing": lambda: None}
    third = registry.publish(Overtaken(place, others[what]), tmp_path / "made", INFO)  # type: ignore[arg-type]
    assert third in registry.runs(place)
    assert second in registry.runs(place)
    if what == "nothing":
        assert (registry.current(place).run_id, caplog.messages) == (third, [])
        return
    chosen = registry.current(place).run_id
    assert chosen == (first if what == "a rollback" else registry.runs(place)[2])
    (said,) = caplog.messages
    assert f"because {chosen} was made current meanwhile; to make it current: musicrec runs rollback {third}" in said
    registry.rollback(place, third)
    assert registry.current(place).run_id == third


def test_a_server_killed_while_publishing_leaves_the_earlier_run(tmp_path: Path) -> None:
    """Publishing raises StorageError; after a restart of the server the earlier run is read."""
    (tmp_path / "s3" / "music").mkdir(parents=True)
    with s3_server(tmp_path / "s3") as running:
        place = storage("s3://music/app", running.environment())
        first = registry.publish(place, run_folder(tmp_path / "made"), INFO)
        running.process.kill()
        running.process.wait()
        with pytest.raises(StorageError, match="does not answer"):
            registry.publish(place, tmp_path / "made", INFO)
    with s3_server(tmp_path / "s3") as running:
        place = storage("s3://music/app", running.environment())
        assert registry.current(place).run_id == first
        registry.fetch(place, None, REQUIRED, tmp_path / "cache")


def test_a_reader_sees_complete_runs_while_another_publishes(place: Storage, tmp_path: Path) -> None:
    """At any time, the files that a reader gets are complete and of one run."""
    folders = [run_folder(tmp_path / f"made{rows}", rows) for rows in (1, 2)]
    registry.publish(place, folders[0], INFO)
    done = threading.Event()

    def publisher() -> None:
        for turn in range(6):
            registry.publish(place, folders[turn % 2], INFO)
        done.set()

    thread = threading.Thread(target=publisher)
    thread.start()
    seen = set()
    while not done.is_set():
        run = registry.current(place)
        folder = registry.fetch(place, run.run_id, REQUIRED, tmp_path / "cache")
        assert {pq.read_metadata(folder / name).num_rows for name in REQUIRED} == {run.files["items.parquet"].rows}
        seen.add(run.run_id)
    thread.join()
    assert len(seen) > 1


def test_the_manifest_is_standard_json(tmp_path: Path) -> None:
    """The manifest has no NaN, so that any JSON parser reads it."""
    place = storage(str(tmp_path / "published"), {})
    run_id = registry.publish(place, run_folder(tmp_path / "made"), INFO)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    raw = json.loads(place.read(f"runs/{run_id}/manifest.json"), parse_constant=refuse)
    assert raw["info"]["metrics"]["als"]["novelty"] is None


def four_runs(place: Storage, folder: Path) -> list[str]:
    """Four runs of four days, the last one current."""
    return [registry.publish(place, run_folder(folder), INFO, datetime(2022, 1, day, tzinfo=UTC)) for day in range(1, 5)]


@pytest.mark.parametrize(("keep", "gone"), [(5, []), (4, []), (3, []), (2, [1]), (1, [1, 2]), (0, [1, 2, 3])])
def test_pruning_keeps_the_latest_and_the_current_run(keep: int, gone: list[int], place: Storage, tmp_path: Path) -> None:
    """Of four runs, the first one current, all but the latest `keep` are removed with their files; a dry run returns the same ids."""
    whole = four_runs(place, tmp_path / "made")
    registry.rollback(place, whole[0])
    before, wanted = place.list(), [whole[number] for number in gone]
    assert registry.prune(place, keep, dry_run=True) == wanted
    assert place.list() == before
    assert registry.prune(place, keep) == wanted
    assert place.list() == [key for key in before if key.split("/")[1:2] not in [[run_id] for run_id in wanted]]


def test_pruning_removes_only_files_of_complete_runs(place: Storage, tmp_path: Path) -> None:
    """Partial runs, folders and manifests of other programs, damaged runs and other files within an old run stay unchanged."""
    first, second, third, _ = four_runs(place, tmp_path / "made")
    place.delete(f"runs/{second}/items.parquet")
    others = {"runs/20211231T000000Z-killed/items.parquet": b"half published", "runs/2019-thesis/data.parquet": b"not ours",
              "runs/model/manifest.json": b'{"name": "of another program"}', "runs/a.txt": b"a note", f"runs/{first}/why.md": b"kept",
              "runs/large/manifest.json": b" " * 2_000_000,
              "runs/copy/manifest.json": place.read(f"runs/{third}/manifest.json"), "runs/deep/er/manifest.json": b"{}"}
    for key, content in others.items():
        place.write(key, content)
    assert registry.prune(place, 1) == [first, third]
    for key, content in others.items():
        place.download(key, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
    assert f"runs/{second}/similar.parquet" in place.list()
    assert place.list(f"runs/{first}/") == [f"runs/{first}/why.md"]


def test_pruning_removes_nothing_without_a_readable_pointer(place: Storage, tmp_path: Path) -> None:
    """A damaged pointer, and a negative number to keep, raise ArtifactError."""
    four_runs(place, tmp_path / "made")
    before = place.list()
    with pytest.raises(ArtifactError, match="-1 runs cannot be kept"):
        registry.prune(place, -1)
    place.write(registry.CURRENT, b"{ half")
    with pytest.raises(ArtifactError, match=r"current\.json is damaged"):
        registry.prune(place, 1)
    assert place.list() == before


def test_the_command_line_lists_checks_and_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    """Each command prints what it did; a changed byte is found although the file was checked before."""
    (tmp_path / "config.ini").write_text(Path("config.ini").read_text())
    monkeypatch.chdir(tmp_path)
    place = storage("artifacts", {})
    first = registry.publish(place, run_folder(tmp_path / "made"), INFO, datetime(2022, 1, 1, tzinfo=UTC))
    second = registry.publish(place, tmp_path / "made", INFO, datetime(2022, 1, 2, tzinfo=UTC))
    assert exit_code("runs", "rollback", first) == exit_code("runs", "list") == exit_code("runs", "check") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{first} is the current run at artifacts; services take it up within [service] poll_s seconds."
    assert said[1].startswith(f"* {first}  2022-01-01T00:00:00+00:00")
    assert said[2].startswith(f"  {second}")
    assert said[3] == f"artifacts can be written, and the {len(registry.manifest(place, first).files)} files of run {first} are whole."
    path = tmp_path / "artifacts" / "runs" / first / "items.parquet"
    moment, content = path.stat().st_mtime_ns, bytearray(path.read_bytes())
    content[9] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(moment, moment))
    assert exit_code("runs", "check") == 1
    assert "items.parquet is damaged" in capsys.readouterr().err
    place.write("runs/thesis/data.parquet", b"not ours")
    for arguments in (("prune", "--keep", "0", "--dry-run"), ("prune", "--keep", "0"), ("list",)):
        assert exit_code("runs", *arguments) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f"Would remove {second}.", f"Removed {second}."]
    assert said[-1] == "Not whole, or not ours; prune leaves them alone: thesis"
    assert exit_code("runs", "rollback", "never") == 1
    assert capsys.readouterr().err == f"run never is not at artifacts; there are {first}.\n"
