"""Which variant of an experiment a user is in. Pure: the same answer in every process, on every machine, at any time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any


@dataclass(frozen=True)
class Variant:
    """One way of answering: its weight in the split of users, the [blending] settings that it changes, and the run that it answers from
    ("": the current one)."""

    name: str
    weight: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""

    @property
    def changes(self) -> frozenset[str]:
        """What is not as for everybody else."""
        return frozenset((*self.settings, *(("run",) if self.run else ())))


@dataclass(frozen=True)
class Experiment:
    """Variants, the first of which is the control, the share of all users that takes part, and when (None: no bound).

    Users are drawn by a hash of `salt` and user: experiments with different salts are independent of each other.
    """

    name: str
    variants: tuple[Variant, ...]
    share: float = 1.0
    salt: str = ""
    start: datetime | None = None
    end: datetime | None = None
    paused: bool = False

    @property
    def changes(self) -> frozenset[str]:
        """What its variants change."""
        return frozenset[str]().union(*(variant.changes for variant in self.variants))

    @property
    def runs(self) -> frozenset[str]:
        """The runs that variants name."""
        return frozenset(variant.run for variant in self.variants if variant.run)

    def state(self, now: datetime) -> str:
        """runs, paused, has not begun or has ended; users are assigned in one that runs."""
        if self.end and now >= self.end:
            return "has ended"
        if self.start and now < self.start:
            return "has not begun"
        return "paused" if self.paused else "runs"

    def variant_of(self, user: int | str) -> Variant | None:
        """The user's variant; None for a user outside the share.

        Share and variant are two independent draws, so a larger share keeps everybody who is in, each in the same variant.
        """
        digest = blake2b(f"{self.salt or self.name}\0{user}".encode(errors="surrogatepass"), digest_size=16).digest()
        if _uniform(digest[:8]) >= self.share:
            return None
        at = _uniform(digest[8:]) * sum(variant.weight for variant in self.variants)
        return next((variant for variant in self.variants if (at := at - variant.weight) < 0), self.variants[-1])


def _uniform(digest: bytes) -> float:
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # below 1: a float holds 53 bits
