"""The experiments that run now: which variant a user is in, and how that variant answers."""

import asyncio
from datetime import UTC, datetime
from typing import Any, NamedTuple

from musicrec.errors import SettingsError
from musicrec.experiments.assignment import Experiment
from musicrec.experiments.file import read_experiments
from musicrec.serving.access_log import log
from musicrec.serving.answers import AnswerOptions
from musicrec.serving.keys import Key
from musicrec.settings import Settings
from musicrec.settings.sections import BlendingSettings

VARIANT = "X-Variant"
_POLL_S = 10.0  # where poll_s is 0: an experiment must end in time


class Assigned(NamedTuple):
    """`experiment:variant` of each experiment that the user is in, separated by spaces, and how answers are put together."""

    variant: str
    options: AnswerOptions


class RunningExperiments:
    """Those of [experiments] file that run now. The file is watched; while it is broken, what it said before holds."""

    def __init__(self, settings: Settings) -> None:
        self.path, self.blending, self.poll_s = settings.experiments.file, settings.blending, settings.service.poll_s or _POLL_S
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
            self._prepared[label] = Assigned(label, answer_options(self.blending.model_copy(update=changed)))
        return self._prepared[label]

    async def follow(self) -> None:
        """Look at file and clock again and again, for ever."""
        while True:
            await asyncio.sleep(self.poll_s)
            self.look()

    def look(self) -> None:
        """Take up what the file says, and tell what changed."""
        try:
            self._known, self.problem = read_experiments(self.path, self.blending), ""
        except SettingsError as cause:
            if self.problem != str(cause):
                log.error("experiments stay as they were: %s", cause)
            self.problem = str(cause)
        running = tuple(one for one in self._known if one.state(datetime.now(UTC)) == "runs")
        if running != self._running:
            self._running, self._prepared = running, {}
            log.warning("experiments that run now: %s", self.state()["running"] or "none")

    def state(self) -> dict[str, Any]:
        """For /stats: the running experiments, with share and variants, and what is wrong with the file."""
        running = {one.name: {"share": one.share, "variants": [variant.name for variant in one.variants]} for one in self._running}
        return {"running": running, "problem": self.problem}


def answer_options(blending: BlendingSettings) -> AnswerOptions:
    """What [blending] says about the putting together of answers."""
    return AnswerOptions(blending.method, blending.first == "offline", blending.decay, blending.max_per_artist,
                         blending.familiar_share)
