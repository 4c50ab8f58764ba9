"""The parameters that the services take and the bodies that they answer with, as pydantic models."""

import re
from typing import Annotated

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from musicrec.settings import sections

MAX_ID = 2**31 - 1
_MAX_NUMBER, MAX_KEY = 2**63 - 1, 256
MAX_BATCH = 1000
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
_FLAGS = {"true": True, "1": True, "yes": True, "": True, "false": False, "0": False, "no": False}


def _whole(value: object) -> int | None:
    """The whole number that a query or a JSON body means by `value`; pydantic's own int also takes true, "5.0" and "1_000"."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def _key(value: object) -> int | str | None:
    """A whole number from 0 to 2^63 - 1 or text of 1 to 256 characters; "007" is text, other than "7"."""
    if isinstance(value, str):
        if value.isascii() and value.isdigit() and str(int(value)) == value:
            return int(value) if int(value) <= _MAX_NUMBER else value
        return value if _is_key(value) else None
    number = _whole(value)
    return number if number is not None and 0 <= number <= _MAX_NUMBER else None


def _is_key(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text.strip()) and len(text) <= MAX_KEY


def flag(value: object) -> bool | None:
    """What a query or a JSON body means by true or false; None for anything else."""
    return _FLAGS.get(str(value).strip().lower())


# Bounds stand before it: there pydantic takes them for bounds of an integer and puts them into the JSON schema.
WHOLE = BeforeValidator(_whole)
Id = Annotated[int, Field(ge=0, le=MAX_ID), WHOLE]
# A user or a track as the logs write it, where their keys are not whole numbers below 2^31.
Key = Annotated[int | str, BeforeValidator(_key), WithJsonSchema({"type": "key"})]
UserId = Annotated[Id, Field(description="The user.", examples=[617032])]
# Of whoever looks at a list that is for nobody in particular; what cannot be a user is nobody.
Somebody = Annotated[int | str | None, BeforeValidator(_key), WithJsonSchema({"type": "string", "maxLength": MAX_KEY}), Field(
    description="Who looks at the list, where that is known: for exposures and experiments.", examples=[""])]
UserIds = Annotated[list[Id], Field(min_length=1, max_length=MAX_BATCH, description="The users.", examples=[[617032, 1291248]])]
ItemId = Annotated[Id, Field(validation_alias=AliasChoices("item_id", "track_id"), description="The track.", examples=[99262])]
Verbose = Annotated[bool, BeforeValidator(flag), Field(description="Adds name, artists, source, score and reason of each item.",
                                                        examples=[False])]
Mode = Annotated[sections.Mode, Field(description="Tracks that the user has not played, those played, or both.",
                                                            examples=["new"])]
K_NAMES = Field(validation_alias=AliasChoices("k", "n", "limit", "top_k", "n_recs", "n_recommendations"),
                description="Most items to answer with.", examples=[10])
K = Annotated[int, Field(ge=1), WHOLE, K_NAMES]


class Parameters(BaseModel):
    """Parameters of a request; unknown ones are ignored, so that services of different versions understand each other."""


class OwnParameters(Parameters):
    """Parameters of what no service asks of another: unknown ones are refused by name, so that a mistake is noticed."""

    model_config = ConfigDict(extra="forbid")


class DefaultRequest(OwnParameters):
    """How many popular items."""

    k: K = 100
    verbose: Verbose = False


class UserRequest(OwnParameters):
    """A list for one user."""

    user_id: UserId
    k: K = 100
    verbose: Verbose = False


class ModeRequest(UserRequest):
    """A list for one user, of new items, of the user's own, or of both."""

    mode: Mode = "new"


class UsersRequest(Parameters):
    """Something for each of many users."""

    user_ids: UserIds
    k: K = 10


class BatchRequest(UsersRequest, OwnParameters):
    """A list for each of many users."""

    mode: Mode = "new"


class ItemRequest(Parameters):
    """One item."""

    item_id: ItemId


class SimilarRequest(Parameters):
    """Items similar to one."""

    item_id: ItemId
    k: K = 10


