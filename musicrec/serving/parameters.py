"""What a request asks for: one reader for query strings, JSON bodies and paths, with the names that clients like to use."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pydantic_core import from_json
from starlette.requests import Request

MAX_ID = 2**31 - 1
MAX_BODY = 64 * 1024
MAX_BATCH = 1000
K_ALIASES = ("n", "limit", "top_k", "n_recs", "n_recommendations")
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": True}


class Refused(Exception):  # noqa: N818 - it is an answer with status 422, not a fault of ours
    """The request cannot be answered as asked; `reasons` is a list of {"loc", "msg", "input"}, one a parameter."""

    def __init__(self, *reasons: dict[str, Any]) -> None:
        super().__init__(*reasons)
        self.reasons = list(reasons)


def reason(where: str, name: str, message: str, value: object = None) -> dict[str, Any]:
    """One entry of a 422 body; a long value is cut, so that an answer never echoes a large request."""
    return {"loc": [where, name], "msg": message, "input": value if value is None else str(value)[:50]}


@dataclass(frozen=True)
class Number:
    """A whole-number parameter within bounds. `default` None means that a request must name it."""

    name: str
    meaning: str
    highest: int
    default: int | None = None
    lowest: int = 0
    aliases: tuple[str, ...] = ()
    example: int = 1

    def read(self, values: Mapping[str, object]) -> int:
        """The number in `values` under the name or an alias, else the default; raises Refused."""
        name = next((name for name in (self.name, *self.aliases) if name in values), None)
        if name is None:
            if self.default is None:
                raise Refused(reason("query", self.name, f"{self.name} is missing; send it in the query or in a JSON body"))
            return self.default
        number = _whole(values[name])
        if number is None or not self.lowest <= number <= self.highest:
            message = f"{name} must be a whole number from {self.lowest} to {self.highest}"
            raise Refused(reason("query", name, message, values[name]))
        return number

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        default = {} if self.default is None else {"default": self.default}
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest, **default}

    @property
    def text(self) -> str:
        """Meaning and aliases, for the API docs."""
        return self.meaning + (f" Also accepted as {', '.join(self.aliases)}." if self.aliases else "")


@dataclass(frozen=True)
class Numbers:
    """A list of whole numbers within bounds, at least one and at most `most`; a request must name it."""

    name: str
    text: str
    highest: int
    most: int
    default: None = None
    example: tuple[int, ...] = (99262, 590303)

    def read(self, values: Mapping[str, object]) -> list[int]:
        """The numbers; raises Refused."""
        found = values.get(self.name)
        numbers = [_whole(value) for value in found[:self.most + 1]] if isinstance(found, list) else []
        if not 1 <= len(numbers) <= self.most or any(number is None or not 0 <= number <= self.highest for number in numbers):
            message = f"{self.name} must be a list of 1 to {self.most} whole numbers from 0 to {self.highest}, in a JSON body"
            raise Refused(reason("body", self.name, message))
        return [number for number in numbers if number is not None]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        return {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": self.highest}, "minItems": 1, "maxItems": self.most}


@dataclass(frozen=True)
class Flag:
    """A yes-or-no parameter, no unless asked for."""

    name: str
    text: str
    default: bool = False
    example: bool = False

    def read(self, values: Mapping[str, object]) -> bool:
        """Whether the flag is set; raises Refused for anything but true or false."""
        value = str(values.get(self.name, "false")).strip().lower()
        if value not in _FLAGS:
            raise Refused(reason("query", self.name, f"{self.name} must be true or false", values[self.name]))
        return _FLAGS[value]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        return {"type": "boolean", "default": False}


@dataclass(frozen=True)
class Shown:
    """A list of what was shown: {"user_id", "item_id", "source", "position"} each, at most `most`."""

    name: str = "impressions"
    text: str = "What was shown."
    most: int = MAX_BATCH
    default: None = None

    @property
    def example(self) -> list[dict[str, Any]]:
        """One impression."""
        return [{"user_id": 617032, "item_id": 99262, "source": "personal", "position": 0}]

    def read(self, values: Mapping[str, object]) -> list[tuple[int, int, str, int]]:
        """(user_id, item_id, source, position) each; raises Refused."""
        found = values.get(self.name)
        rows = [_impression(row) for row in found[:self.most + 1]] if isinstance(found, list) else []
        if not 1 <= len(rows) <= self.most or any(row is None for row in rows):
            message = f"{self.name} must be a list of 1 to {self.most} objects with user_id, item_id, source and position"
            raise Refused(reason("body", self.name, message))
        return [row for row in rows if row is not None]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the value."""
        number = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
        row = {"type": "object", "required": ["user_id", "item_id", "source", "position"],
               "properties": {"user_id": number, "item_id": number, "position": number, "source": {"type": "string", "maxLength": 50}}}
        return {"type": "array", "items": row, "minItems": 1, "maxItems": self.most}


Parameter = Number | Numbers | Flag | Shown
_IN_BODY_ONLY = (Numbers, Shown)


async def sent(request: Request) -> dict[str, object]:
    """Everything a request names: a JSON body, overruled by the query string, overruled by the path. Raises Refused for a bad body."""
    values: dict[str, object] = {}
    body = await _body(request)
    if body:
        values.update(_json_object(body))
    values.update(_query(request.scope["query_string"].decode("latin-1")))
    values.update(request.path_params)
    return values


async def read(request: Request, *parameters: Parameter) -> list[Any]:
    """The values of `parameters`, in order; raises Refused with one reason for each that is missing or bad."""
    values, found, reasons = await sent(request), [], []
    for parameter in parameters:
        try:
            found.append(parameter.read(values))
        except Refused as refused:
            reasons += refused.reasons
    if reasons:
        raise Refused(*reasons)
    return found


def documented(method: str, parameters: tuple[Parameter, ...], in_path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The OpenAPI text of a route that reads `parameters`: in the query, and for POST also in an optional JSON body."""
    query = [{"name": p.name, "in": "path" if p.name in in_path else "query", "description": p.text, "schema": p.schema,
              "required": p.name in in_path or (p.default is None and method == "GET"), "example": p.example}
             for p in parameters if not isinstance(p, _IN_BODY_ONLY)]
    if method == "GET":
        return {"parameters": query}
    content = {"schema": {"type": "object", "properties": {p.name: p.schema for p in parameters}},
               "example": {p.name: p.example for p in parameters}}
    return {"parameters": query, "requestBody": {"required": False, "content": {"application/json": content}}}


def _query(text: str) -> dict[str, str]:
    # Nearly every query is plain numbers, which the general parser takes three times as long for.
    if "%" in text or "+" in text:
        return dict(parse_qsl(text, keep_blank_values=True))
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split("&") if pair)}


async def _body(request: Request) -> bytes:
    body, more = b"", True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refused(reason("body", "body", "the body ended before its end"))
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise Refused(reason("body", "body", f"the body is larger than {MAX_BODY} bytes"))
    return body


def _json_object(body: bytes) -> dict[str, object]:
    try:
        values = from_json(body.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise Refused(reason("body", "body", "the body must be empty or a JSON object such as {\"user_id\": 1, \"k\": 10}"))
    return values


def _impression(row: object) -> tuple[int, int, str, int] | None:
    if not isinstance(row, dict):
        return None
    user, item, position = (_whole(row.get(name)) for name in ("user_id", "item_id", "position"))
    source = row.get("source")
    if user is None or item is None or position is None or not isinstance(source, str) or len(source) > 50:
        return None
    return (user, item, source, position) if all(0 <= number <= MAX_ID for number in (user, item, position)) else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else None
