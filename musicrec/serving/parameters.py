"""How the parameters of a request are read, from query, JSON body and path alike, and how OpenAPI documents them."""

import asyncio
import codecs
from functools import cache
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import parse_qsl

from fastapi.exceptions import RequestValidationError
from pydantic import AliasChoices, BaseModel, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import from_json
from starlette.requests import Request

from musicrec.serving.schemas import K_NAMES, MAX_KEY, WHOLE, Key, Parameters, Verbose

MAX_BODY = 64 * 1024
BODY_S = 5.0
_WORDS = {"boolean": "true or false", "date": "a day such as 2024-05-01",
          "key": f"a key of at most {MAX_KEY} characters, or a whole number from 0 to {2**63 - 1}"}
# Clients with one set of parameters for all services send these to lists too.
_OF_OTHER_ROUTES = ("item_id", "track_id")

P = TypeVar("P", bound=Parameters)


def limited(model: type[P], max_k: int) -> type[P]:
    """The model, with `max_k` as the most that k may be.

    >>> from musicrec.serving.event_schemas import LatestPlaysRequest
    >>> limited(LatestPlaysRequest, 20).model_json_schema()["properties"]["k"]["maximum"]
    20
    """
    k = Annotated[int, Field(ge=1, le=max_k), WHOLE, K_NAMES]
    return create_model(model.__name__, __base__=model, k=(k, model.model_fields["k"].default))


@cache
def keyed(model: type[P]) -> type[P]:
    """The model for runs whose keys are more than ids: users and items are keys or ids, and `keys` asks for keys in the answer.

    >>> from musicrec.serving.event_schemas import FeedbackRequest
    >>> keyed(FeedbackRequest)(user_id="ann", item_id=7).user_id
    'ann'
    """
    return create_model(model.__name__, __base__=model, keys=(Verbose, False), **_keyed_fields(model))


