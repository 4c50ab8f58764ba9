"""The contract of every storage, and errors of folders and S3 servers."""

import hashlib
import os
import resource
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from musicrec.errors import ArtifactError, StorageError
from musicrec.settings import s3_environment
from musicrec.storage import SMALL_BYTES, Storage, storage
from musicrec.storage.s3 import PART_BYTES
from tests.s3_server import S3Server, bad_line, free_port, s3_server


def test_what_was_written_is_read(place: Storage) -> None:
    """The bytes of the last write are read."""
    place.write("runs/1/a.txt", b"early")
    place.write("runs/1/a.txt", b"late")
    assert place.read("runs/1/a.txt") == b"late"


def test_an_empty_file_is_a_file(place: Storage, tmp_path: Path) -> None:
    """An empty file is downloaded as an empty file."""
    (tmp_path / "empty").write_bytes(b"")
    place.upload(tmp_path / "empty", "empty")
    place.download("empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_a_large_file_is_transferred_in_parts_and_reports_every_byte(place: Storage, tmp_path: Path) -> None:
    """A file of several parts is the same after upload and download, and the reported progress adds up to its size."""
    (tmp_path / "large").write_bytes(os.urandom(PART_BYTES * 2 + 12345))
    up, down = [], []
    place.upload(tmp_path / "large", "runs/1/large", up.append)
    place.download("runs/1/large", tmp_path / "new folder" / "large", down.append)
    assert _digest(tmp_path / "new folder" / "large") == _digest(tmp_path / "large")
    assert sum(up) == sum(down) == PART_BYTES * 2 + 12345


def test_read_is_for_small_things(place: Storage) -> None:
    """A megabyte is read; one byte more is an error that names the key."""
    place.write("small", b"x" * SMALL_BYTES)
    assert len(place.read("small")) == SMALL_BYTES
    place.write("large", b"x" * (SMALL_BYTES + 1))
    with pytest.raises(ArtifactError, match="large is damaged: it has more than 1,048,576 bytes"):
        place.read("large")


def test_keys_are_listed_in_order_and_by_prefix(place: Storage) -> None:
    """A prefix selects keys, not folders."""
    for key in ("runs/2/b", "runs/1/a", "runs/10/c", "current.json"):
        place.write(key, b"x")
    assert place.list() == ["current.json", "runs/1/a", "runs/10/c", "runs/2/b"]
    assert place.list("runs/1") == ["runs/1/a", "runs/10/c"]
    assert place.list("runs/1/") == ["runs/1/a"]
    assert place.list("nothing/") == []


def test_exists_means_exactly_this_key(place: Storage) -> None:
    """Neither a folder nor a longer key counts."""
    place.write("runs/1/a.txt", b"x")
    assert place.exists("runs/1/a.txt")
    assert not place.exists("runs/1")
    assert not place.exists("runs/1/a")


def test_a_deleted_key_is_gone_and_deleting_again_is_no_error(place: Storage) -> None:
    """Deleting a missing key is no error."""
    place.write("runs/1/a", b"x")
    place.delete("runs/1/a")
    place.delete("runs/1/a")
    assert place.list() == []


def test_a_missing_key_is_named(place: Storage, tmp_path: Path) -> None:
    """Reading a missing key raises an error that names it, and leaves no file."""
    place.write("runs/1/a", b"x")
    with pytest.raises(StorageError, match="runs/1/b"):
        place.read("runs/1/b")
    with pytest.raises(StorageError, match="runs/1/b"):
        place.download("runs/1/b", tmp_path / "b")
    assert not list(tmp_path.glob("b*"))


def test_a_missing_local_file_is_named(place: Storage, tmp_path: Path) -> None:
    """Uploading a missing file raises an error that names it, and stores nothing."""
    with pytest.raises(StorageError, match="no such file"):
        place.upload(tmp_path / "no such file", "runs/1/a")
    assert place.list() == []


def test_preflight_leaves_nothing_behind(place: Storage) -> None:
    """The test write is removed again."""
    place.preflight()
    assert place.list() == []


def test_a_folder_does_not_import_boto3() -> None:
    """Neither reading a folder nor creating an S3Storage imports boto3."""
    program = "import sys; from musicrec.storage import storage; storage('s3://a', {}); storage('artifacts', {}).list(); " \
              "print('boto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout == "False\n"


def test_an_unknown_scheme_is_refused() -> None:
    """The message names the scheme and what is known."""
    with pytest.raises(StorageError, match=r"gs://; use a folder or s3://"):
        storage("gs://bucket", {})


@pytest.mark.parametrize("key", ["", "/etc/x", "../x", "a/../../x"])
def test_no_key_leads_out_of_the_folder(key: str, tmp_path: Path) -> None:
    """A key outside the root raises StorageError."""
    with pytest.raises(StorageError, match="leads out"):
        storage(str(tmp_path), {}).write(key, b"x")


def test_a_file_in_the_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    """A location that is a file raises StorageError that names it."""
    (tmp_path / "published").write_text("not a folder")
    with pytest.raises(StorageError, match=r"published.* cannot be written"):
        storage(str(tmp_path / "published"), {}).preflight()


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    """When a copy fails in the middle, the earlier content stays, no partial file is left, and the message names the key."""
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    folder = storage(str(tmp_path / "published"), {})
    folder.write("a", b"earlier")
    assert "a cannot be written: File too large" in _under_a_limit(f"storage({str(tmp_path / 'published')!r}, {{}})"
                                                                    f".upload(Path({str(tmp_path / 'large')!r}), 'a')")
    assert folder.read("a") == b"earlier"
    assert os.listdir(tmp_path / "published") == ["a"]


def test_a_full_disk_at_the_reader_of_s3_is_one_sentence(server: S3Server, tmp_path: Path) -> None:
    """A download to a full disk raises StorageError and leaves no partial file."""
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    storage("s3://music/full", server.environment()).upload(tmp_path / "large", "a")
    said = _under_a_limit(f"storage('s3://music/full', {server.environment()!r}).download('a', Path({str(tmp_path / 'back')!r}))")
    assert "cannot be fetched" in said
    assert "File too large" in said
    assert not list(tmp_path.glob("back*"))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"AWS_ACCESS_KEY_ID": "stranger"}, "AWS_ACCESS_KEY_ID"),
    ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "AWS_SECRET_ACCESS_KEY"),
    ({"S3_ENDPOINT_URL": "not a url"}, "not a url"),
], ids=["unknown key", "wrong secret", "no url"])
def test_a_bad_variable_is_named(changes: dict[str, str], sentence: str, server: S3Server) -> None:
    """Preflight names the variable that is wrong."""
    with pytest.raises(StorageError, match=sentence):
        storage("s3://music", server.environment(**changes)).preflight()


