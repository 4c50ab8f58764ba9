"""Who may see the page: the services' key is asked for where they ask for one, and other sites may not speak for a visitor."""

import base64
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from musicrec.page import texts
from musicrec.serving.access_control import has_key
from musicrec.settings.sections import ServiceSettings, keys_in

READ_ONLY = "musicrec.read_only"


class BasicAuth:
    """ASGI middleware: with api_key set, the browser asks for a key (HTTP Basic, any name); 403 for pages of other sites.

    scope[READ_ONLY] says whether the key is the one for reading.
    """

    def __init__(self, app: ASGIApp, options: ServiceSettings) -> None:
        self.app, self.options = app, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on who may come in."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        given = Headers({"x-api-key": _password(headers.get("authorization", ""))})
        may_write = not keys_in(self.options.api_key) or has_key(given, self.options.api_key)
        if (origin := headers.get("origin")) and urlsplit(origin).netloc != headers.get("host"):
            refusal = PlainTextResponse(texts.OTHER_SITE, 403)
        elif may_write or has_key(given, self.options.read_key):
            return await self.app({**scope, READ_ONLY: not may_write}, receive, send)
        else:
            refusal = PlainTextResponse(texts.ASK_KEY, 401, {"WWW-Authenticate": f'Basic realm="{texts.TITLE}", charset="UTF-8"'})
        if scope["type"] == "http":
            return await refusal(scope, receive, send)
        await send({"type": "websocket.close", "code": 1008})


def _password(header: str) -> str:
    try:
        return base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")[2]
    except ValueError:
        return ""
