"""What is known of a user at the moment of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from musicrec.events.protocol import LIKE, PLAY
from musicrec.serving.blending import SimilarItems


@dataclass(frozen=True)
class Memory:
    """What is remembered of a user's items, the latest feedback first; the types of those that were not only played; those that were
    skipped or disliked in the last minutes, the latest first; and those of the current session."""

    items: Sequence[int] = ()
    types: Mapping[int, str] = field(default_factory=dict)
    refused: Sequence[int] = ()
    session: Sequence[int] = ()

    @property
    def welcome(self) -> list[int]:
        """The items that were played or liked."""
        return [item for item in self.items if self.types.get(item, PLAY) in (PLAY, LIKE)]

    def of_type(self, kind: str) -> list[int]:
        """The items of one type."""
        return [item for item, own in self.types.items() if own == kind]


@dataclass(frozen=True)
class UserContext:
    """A user's latest plays, newest first; items similar to the newest plays and likes; one sentence for each service that did not answer;
    how many plays were left out because this run does not know their tracks; whether the user was deleted; what is remembered, and items
    similar to what was refused."""

    plays: Sequence[int] = ()
    similar: Sequence[SimilarItems] = ()
    missing: tuple[str, ...] = ()
    unknown: int = 0
    blocked: bool = False
    memory: Memory = Memory()
    near_refused: Sequence[SimilarItems] = ()


NO_CONTEXT = UserContext()
