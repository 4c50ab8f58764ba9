"""What /put, /feedback and /get of the events service take and answer with, as pydantic models."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from musicrec.serving.schemas import ItemId, K, OwnParameters, Parameters, UserId, UsersRequest, flag

WithRemembered = Annotated[bool, BeforeValidator(flag), Field(description="Adds what is remembered of the items of a user.",
                                                               examples=[False])]


class LatestPlaysRequest(Parameters):
    """A user's latest plays."""

    user_id: UserId
    k: K = 10
    remembered: WithRemembered = False


class LatestPlaysBatchRequest(UsersRequest):
    """The latest plays of many users."""

    remembered: WithRemembered = False


class FeedbackRequest(OwnParameters):
    """A play, or what else a user did with a track."""

    user_id: UserId
    item_id: ItemId
    type: Annotated[Literal["play", "skip", "like", "dislike", "block_item", "block_artist"], Field(
        description="What the user did.", examples=["play"])] = "play"
    played_share: Annotated[float | None, Field(ge=0, le=1, description="The share of the track that was played.", examples=[0.9]),
                            WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})] = None
    context: Annotated[str, Field(max_length=100, description="Where this was, for those who read the log.", examples=["queue"])] = ""
    recommendation_id: Annotated[str, Field(max_length=100, description="The id of the answer that showed the track.",
                                            examples=["5f0c6a1de2b34978"])] = ""


class RememberedItems(BaseModel):
    """Items of a user, the latest feedback first, and for those that were more or less than played: item, type, seconds since then; how
    many of the items are of the current session."""

    items: list[int | str]
    feedback: list[tuple[int | str, str, float]]
    session: int = 0


class LatestPlays(BaseModel):
    """Items, the latest first, none twice. `blocked` is there only for a user who was deleted, `remembered` only when asked for."""

    model_config = ConfigDict(json_schema_extra={"example": {"events": [597196, 590303, 99262]}})
    events: list[int | str]
    blocked: bool = False
    remembered: RememberedItems | None = None


class LatestPlaysBatch(BaseModel):
    """One list for each user asked about, in the order of the request. `blocked`: places of users who were deleted, where there are any."""

    events: list[list[int | str]]
    blocked: list[int] = []
    remembered: list[RememberedItems] | None = None
