"""A bound on what comes before or after a body: uvicorn's fast parser takes request heads of any length, and keeps them in memory."""

from collections.abc import Callable
from typing import Any

MAX_HEAD = 64 * 1024


def bound_heads(protocol: type[Any]) -> None:
    """Let the HTTP protocol class of uvicorn answer 400 and hang up once it has taken MAX_HEAD bytes that brought no request forward.

    uvicorn's command line has no setting for this, and a program that is started as `uvicorn x:app` cannot hand it a class of its own.
    Bounding twice changes nothing.
    """
    if hasattr(protocol, "bytes_without_progress"):
        return
    protocol.bytes_without_progress = 0
    for name in ("on_headers_complete", "on_body", "on_message_complete"):
        setattr(protocol, name, _progress(getattr(protocol, name)))
    take = protocol.data_received

    def data_received(self: Any, data: bytes) -> None:
        self.bytes_without_progress += len(data)
        take(self, data)
        if self.bytes_without_progress > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The head of a request may have {MAX_HEAD} bytes.")

    protocol.data_received = data_received


def _progress(callback: Callable[..., None]) -> Callable[..., None]:
    def reached(self: Any, *arguments: bytes) -> None:
        self.bytes_without_progress = 0
        callback(self, *arguments)
    return reached
