"""One Optuna study per section. Trials are stored in SQLite, so that a study can be stopped and continued later."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna

from musicrec.progress import progress
from musicrec.tuning.spaces import Space, drawn, within

Objective = Callable[[dict[str, Any]], float]


@dataclass(frozen=True)
class Tuned:
    """The result of tuning one section: the best values, their objective, that of the values before, and parameter importances.

    Where no trial was better, the best values are those before.
    """

    section: str
    best: dict[str, Any]
    value: float
    value_before: float
    trials: int
    importances: dict[str, float]

    def lines(self, *, refuted: bool = False) -> str:
        """The best values as lines for config.ini, with their objective as a comment. Where refuted, all lines are comments.

        >>> print(Tuned("ranking", {"depth": 4, "learning_rate": 0.0312345}, 0.0712345, 0.07, 9, {}).lines())
        # ndcg@10 on the latest fold: 0.0712 after 9 trials, 0.0700 with the values before.
        [ranking]
        depth = 4
        learning_rate = 0.03123
        >>> print(Tuned("ranking", {"depth": 4}, 0.07, 0.07, 9, {}).lines())
        # [ranking] stays as it is: none of 9 trials was better than the values before, ndcg@10 0.0700 on the latest fold.
        """
        if self.value <= self.value_before:
            return (f"# [{self.section}] stays as it is: none of {self.trials} trials was better than the values before, "
                    f"ndcg@10 {self.value_before:.4f} on the latest fold.")
        comment = (f"# ndcg@10 on the latest fold: {self.value:.4f} after {self.trials} trials, "
                   f"{self.value_before:.4f} with the values before.")
        values = [f"[{self.section}]", *(f"{key} = {value:.4g}" for key, value in self.best.items())]
        return "\n".join([comment, *(f"# {line}" if refuted else line for line in values)])


@contextmanager
def study_of(section: str, file: Path, seed: int) -> Iterator[optuna.Study]:
    """The study of `section` in the SQLite file, created when missing; the file is closed when the block ends."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    try:
        yield optuna.create_study(study_name=section, storage=storage, direction="maximize", load_if_exists=True,
                                  sampler=optuna.samplers.TPESampler(seed=seed))
    finally:
        storage.remove_session()
        storage.engine.dispose()


def tuned(section: str, space: Space, present: dict[str, Any], objective: Objective, file: Path, seconds: float,
          trials: int | None = None, seed: int = 0) -> Tuned:
    """The best values of `space` by `objective`, after `seconds` or after `trials` more trials, at least one.

    present: the current values. A new study begins with them where they are in `space`; otherwise they are evaluated as well, so that
    the result is never worse than they are.
    """
    with study_of(section, file, seed) as study:
        made = len(study.trials)
    # Another seed, so that a study that goes on does not draw the same values again.
    with study_of(section, file, seed + made) as study:
        return _tuned(study, section, space, present, objective, seconds, trials)


def _tuned(study: optuna.Study, section: str, space: Space, present: dict[str, Any], objective: Objective, seconds: float,
           trials: int | None) -> Tuned:
    before = {key: present[key] for key in space}
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
    # With few trials, or equal values, importances are not defined.
    if len({trial.value for trial in study.trials}) < 2:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(optuna.importance.get_param_importances(study))
    except (ValueError, RuntimeError):
        return {}
