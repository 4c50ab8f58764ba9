"""Search of one section's values: Optuna draws them, folds are evaluated one by one, and what falls behind is given up early.

Values are drawn by a tree-structured Parzen estimator (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011). A trial
begins on the latest fold and goes on with earlier ones only while it is among the best third (successive halving; Li et al., "A system for
massively parallel hyperparameter tuning", 2020).
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import TqdmWarning

from musicrec.evaluation.significance import sign_flip_p
from musicrec.models import Range, SearchSpace
from musicrec.progress import progress

with warnings.catch_warnings():
    # Without ipywidgets the import warns in a notebook about a progress bar that is never shown.
    warnings.simplefilter("ignore", TqdmWarning)
    import optuna

# Values -> NDCG@10 of each evaluated user of the fold at a position, by user id; empty where nothing can be evaluated.
Evaluated = Callable[[dict[str, Any], int], "pd.Series[float]"]
# The best of many trials owes a part of its gain to chance, and more of it the less sure the gain is.
ADOPTED_BELOW = 0.1
# Without a hit for so many users, a model finds at most 3 % of them something (95 % confidence).
ENOUGH_USERS = 100


@dataclass(frozen=True)
class Found:
    """The best values of a section, NDCG@10 with them and with those before over the users of all folds, and p of the paired test.

    Where no trial was better on average, the best values are those before.
    """

    section: str
    values: dict[str, Any]
    ndcg: float
    ndcg_before: float
    p: float
    users: int
    trials: int

    @property
    def adopted(self) -> bool:
        """Whether the values should replace those before: they are better, and p is below ADOPTED_BELOW."""
        return self.ndcg > self.ndcg_before and self.p < ADOPTED_BELOW

    @property
    def found_nothing(self) -> bool:
        """Whether no trial had a hit among at least ENOUGH_USERS users, such as a model of artists in logs without artists."""
        return self.ndcg == 0 and self.users >= ENOUGH_USERS

    def lines(self) -> str:
        """The result as lines for config.ini; comments only, where the values before should stay.

        >>> print(Found("ranking", {"depth": 4, "learning_rate": 0.0312345}, 0.0712345, 0.07, 0.01, 800, 9).lines())
        # ndcg@10 of 800 users: 0.0712 after 9 trials, 0.0700 with the values before, p = 0.01.
        [ranking]
        depth = 4
        learning_rate = 0.03123
        >>> print(Found("ranking", {"depth": 4}, 0.07, 0.07, 1.0, 800, 9).lines())
        # [ranking] stays as it is: none of 9 trials was better than the values before, ndcg@10 0.0700.
        """
        if self.ndcg <= self.ndcg_before:
            return (f"# [{self.section}] stays as it is: none of {self.trials} trials was better than the values before, "
                    f"ndcg@10 {self.ndcg_before:.4f}.")
        told = (f"# ndcg@10 of {self.users} users: {self.ndcg:.4f} after {self.trials} trials, {self.ndcg_before:.4f} with the values "
                f"before, p = {self.p:.3g}")
        values = [f"[{self.section}]", *(f"{key} = {value:.4g}" for key, value in self.values.items())]
        if not self.adopted:
            return "\n".join([f"{told}: too likely chance, the values before stay.", *(f"# {line}" for line in values)])
        return "\n".join([f"{told}.", *values])


class _Folds:
    """Evaluates values on the latest fold first, then on earlier ones; what was evaluated once is kept."""

    def __init__(self, evaluated: Evaluated, n_folds: int) -> None:
        self.evaluated, self.n_folds = evaluated, n_folds
        self.known: dict[tuple[tuple[str, Any], ...], list[pd.Series[float]]] = {}

    def users(self, values: dict[str, Any], folds: int) -> "pd.Series[float]":
        """NDCG@10 of each user, the mean over the latest `folds` folds."""
        made = self.known.setdefault(tuple(sorted(values.items())), [])
        while len(made) < folds:
            made.append(self.evaluated(values, self.n_folds - 1 - len(made)))
        filled = [one for one in made[:folds] if len(one)]
        return pd.concat(filled).groupby(level=0).mean() if filled else pd.Series(dtype=float)


def searched(section: str, space: SearchSpace, present: dict[str, Any], evaluated: Evaluated, n_folds: int, trials: int, seed: int = 0, *,
             file: Path | None = None, seconds: float | None = None) -> Found:
    """The best values of `space` for a section after so many more trials, or after `seconds`, at least one trial.

    present: the values before, with which the search begins where they are in `space`. file: SQLite file that keeps the trials, so that a
    later search goes on with them; without it nothing is kept, and equal arguments give equal results.
    """
    before, folds = {key: present[key] for key in space}, _Folds(evaluated, n_folds)

    def objective(trial: optuna.Trial) -> float:
        values, mean = {key: _drawn(trial, key, space[key]) for key in space}, 0.0
        for step in range(1, n_folds + 1):
            mean = _mean(folds.users(values, step))
            trial.report(mean, step)
            if step < n_folds and trial.should_prune():
                raise optuna.TrialPruned
        return mean

    with _study(section, file, seed) as study, progress(title=f"tune {section}", unit="trial") as bar:
        if not study.trials and all(one.low <= before[key] <= one.high for key, one in space.items()):
            study.enqueue_trial(before)

        def made(count: int | None, timeout: float | None) -> None:
            study.optimize(objective, n_trials=count, timeout=timeout, callbacks=[lambda _, __: bar.update(1) and None])

        made(1 if seconds is not None else trials, None)
        if seconds is not None:
            made(None, seconds - (bar.format_dict["elapsed"] or 0))
        whole = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        best, n_trials = max(whole, key=lambda trial: trial.value or 0.0).params if whole else before, len(study.trials)
    users, users_before = folds.users(best, n_folds), folds.users(before, n_folds)
    if _mean(users) <= _mean(users_before):
        best, users = before, users_before
    p = 1.0 if best == before else sign_flip_p((users - users_before).to_numpy())
    return Found(section, best, _mean(users), _mean(users_before), p, len(users), n_trials)


@contextmanager
def _study(section: str, file: Path | None, seed: int) -> Iterator[optuna.Study]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.InMemoryStorage() if file is None else optuna.storages.RDBStorage(f"sqlite:///{file}")
    try:
        study = optuna.create_study(study_name=section, storage=storage, direction="maximize", load_if_exists=True,
                                    pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3))
        # Another seed, so that a study that goes on does not draw the same values again.
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
        yield study
    finally:
        if isinstance(storage, optuna.storages.RDBStorage):
            storage.remove_session()
            storage.engine.dispose()


def _mean(users: "pd.Series[float]") -> float:
    return float(users.mean()) if len(users) else 0.0


def _drawn(trial: optuna.Trial, key: str, values: Range) -> float | int:
    whole = isinstance(values.low, int) and isinstance(values.high, int)
    value: float | int = (trial.suggest_int if whole else trial.suggest_float)(key, values.low, values.high, log=values.log)
    return value
