"""The run that a service answers from, and its replacement by a later one without a pause."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from musicrec import registry
from musicrec.errors import ArtifactError, SchemaError
from musicrec.registry import Manifest
from musicrec.serving import cache
from musicrec.storage import storage

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where runs are published, the secrets to read them with, and the cache folder of this machine."""

    location: str
    environment: Mapping[str, str] = field(repr=False)
    cache_folder: Path


class Served(Generic[T]):
    """Holds the mapped form of one run; `opened` makes it from the run id and the folders of `parts`, ready to answer.

    Readers take `mapped` once per request: a swap in the middle of a request changes nothing for it.
    """

    def __init__(self, place: Place, parts: tuple[str, ...], opened: Callable[[str, dict[str, Path]], T]) -> None:
        self.place, self.parts, self.opened = place, parts, opened
        self.refused: tuple[str, str] | None = None
        self._now: tuple[Manifest, T] | None = None
        self._one_at_a_time = threading.Lock()

    @property
    def mapped(self) -> T:
        """What `opened` made of the served run. Raises ArtifactError before the first refresh."""
        if self._now is None:
            raise ArtifactError("no run is loaded yet; wait until the service is ready.")
        return self._now[1]

    @property
    def run(self) -> Manifest | None:
        """The manifest of the served run; None before the first refresh."""
        return self._now and self._now[0]

    def refresh(self, again: bool = True) -> bool:
        """Load the current run if it is another than the served one; returns whether it was. Blocks: call it from a thread.

        Raises ArtifactError, SchemaError or StorageError when the run cannot be loaded; the served run then stays, and `refused`
        holds run id and sentence. A run that was refused for what is in it is tried once more only with `again`.
        """
        with self._one_at_a_time:
            run = registry.current(storage(self.place.location, self.place.environment))
            if self._now is not None and self._now[0].run_id == run.run_id:
                self.refused = None
                return False
            if self.refused and self.refused[0] == run.run_id and not again:
                return False
            try:
                folders = cache.ready(self.place.location, self.place.environment, run, self.parts, self.place.cache_folder)
                self._now = run, self.opened(run.run_id, folders)
            except (ArtifactError, SchemaError) as cause:
                self.refused = run.run_id, str(cause)
                raise
            self.refused = None
            return True
