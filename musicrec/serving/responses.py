"""What every service answers with: JSON, and failures as HTTP."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from musicrec.errors import MusicRecError
from musicrec.serving.logs import log
from musicrec.serving.parameters import Refused


class Failure(BaseModel):
    """Why there is no answer."""

    detail: str


class Reason(BaseModel):
    """One parameter that cannot be used."""

    loc: list[str]
    msg: str
    input: str | None


class Refusal(BaseModel):
    """Why the request cannot be answered as asked."""

    detail: list[Reason]


class JsonResponse(Response):
    """A JSON response of bytes that are ready: Starlette's own looks at each header for every answer."""

    def __init__(self, body: bytes, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if headers:
            self.raw_headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def answer(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; NaN and infinity become null."""
    return JsonResponse(to_json(content), status, headers)


def failed(request: Request, cause: Exception) -> Response:
    """The response to a request that `cause` ended: what the caller did wrong, what the service lacks, or a fault of ours."""
    return next(response for kind, response in FAILURES.items() if isinstance(cause, kind))(request, cause)


def _refused(request: Request, cause: Exception) -> Response:
    assert isinstance(cause, Refused)
    return answer({"detail": cause.reasons}, 422)


def _unavailable(request: Request, cause: Exception) -> Response:
    log.error("%s", cause)
    return answer({"detail": str(cause)}, 503)


def _http(request: Request, cause: Exception) -> Response:
    assert isinstance(cause, HTTPException)
    return answer({"detail": cause.detail}, cause.status_code, cause.headers)


def _fault(request: Request, cause: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=cause)
    return answer({"detail": "the service failed; its log says why"}, 500)


FAILURES: dict[type[Exception], Callable[[Request, Exception], Response]] = {
    Refused: _refused,
    MusicRecError: _unavailable,
    HTTPException: _http,
    Exception: _fault,
}
