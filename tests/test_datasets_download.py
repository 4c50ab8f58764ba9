"""Downloads from a local server, which closes connections, ignores ranges, redirects or does not have the file."""

import errno
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.cli import main
from musicrec.datasets.download import fetch
from musicrec.datasets.public import PUBLIC, PublicName, RemoteFile
from musicrec.errors import SourceError
from musicrec.sources import SOURCES
from musicrec.sources.columns import Columns

TSV = "userid-timestamp-artid-artname-traid-traname.tsv"


class Server(ThreadingHTTPServer):
    """Serves `files`; closes the connection after `cut` bytes, and supports ranges where knows_ranges is set.

    /hub/NAME redirects to /NAME with the headers `linked`, as Hugging Face does.
    """

    cut, knows_ranges = 10**9, True
    files: Mapping[str, bytes]
    linked: Mapping[str, str]
    ranges: list[str]

    def url(self, name: str = "f.parquet") -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        folder, _, name = self.path.rpartition("/")
        if folder == "/hub":
            self.send_response(302)
            for header, value in {"Location": f"/{name}", **self.server.linked}.items():
                self.send_header(header, value)
            self.end_headers()
            return
        if name not in self.server.files:
            self.send_error(404)
            return
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        body = self.server.files[name]
        start = int(asked.removeprefix("bytes=").rstrip("-")) if self.server.knows_ranges else 0
        if start and start >= len(body):
            self.send_error(416)
            return
        part = body[start:]
        self.send_response(206 if self.server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: self.server.cut])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def serving(files: Mapping[str, bytes], cut: int = 10**9, knows_ranges: bool = True, tag: str = "") -> Iterator[Server]:
    """A running server. tag: the X-Linked-ETag of /hub."""
    with Server(("127.0.0.1", 0), _Handler) as server:
        server.files, server.cut, server.knows_ranges, server.ranges = files, cut, knows_ranges, []
        server.linked = {"X-Linked-ETag": f'"{tag}"'}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A parquet file of about 4 MB."""
    path = tmp_path_factory.mktemp("served") / "f.parquet"
    pq.write_table(pa.table({"x": np.random.default_rng(0).random(500_000)}), path)
    return path.read_bytes()


def checksum(content: bytes, algorithm: str = "sha256") -> str:
    """As RemoteFile has it."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def tar_gz(members: Mapping[str, bytes]) -> bytes:
    """An archive with these files, whatever their names, and a link that leads out of it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        link = tarfile.TarInfo("plays.tsv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize("known", [True, False])
def test_a_broken_connection_is_resumed(tmp_path: Path, body: bytes, known: bool) -> None:
    """The file is complete although every response ends after 1.5 MB, and each request resumes within 64 KB of the break."""
    cut = 1_500_000
    with serving({"f.parquet": body}, cut) as server:
        [path] = fetch(tmp_path, [RemoteFile(server.url(), len(body) if known else None)])
    assert path.read_bytes() == body
    starts = [int(asked[6:-1]) for asked in server.ranges]
    assert all(cut - 65536 < step <= cut for step in np.diff(starts))
    assert names(tmp_path) == ["f.parquet"]


def test_a_later_call_resumes_from_the_partial_file(tmp_path: Path, body: bytes) -> None:
    """The bytes of an interrupted download are not requested again, nor is a complete file."""
    (tmp_path / "f.parquet.part").write_bytes(body[:1000])
    with serving({"f.parquet": body}) as server:
        for _ in range(2):
            fetch(tmp_path, [RemoteFile(server.url())])
    assert server.ranges == ["bytes=1000-"]
    assert (tmp_path / "f.parquet").read_bytes() == body


def test_a_server_without_ranges_starts_over(tmp_path: Path, body: bytes) -> None:
    """A response that begins at 0 replaces the partial file instead of being appended."""
    (tmp_path / "f.parquet.part").write_bytes(b"old")
    with serving({"f.parquet": body}, knows_ranges=False) as server:
        fetch(tmp_path, [RemoteFile(server.url(), len(body))])
    assert (tmp_path / "f.parquet").read_bytes() == body


def test_a_partial_file_that_is_longer_than_the_file_is_started_over(tmp_path: Path, body: bytes) -> None:
    """What the server cannot continue is not the beginning of its file."""
    (tmp_path / "f.parquet.part").write_bytes(body + b"more")
    with serving({"f.parquet": body}) as server:
        fetch(tmp_path, [RemoteFile(server.url())])
    assert (tmp_path / "f.parquet").read_bytes() == body


def test_another_size_is_refused(tmp_path: Path, body: bytes) -> None:
    """A file of another size never appears under its name."""
    with serving({"f.parquet": body}) as server, pytest.raises(SourceError, match="expected 1000"):
        fetch(tmp_path, [RemoteFile(server.url(), 1000)])
    assert names(tmp_path) == []


def test_another_checksum_is_refused(tmp_path: Path, body: bytes) -> None:
    """A file with another checksum than the expected one never appears under its name, and the next call starts over."""
    with serving({"f.parquet": body}) as server, pytest.raises(SourceError, match=r"f\.parquet does not have the SHA256 "):
        fetch(tmp_path, [RemoteFile(server.url(), None, checksum(b"other"))])
    assert names(tmp_path) == []


def test_the_checksum_that_a_redirect_announces_is_verified(tmp_path: Path, body: bytes) -> None:
    """64 hex digits of X-Linked-ETag are the SHA-256 of the file behind it; anything else says nothing."""
    right, wrong = checksum(body)[7:], checksum(b"other")[7:]
    for tag in (right, right[:40]):
        with serving({"f.parquet": body}, tag=tag) as server:
            [path] = fetch(tmp_path / tag, [RemoteFile(server.url("hub/f.parquet"))])
        assert path.read_bytes() == body
    with serving({"f.parquet": body}, tag=wrong) as server, pytest.raises(SourceError, match=wrong):
        fetch(tmp_path / "wrong", [RemoteFile(server.url("hub/f.parquet"))])


def test_bytes_that_are_no_parquet_are_refused(tmp_path: Path) -> None:
    """A response of the right size that is not parquet never appears under its name."""
    with serving({"f.parquet": b"<html>not today</html>"}) as server, pytest.raises(SourceError, match="complete"):
        fetch(tmp_path, [RemoteFile(server.url(), 22)])
    assert names(tmp_path) == []


def test_a_missing_file_is_an_error(tmp_path: Path, body: bytes) -> None:
    """404 raises SourceError with the address, and what is there of the file stays."""
    (tmp_path / "g.parquet.part").write_bytes(body[:1000])
    with serving({}) as server, pytest.raises(SourceError, match=r"g\.parquet answers 404"):
        fetch(tmp_path, [RemoteFile(server.url("g.parquet"), 5000)])
    assert names(tmp_path) == ["g.parquet.part"]


def test_no_network_is_an_error(tmp_path: Path) -> None:
    """A server that does not answer raises SourceError that says what to do, and what is there of the file stays."""
    (tmp_path / "f.parquet.part").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="check the network"):
        fetch(tmp_path, [RemoteFile("http://127.0.0.1:9/f.parquet", 5)])
    assert names(tmp_path) == ["f.parquet.part"]


def test_a_full_disk_is_an_error(tmp_path: Path, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises SourceError that says so, and a call with more space needs no network for an archive that is there."""
    content = b"a\tb\n" * 1000
    file = RemoteFile("http://127.0.0.1:9/f.tar.gz", None, None, {"plays.tsv": checksum(content, "md5")})
    (tmp_path / "f.tar.gz").write_bytes(tar_gz({"x/plays.tsv": content}))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("musicrec.datasets.download.shutil.copyfileobj", full)
        with pytest.raises(SourceError, match="No space left on device; free space"):
            fetch(tmp_path, [file])
    assert fetch(tmp_path, [file]) == [tmp_path / "plays.tsv"]
    assert (tmp_path / "plays.tsv").read_bytes() == content


