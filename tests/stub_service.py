"""A service that misbehaves on purpose: a real HTTP server, because slowness and nonsense cannot be had from a healthy service."""

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOURS = ("slow", "status 500", "not json", "a list", "wrong types", "no keys", "hangs up", "too many", "redirects", "endless",
              "chunks")
_MANY = ", ".join(map(str, range(1, 500)))
_BODIES = {"too many": f'{{"events": [{_MANY}], "similar": [{{"item_id_2": [{_MANY}], "score": [{_MANY}]}}]}}'.encode(),
           "not json": b"<html>", "a list": b"[1, 2]", "wrong types": b'{"events": ["a"], "similar": [{"item_id_2": [1], "score": []}]}',
           "no keys": b"{}", "status 500": b'{"detail": "broken"}',
           "well": b'{"similar": [{"item_id_2": [251, 252], "score": [0.9, 0.8]}]}'}


class Stub(ThreadingHTTPServer):
    """Answers every POST as `behaviour` says; `asked` counts the requests, `redirected` holds the keys that came to the other address."""

    daemon_threads = True
    behaviour = "slow"
    asked = 0
    redirected: list[str | None] = []  # noqa: RUF012 - one server at a time


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Stub

    def do_POST(self) -> None:
        """Misbehave."""
        self.server.asked += 1
        if self.path == "/elsewhere":
            self.server.redirected.append(self.headers.get("X-API-Key"))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.behaviour == "slow":
            time.sleep(5)
        if self.server.behaviour == "hangs up":
            self.close_connection = True
            return
        body = _BODIES.get(self.server.behaviour, b"{}")
        status = {"status 500": 500, "redirects": 307}.get(self.server.behaviour, 200)
        with contextlib.suppress(OSError):
            self.send_response(status)
            if status == 307:
                self.send_header("Location", "/elsewhere")
            if self.server.behaviour in ("endless", "chunks"):
                self._send_200_mb(chunked=self.server.behaviour == "chunks")
                return
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _send_200_mb(self, chunked: bool) -> None:
        block = b" " * (1 << 20)
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(200 * len(block)))))
        self.end_headers()
        for _ in range(200):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def stub(port: int) -> Iterator[Stub]:
    """The server on `port`, running until the block ends."""
    server = Stub(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