class SimilarBatchRequest(Parameters):
    """Items similar to each of many."""

    ids: Annotated[bool, BeforeValidator(flag), Field(description="Takes item_ids for ids of the run, not keys, and answers with ids.",
                                                       examples=[False])] = False
    item_ids: Annotated[list[Id], Field(min_length=1, max_length=4 * MAX_BATCH, description="The tracks.", examples=[[99262, 590303]])]
    k: K = 10


class OneUserRequest(Parameters):
    """A user."""

    user_id: UserId


class ShownBy(BaseModel):
    """What showed it: the run and the id of the answer, and `experiment:variant` of each experiment that the user is in."""

    run: Annotated[str, Field(max_length=100)] = ""
    recommendation_id: Annotated[str, Field(max_length=100)] = ""
    variant: Annotated[str, Field(max_length=1000)] = ""


class ShownItem(ShownBy):
    """One item that was shown to a user, from which source and at which position (0 is the top)."""

    user_id: Id
    item_id: Id
    source: Annotated[str, Field(max_length=50)]
    position: Id
    propensity: Annotated[float, Field(gt=0, le=1)] | None = None


class ImpressionsRequest(Parameters):
    """What was shown to whom."""

    impressions: Annotated[list[ShownItem], Field(min_length=1, max_length=MAX_BATCH, description="What was shown.", examples=[
        [{"user_id": 617032, "item_id": 99262, "source": "personal", "position": 0, "recommendation_id": "5f0c6a1de2b34978"}]])]


class DescribedItem(BaseModel):
    """One item of a verbose answer. The scale of a score depends on its source."""

    item_id: int | str
    name: str
    artists: list[str]
    source: str
    score: float | None
    reason: str


class RecommendationsAnswer(BaseModel):
    """Items, best first. `degraded` says what is missing and is there only when something is; `items` only when verbose."""

    model_config = ConfigDict(json_schema_extra={"example": {"recs": [99262, 590303, 597196]}})
    recs: list[int | str]
    degraded: list[str] = []
    items: list[DescribedItem] = []


class UserRecommendations(BaseModel):
    """The answer for one user of a batch."""

    user_id: int | str
    recs: list[int | str]
    strategy: str


class BatchRecommendations(BaseModel):
    """One answer for each user asked about, in the order of the request."""

    model_config = ConfigDict(json_schema_extra={
        "example": {"answers": [{"user_id": 617032, "recs": [99262, 590303], "strategy": "blended"}]}})
    answers: list[UserRecommendations]
    degraded: list[str] = []


class ItemText(BaseModel):
    """What a person knows a track by; empty where the catalog lacks it."""

    item_id: int | str
    name: str
    artists: list[str]
    genres: list[str]


class Similar(BaseModel):
    """Similar items, most similar first, and their scores; both empty for an unknown item."""

    model_config = ConfigDict(json_schema_extra={"example": {"item_id_2": [590303, 597196], "score": [0.93, 0.88]}})
    item_id_2: list[int | str]
    score: list[float]


class SimilarBatch(BaseModel):
    """One entry for each item asked about, in the order of the request."""

    similar: list[Similar]


class Stored(BaseModel):
    """It is on disk."""

    model_config = ConfigDict(json_schema_extra={"example": {"result": "ok"}})
    result: str


class Deleted(BaseModel):
    """How many rows of the user were removed."""

    model_config = ConfigDict(json_schema_extra={"example": {"result": "ok", "deleted": 12}})
    result: str
    deleted: int


class ExcludedUsers(BaseModel):
    """The users that were deleted."""

    model_config = ConfigDict(json_schema_extra={"example": {"excluded": [617032]}})
    excluded: list[int | str]


class Health(BaseModel):
    """A service that is up; `detail` says what a degraded one lacks."""

    service: str
    status: str
    detail: str | None = None


class Reloaded(BaseModel):
    """The run that is served now, and whether this request brought it."""

    run_id: str
    swapped: bool


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