@pytest.mark.parametrize("inside", ["data/plays.tsv", "../plays.tsv", "/plays.tsv"])
@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_only_the_needed_file_of_an_archive_is_unpacked(tmp_path: Path, form: str, inside: str) -> None:
    """It lies in the folder, whatever path or link the archive has; the archive is gone, and a later call asks nothing."""
    content, folder = b"ann\tlarks\n" * 1000, tmp_path / "logs"
    members = {"readme.txt": b"hello", inside: content}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for name, text in members.items():
            target.writestr(name, text)
    served = archive.getvalue() if form == "zip" else tar_gz(members)
    with serving({f"f.{form}": served}) as server:
        file = RemoteFile(server.url(f"f.{form}"), None, checksum(served, "md5"), {"plays.tsv": checksum(content, "md5")})
        found = [fetch(folder, [file]) for _ in range(2)]
    assert server.ranges == ["bytes=0-"]
    assert found == [[folder / "plays.tsv"]] * 2
    assert (folder / "plays.tsv").read_bytes() == content
    assert names(folder) == ["plays.tsv"]
    assert names(tmp_path) == ["logs"]


@pytest.mark.parametrize(("served", "said"), [
    (tar_gz({"plays.tsv": b"other"}), "plays.tsv in .* does not have the MD5"), (tar_gz({"notes.txt": b""}), "does not contain plays.tsv"),
    (tar_gz({"plays.tsv": bytes(range(256)) * 500})[:-30], "did not arrive complete"), (b"<html>", "did not arrive complete")])
def test_an_archive_with_another_content_is_refused(tmp_path: Path, served: bytes, said: str) -> None:
    """Neither its file nor the archive stays."""
    with serving({"f.tar.gz": served}) as server, pytest.raises(SourceError, match=said):
        fetch(tmp_path, [RemoteFile(server.url("f.tar.gz"), None, None, {"plays.tsv": checksum(b"right", "md5")})])
    assert not {"plays.tsv", "f.tar.gz"} & set(names(tmp_path))


def test_every_public_set_is_complete() -> None:
    """Each name has an entry, which says licence and terms and is read by a source that exists; the names of its files are unique."""
    assert set(PUBLIC) == set(get_args(PublicName))
    for logs in PUBLIC.values():
        assert logs.source in SOURCES
        assert logs.licence
        assert logs.terms.startswith("https://")
        assert logs.files or logs.note
        files = [file.name for file in logs.files]
        assert len(set(files)) == len(files)
        for known in [*(file.checksum for file in logs.files), *(of for file in logs.files for of in file.members.values())]:
            assert known is None or len(known) == {"md5": 36, "sha256": 71}[known.partition(":")[0]]


def test_the_list_shows_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    """With its size, licence, source and terms in one line."""
    with pytest.raises(SystemExit) as end:
        main(["datasets", "list"])
    assert not end.value.code
    lines = capsys.readouterr().out.splitlines()
    for name, logs in PUBLIC.items():
        [line] = [line for line in lines if line.startswith(f"{name} ")]
        assert all(text in line for text in (logs.size, logs.licence, logs.source, logs.terms))


def test_download_takes_the_files_from_another_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not the published archive of Last.fm-1K is refused in one sentence, and nothing but the licence is printed before."""
    with serving({"lastfm-dataset-1K.tar.gz": tar_gz({f"x/{TSV}": b"other"})}) as server, pytest.raises(SystemExit) as end:
        main(["datasets", "download", "lastfm-1k", "--out", str(tmp_path / "logs"), "--address", server.url("")])
    said = capsys.readouterr()
    assert end.value.code == 1
    assert said.err.count("\n") == 1
    assert "does not have the MD5 a79a6808f54f73354789a9fb02cb1e41" in said.err
    assert said.out == "Licence: non-commercial; terms: https://zenodo.org/records/6090214\n"


@pytest.mark.parametrize(("command", "said"), [
    (["yambda-50m", "--address", "http://127.0.0.1:9"], "check the network"), (["listenbrainz"], "data.metabrainz.org")])
def test_download_says_in_one_sentence_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str],
                                                         said: str) -> None:
    """Without a network, and for a set that has no files, stderr has one line and the exit code is 1."""
    with pytest.raises(SystemExit) as end:
        main(["datasets", "download", *command, "--out", str(tmp_path / "logs")])
    err = capsys.readouterr().err
    assert end.value.code == 1
    assert err.count("\n") == 1
    assert said in err


def test_the_tags_of_hetrec_are_read_by_source_columns(tmp_path: Path) -> None:
    """A file in their form, times in milliseconds, becomes one play of an artist for each moment at which a user tagged it."""
    tags = [(2, 52, 13, 1238536800000), (2, 52, 15, 1238536800000), (2, 63, 13, 1238536800000), (3, 52, 13, 1241128800000)]
    (tmp_path / "user_taggedartists-timestamps.dat").write_text(
        "userID\tartistID\ttagID\ttimestamp\r\n" + "".join("\t".join(map(str, row)) + "\r\n" for row in tags), encoding="utf-8")
    tables = Columns(tmp_path, "user_taggedartists-timestamps.dat", "\\t", user="userID", track="artistID", started_at="timestamp",
                     work=tmp_path / "work").read(ibis.duckdb.connect())
    plays = tables.interactions.to_pyarrow().column("started_at").to_pylist()
    assert sorted(f"{moment:%Y-%m-%d %X}" for moment in plays) == ["2009-03-31 22:00:00"] * 2 + ["2009-04-30 22:00:00"]
