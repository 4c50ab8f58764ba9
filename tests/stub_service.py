"""A service that misbehaves on purpose: a real HTTP server, because slowness and nonsense cannot be had from a healthy service."""

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BEHAVIOURS = ("slow", "status 500", "not json", "a list", "wrong types", "no keys", "hangs up")
_BODIES = {"not json": b"<html>", "a list": b"[1, 2]", "wrong types": b'{"events": ["a"], "similar": [{"item_id_2": [1], "score": []}]}',
           "no keys": b"{}", "status 500": b'{"detail": "broken"}',
           "well": b'{"similar": [{"item_id_2": [251, 252], "score": [0.9, 0.8]}]}'}


class Stub(ThreadingHTTPServer):
    """Answers every POST as `behaviour` says; `asked` counts the requests."""

    daemon_threads = True
    behaviour = "slow"
    asked = 0


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Stub

    def do_POST(self) -> None:
        """Misbehave."""
        self.server.asked += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.behaviour == "slow":
            time.sleep(5)
        if self.server.behaviour == "hangs up":
            self.close_connection = True
            return
        body = _BODIES.get(self.server.behaviour, b"{}")
        with contextlib.suppress(OSError):
            self.send_response(500 if self.server.behaviour == "status 500" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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
