"""One study a section: trials are kept in SQLite, so that a study stopped by the clock or by Ctrl-C goes on where it was."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from musicrec.progress import progress
from musicrec.tuning.spaces import Space, drawn, within

Objective = Callable[[dict[str, Any]], float]


@dataclass(frozen=True)
class Tuned:
    """The best values of one section and what they reached, what the values before reach, and what mattered.

    Where no trial did better, the best are those before.
    """

    section: str
    best: dict[str, Any]
    value: float
    value_before: float
    trials: int
    importances: dict[str, float]

    def lines(self, *, refuted: bool = False) -> str:
        """The best values as lines for config.ini, with what they reached as a comment. All is comment where they were refuted.

        >>> print(Tuned("ranking", {"depth": 4, "learning_rate": 0.0312345}, 0.0712345, 0.07, 9, {}).lines())
        # ndcg@10 on the latest fold: 0.0712 after 9 trials, 0.0700 with the values before.
        [ranking]
        depth = 4
        learning_rate = 0.03123
        >>> print(Tuned("ranking", {"depth": 4}, 0.07, 0.07, 9, {}).lines())
        # [ranking] stays: none of 9 trials does better on the latest fold than the values before, ndcg@10 0.0700.
        """
        if self.value <= self.value_before:
            return (f"# [{self.section}] stays: none of {self.trials} trials does better on the latest fold than the values before, "
                    f"ndcg@10 {self.value_before:.4f}.")
        said = (f"# ndcg@10 on the latest fold: {self.value:.4f} after {self.trials} trials, "
                f"{self.value_before:.4f} with the values before.")
        values = [f"[{self.section}]", *(f"{key} = {value:.4g}" for key, value in self.best.items())]
        return "\n".join([said, *(f"# {line}" if refuted else line for line in values)])


def study_of(section: str, file: Path, seed: int) -> optuna.Study:
    """The study of `section` in the SQLite file, made when it is not there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(study_name=section, storage=f"sqlite:///{file}", direction="maximize", load_if_exists=True,
                               sampler=optuna.samplers.TPESampler(seed=seed))


def tuned(section: str, space: Space, present: dict[str, Any], objective: Objective, file: Path, seconds: float,
          trials: int | None = None, seed: int = 0) -> Tuned:
    """The best of what `objective` says about values of `space`, tried until `seconds` are over or `trials` more are done.

    A new study begins with the present values where they lie in `space`; elsewhere they are asked about as well, so that the best is
    never worse than they are. At least one trial is made.
    """
    before = {key: present[key] for key in space}
    study = study_of(section, file, seed + (0 if not file.exists() else len(study_of(section, file, seed).trials)))
    if not study.trials and within(space, present):
        study.enqueue_trial(before)
    with progress(title=f"tune {section}", unit="trial") as bar:
        def limited(count: int | None, timeout: float | None) -> None:
            study.optimize(lambda trial: objective(drawn(trial, space)), n_trials=count, timeout=timeout,
                           callbacks=[lambda _, __: bar.update(1) and None])
        limited(trials or 1, None)
        if not trials:
            limited(None, seconds - (bar.format_dict["elapsed"] or 0))
    done = [trial for trial in study.trials if trial.value is not None]
    value_before = next((trial.value for trial in done if trial.params == before), None)
    value_before = float(objective(before) if value_before is None else value_before)
    best, value = (study.best_params, study.best_value) if study.best_value > value_before else (before, value_before)
    return Tuned(section, best, value, value_before, len(done), _importances(study))


def _importances(study: optuna.Study) -> dict[str, float]:
    # With few trials, or all alike, there is nothing to explain.
    if len({trial.value for trial in study.trials}) < 2:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(optuna.importance.get_param_importances(study))
    except (ValueError, RuntimeError):
        return {}