def test_a_missing_bucket_is_named(server: S3Server) -> None:
    """Preflight and a plain write both name a bucket that is not there."""
    nowhere = storage("s3://nowhere", server.environment())
    for act in (nowhere.preflight, lambda: nowhere.write("a", b"x")):
        with pytest.raises(StorageError, match=r"s3://nowhere.*bucket"):
            act()


def test_a_server_that_is_not_running_is_named() -> None:
    """The message has the address."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StorageError, match=f"{endpoint} does not answer"):
        storage("s3://music", {"S3_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).preflight()


def test_a_location_without_bucket_takes_it_from_the_environment(server: S3Server) -> None:
    """The bucket of s3:///prefix is S3_BUCKET_NAME; without that the message names the variable."""
    assert storage("s3:///a/b", server.environment(S3_BUCKET_NAME="music")).location == "s3://music/a/b"
    with pytest.raises(StorageError, match="S3_BUCKET_NAME"):
        storage("s3:///a/b", server.environment())


def test_no_secret_is_shown(server: S3Server) -> None:
    """The repr of a storage has neither key nor secret."""
    shown = repr(storage("s3://music", server.environment()))
    assert "test-secret" not in shown
    assert "test-key-id" not in shown


class Signed(BaseHTTPRequestHandler):
    """Answers 404 to everything and keeps the headers of the requests."""

    asked: ClassVar[list[dict[str, str]]] = []

    def do_HEAD(self) -> None:
        """Keep the headers."""
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def test_temporary_keys_and_region_from_the_env_file_reach_the_server(tmp_path: Path) -> None:
    """Key, session token and region of .env are in the signature of a request to a server of one's own; a profile's keys as well."""
    (tmp_path / "keys").write_text("[team]\naws_access_key_id = of-the-team\naws_secret_access_key = x\naws_session_token = its-token\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), Signed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"S3_ENDPOINT_URL=http://127.0.0.1:{server.server_port}\n"
        keys = "AWS_ACCESS_KEY_ID=temporary\nAWS_SECRET_ACCESS_KEY=x\nAWS_SESSION_TOKEN=a-token\n"
        profile = f"AWS_PROFILE=team\nAWS_SHARED_CREDENTIALS_FILE={tmp_path / 'keys'}\n"
        for lines, key, token, region in ((keys + "AWS_REGION=ru-central1\n", "temporary", "a-token", "ru-central1"),
                                          (keys + "AWS_DEFAULT_REGION=eu-north-1\n", "temporary", "a-token", "eu-north-1"),
                                          (keys, "temporary", "a-token", "us-east-1"),
                                          (profile, "of-the-team", "its-token", "us-east-1")):
            (tmp_path / ".env").write_text(address + lines)
            assert not storage("s3://music", s3_environment(tmp_path / "config.ini", {})).exists("x")
            found = Signed.asked[-1]
            assert found["x-amz-security-token"] == token
            assert f"Credential={key}/" in found["authorization"]
            assert f"/{region}/s3/aws4_request" in found["authorization"]
        server.shutdown()


def test_a_server_on_this_machine_is_asked_without_a_proxy(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HTTP_PROXY set to an address where nobody listens, an S3 server at 127.0.0.1 is reached all the same."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    place = storage("s3://music/direct", server.environment())
    place.write("a", b"1")
    assert place.read("a") == b"1"


def test_a_server_killed_in_the_middle_of_an_upload_leaves_no_object(tmp_path: Path) -> None:
    """The upload raises StorageError, and after a restart the earlier object is read."""
    (tmp_path / "s3" / "music").mkdir(parents=True)
    (tmp_path / "large").write_bytes(os.urandom(PART_BYTES * 6))
    with s3_server(tmp_path / "s3") as running:
        there = storage("s3://music", running.environment())
        there.write("large", b"earlier")
        started = threading.Event()
        killer = threading.Thread(target=lambda: (started.wait(), running.process.kill()))
        killer.start()
        with pytest.raises(StorageError, match=r"large cannot be written from .*: http.* does not answer"):
            there.upload(tmp_path / "large", "large", lambda moved: started.set())
        killer.join()
    with s3_server(tmp_path / "s3") as running:
        assert storage("s3://music", running.environment()).read("large") == b"earlier"


def test_a_broken_connection_is_retried(server: S3Server, tmp_path: Path) -> None:
    """Parts whose connection was cut in the middle are transferred again, and the file is the same after upload and download."""
    (tmp_path / "large").write_bytes(os.urandom(PART_BYTES * 3))
    with bad_line(server.endpoint, cut_after=3_000_000, cuts=3) as address:
        storage("s3://music/broken", server.environment(S3_ENDPOINT_URL=address)).upload(tmp_path / "large", "large")
    with bad_line(server.endpoint, cut_after=3_000_000, cuts=3) as address:
        storage("s3://music/broken", server.environment(S3_ENDPOINT_URL=address)).download("large", tmp_path / "back")
    assert _digest(tmp_path / "back") == _digest(tmp_path / "large")


def test_a_connection_that_always_breaks_is_one_sentence(server: S3Server, tmp_path: Path) -> None:
    """After a few attempts the transfer raises StorageError, and no partial file is left."""
    (tmp_path / "large").write_bytes(os.urandom(PART_BYTES * 2))
    storage("s3://music/broken", server.environment()).upload(tmp_path / "large", "large")
    with bad_line(server.endpoint, cut_after=1_000_000, cuts=10**6) as address:
        place = storage("s3://music/broken", server.environment(S3_ENDPOINT_URL=address))
        with pytest.raises(StorageError, match=f"{address} "):
            place.download("large", tmp_path / "back")
        with pytest.raises(StorageError, match=f"{address} does not answer"):
            place.upload(tmp_path / "large", "again")
    assert not list(tmp_path.glob("back*"))
    assert not storage("s3://music/broken", server.environment()).exists("again")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _under_a_limit(expression: str) -> str:
    """The message of the StorageError of `expression`, where no file may be larger than a million bytes."""
    program = f"""
import resource, signal
from pathlib import Path
from musicrec.errors import StorageError
from musicrec.storage import storage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, {resource.RLIM_INFINITY}))
try:
    {expression}
except StorageError as cause:
    print(cause)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout
