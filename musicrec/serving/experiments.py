"""The experiments that run now: which variant a user is in, and how that variant answers."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from musicrec.errors import SettingsError
from musicrec.experiments.assignment import Experiment
from musicrec.experiments.file import read_experiments
from musicrec.serving.access_log import log
from musicrec.serving.answers import AnswerOptions
from musicrec.serving.keys import Key
from musicrec.serving.lookup import Lookup
from musicrec.serving.model_store import ModelStore
from musicrec.settings import Settings
from musicrec.settings.sections import BlendingSettings

VARIANT = "X-Variant"
_POLL_S = 10.0  # where poll_s is 0: an experiment must end in time
_RETRY_S = 60.0


class Assigned(NamedTuple):
    """`experiment:variant` of each experiment that the user is in, separated by spaces, how answers are put together, and the run that they
    come from where it is not the current one."""

    variant: str
    options: AnswerOptions
    lookup: Lookup | None = None


class RunningExperiments:
    """Those of [experiments] file that run now. The file is watched; while it is broken, what it said before holds.

    Runs that experiments name are loaded beside the current one from `store`. An experiment begins when all of its runs are there, so that
    its variants begin together.
    """

    def __init__(self, settings: Settings, store: ModelStore[Lookup]) -> None:
        self.path, self.blending, self.poll_s = settings.experiments.file, settings.blending, settings.service.poll_s or _POLL_S
        self.store, self._lookups, self._refused = store, dict[str, Lookup](), dict[str, tuple[float, str]]()
        self.plain, self.problem = Assigned("", answer_options(settings.blending)), ""
        self._known = self._running = tuple[Experiment, ...]()
        self._prepared: dict[str, Assigned] = {}

    def of(self, user: Key) -> Assigned:
        """What the user is assigned to."""
        if not self._running:
            return self.plain
        found = [(one, variant) for one in self._running if (variant := one.variant_of(user))]
        label = " ".join(f"{one.name}:{variant.name}" for one, variant in found)
        if label not in self._prepared:
            changed = {key: value for _, variant in found for key, value in variant.settings.items()}
            lookup = next((self._lookups[variant.run] for _, variant in found if variant.run), None)
            self._prepared[label] = Assigned(label, answer_options(self.blending.model_copy(update=changed)), lookup)
        return self._prepared[label]

    async def follow(self) -> None:
        """Look at file and clock again and again, for ever."""
        while True:
            await asyncio.sleep(self.poll_s)
            await self.look()

    async def look(self) -> None:
        """Take up what the file says, and tell what changed."""
        problem = ""
        try:
            self._known = read_experiments(self.path, self.blending)
        except SettingsError as cause:
            problem = str(cause)
        due = tuple(one for one in self._known if one.state(datetime.now(UTC)) == "runs")
        wanted = frozenset[str]().union(*(one.runs for one in due))
        lacking = await self._load(wanted)
        problem = problem or lacking
        if problem and problem != self.problem:
            log.error("experiments stay as they were: %s", problem)
        self.problem, running = problem, tuple(one for one in due if one.runs <= self._lookups.keys())
        if running != self._running:
            self._running, self._prepared = running, {}
            self._lookups = {run: found for run, found in self._lookups.items() if run in wanted}
            log.warning("experiments that run now: %s", self.state()["running"] or "none")

    async def _load(self, wanted: frozenset[str]) -> str:
        """Load these runs; says what is wrong with one that cannot be loaded, which is tried again after a while."""
        for run in sorted(wanted - self._lookups.keys()):
            if time.monotonic() >= self._refused.get(run, (0.0, ""))[0]:
                try:
                    self._lookups[run] = await self.store.named(run)
                    self._refused.pop(run, None)
                except Exception as cause:  # nothing may end the watch
                    self._refused[run] = time.monotonic() + _RETRY_S, str(cause) or type(cause).__name__
        return next((sentence for run, (_, sentence) in self._refused.items() if run in wanted), "")

    def state(self) -> dict[str, Any]:
        """For /stats: the running experiments, with share and variants, and what is wrong with the file or a run."""
        running = {one.name: {"share": one.share, "variants": [variant.name for variant in one.variants]} for one in self._running}
        return {"running": running, "problem": self.problem}


def answer_options(blending: BlendingSettings) -> AnswerOptions:
    """What [blending] says about the putting together of answers."""
    same = ("method", "decay", "max_per_artist", "familiar_share", "mode", "artist_decay", "exploration", "recent_items", "skip_minutes")
    return AnswerOptions(offline_first=blending.first == "offline", **{name: getattr(blending, name) for name in same})