def _keyed_fields(model: type[BaseModel]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = next(iter(get_args(field.annotation)), None)
        if str in get_args(field.annotation):
            continue  # takes keys in any case
        if name in ("user_id", "item_id"):
            kind = Key if field.is_required() else Key | None
            fields[name] = (kind, Field(field.default, validation_alias=field.validation_alias, description=field.description,
                                        examples=field.examples))
        elif name in ("user_ids", "item_ids"):
            fields[name] = (Annotated[list[Key], field], ...)
        elif name in ("exclude", "track"):
            fields[name] = (Annotated[tuple[Key, ...], field], ())
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            nested = create_model(inner.__name__, __base__=inner, **_keyed_fields(inner))
            fields[name] = (Annotated[list[nested], field], ...)  # type: ignore[valid-type]
    return fields


async def read(request: Request, model: type[P]) -> P:
    """The parameters of a request: a JSON body, overruled by the query string, overruled by the path.

    Raises RequestValidationError with one reason for each parameter that is missing or bad.
    """
    values: dict[str, object] = {}
    if body := await _body(request):
        values = _json_object(body)
    values |= _query(request.scope["query_string"].decode("latin-1"), _repeatable(model))
    values |= request.path_params
    if "keys" not in model.model_fields:
        values.pop("keys", None)  # the keys of this run are numbers: both forms are the same
    try:
        return model.model_validate(values)
    except ValidationError as cause:
        errors = {str(error["loc"][0]): error["type"] for error in cause.errors(include_url=False, include_context=False)}
        if all(kind == "extra_forbidden" and (values[name] == "" or name in _OF_OTHER_ROUTES) for name, kind in errors.items()):
            # What some clients add asks for nothing: a name without a value, and what another route takes.
            return model.model_validate({name: value for name, value in values.items() if name not in errors})
        raise RequestValidationError([_unknown(model, name, values) if kind == "extra_forbidden" else _reason(model, name, values)
                                      for name, kind in errors.items()]) from None


def documented(method: str, model: type[Parameters], in_path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The OpenAPI text of an operation that reads `model`: in the query, and for POST also in an optional JSON body."""
    schemas = _properties(model)
    parameters = [{"name": name, "in": "path" if name in in_path else "query", "schema": schemas[name], "example": _example(field),
                   "description": field.description if name in in_path else _description(field),
                   "required": name in in_path or (field.is_required() and method != "POST")}
                  for name, field in model.model_fields.items() if schemas[name]["type"] != "array" or not field.is_required()]
    if method in ("GET", "DELETE"):
        return {"parameters": parameters}
    body = {"schema": {"type": "object", "properties": schemas},
            "example": {name: _example(field) for name, field in model.model_fields.items()}}
    return {"parameters": parameters, "requestBody": {"required": False, "content": {"application/json": body}}}


@cache
def _properties(model: type[Parameters]) -> dict[str, dict[str, Any]]:
    """The JSON schema of each field, without what `documented` gives beside it."""
    schema = model.model_json_schema()
    for field in schema["properties"].values():
        if "$ref" in field.get("items", {}):
            field["items"] = schema["$defs"][field["items"]["$ref"].rpartition("/")[2]]
    return {name: {key: value for key, value in field.items() if key not in ("title", "description", "examples")}
            for name, field in schema["properties"].items()}


@cache
def _repeatable(model: type[Parameters]) -> frozenset[str]:
    """The lists that may stand in the query, where a name that comes several times gives several values."""
    return frozenset(name for name, field in model.model_fields.items()
                     if _properties(model)[name]["type"] == "array" and not field.is_required())


def _example(field: FieldInfo) -> object:
    return (field.examples or [None])[0]


def _description(field: FieldInfo) -> str:
    aliases = ", ".join(_names("", field)[1:])
    return f"{field.description}{aliases and f' Also accepted as {aliases}.'}"


def _names(name: str, field: FieldInfo) -> list[Any]:
    return list(field.validation_alias.choices) if isinstance(field.validation_alias, AliasChoices) else [name]


def _reason(model: type[Parameters], name: str, values: dict[str, object]) -> dict[str, Any]:
    """One entry of a 422 body; a long value is cut, so that an answer never echoes a large request."""
    schema = _properties(model)[next(known for known, field in model.model_fields.items() if name in _names(known, field))]
    if schema["type"] == "array":
        lengths = f"{schema.get('minItems', 0)} to {schema['maxItems']}"
        return _entry("body", name, f"{name} must be a list of {lengths} {_plural(schema)}")
    if name not in values:
        return _entry("query", name, f"{name} is missing; send it in the query or in a JSON body")
    what = (f"one of {', '.join(schema['enum'])}" if "enum" in schema else
            _WORDS.get(schema.get("format", schema["type"])) or _range(schema))
    return _entry("query", name, f"{name} must be {what}", values[name])


def _range(schema: dict[str, Any]) -> str:
    if schema["type"] == "string":
        return f"text of at most {schema['maxLength']} characters"
    return f"a {'whole ' if schema['type'] == 'integer' else ''}number from {schema['minimum']} to {schema['maximum']}"


def _plural(schema: dict[str, Any]) -> str:
    items = schema["items"]
    if items["type"] == "integer":
        return f"whole numbers from {items['minimum']} to {items['maximum']}{', in a JSON body' if 'minItems' in schema else ''}"
    if items["type"] == "object":
        return f"objects with {' and '.join(filter(None, (', '.join(items['required'][:-1]), items['required'][-1])))}"
    return f"keys, each {_WORDS['key']}" if items["type"] == "key" else f"texts of at most {items['maxLength']} characters"


def refusal(name: str, message: str, value: object) -> RequestValidationError:
    """The refusal of a parameter whose form is right but that cannot be used; `message` names it."""
    return RequestValidationError([_entry("query", name, message, value)])


def _unknown(model: type[Parameters], name: str, values: dict[str, object]) -> dict[str, Any]:
    known = ", ".join(one for field, info in model.model_fields.items() for one in _names(field, info)[:1])
    return _entry("query", name[:MAX_KEY], f"{name[:MAX_KEY]} is not known; send {known}", values.get(name))


def _entry(where: str, name: str, message: str, value: object = None) -> dict[str, Any]:
    return {"loc": [where, name], "msg": message, "input": value if value is None else str(value)[:50]}


def _bad_body(message: str) -> RequestValidationError:
    return RequestValidationError([_entry("body", "body", message)])


def _query(text: str, repeatable: frozenset[str]) -> dict[str, object]:
    # Nearly every query is plain numbers, which the general parser takes three times as long for.
    if "%" in text or "+" in text:
        pairs = parse_qsl(text, keep_blank_values=True)
    else:
        pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in text.split("&") if pair)]
    found: dict[str, object] = dict(pairs)
    if not repeatable.isdisjoint(found):
        found |= {name: [value for other, value in pairs if other == name] for name in repeatable.intersection(found)}
    return found


async def _body(request: Request) -> bytes:
    for name, value in request.scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            break
    else:
        return b""
    # A client that stops in the middle would otherwise keep its request, and a service that is told to stop, for ever.
    try:
        async with asyncio.timeout(BODY_S):
            return await _received(request)
    except TimeoutError:
        raise _bad_body(f"the body did not arrive within {BODY_S:g} seconds") from None


async def _received(request: Request) -> bytes:
    body, more = b"", True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise _bad_body("the body ended before its end")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise _bad_body(f"the body is larger than {MAX_BODY} bytes")
    return body


def _json_object(body: bytes) -> dict[str, object]:
    try:
        values = from_json(body.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise _bad_body("the body must be empty or a JSON object such as {\"user_id\": 1, \"k\": 10}")
    return values
