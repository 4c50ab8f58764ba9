"""From tables to a recommender: the backtest, the evaluation on the test set, and the refit on everything."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from musicrec.dataset import Interactions, TrainSet, of_users
from musicrec.evaluation import Backtest, BacktestResult, Evaluator
from musicrec.lists import Lists, empty
from musicrec.models import Model
from musicrec.pipeline.plan import Plan
from musicrec.pipeline.workspace import Tables, Workspace, ranker_settings, recommender
from musicrec.progress import progress
from musicrec.ranking import sampled_users
from musicrec.recommender import TwoStageRecommender
from musicrec.recommender.two_stage import Measured
from musicrec.runners import fits_by, recommended
from musicrec.storage import scratch_storage


def backtested(work: Workspace, tables: Tables, chosen: Plan) -> BacktestResult:
    """The backtest over the folds of the plan, of the recommender that the settings describe."""
    described, made = recommender(work.settings), backtest(work, chosen)
    with _steps(work, "backtest", len(chosen.folds) * made.steps(described)) as measured:
        return made.run(tables.dataset, described, measured)


def backtest(work: Workspace, chosen: Plan) -> Backtest:
    """The backtest that the settings describe, over the folds of the plan."""
    settings, ranking = work.settings, work.settings.ranking
    return Backtest(chosen.folds, ranking.k, settings.evaluation.backtest_users, ranking.max_training_users, ranking.max_training_pairs,
                    ranking.negatives, ranking.seed, settings.batch_memory, ranker_settings(settings))


def learned(work: Workspace, result: BacktestResult) -> TwoStageRecommender:
    """The recommender with the ranker of all folds, which recommends what the promotion policy publishes; not fitted."""
    with work.stages.measured("ranker"):
        made = recommender(work.settings).with_ranker(result.ranker(ranker_settings(work.settings)))
    return made.with_order(result.decision().publish)


def fitted(work: Workspace, made: TwoStageRecommender, train: TrainSet,
           warm_starts: Mapping[str, Model] | None = None) -> TwoStageRecommender:
    """The recommender fitted to `train`; models that `warm_starts` names go on from an earlier part of the log."""
    with _steps(work, "fit", made.steps) as measured:
        return made.fit(train, warm_starts, measured)


def refitted(work: Workspace, tables: Tables, made: TwoStageRecommender, warm_starts: Mapping[str, Model]) -> TwoStageRecommender:
    """The recommender with the ranker that it has, its models and features fitted to all plays up to the last one.

    With [candidates] new_items its lists may hold items of the catalog that nobody has played yet.
    """
    with _steps(work, "refit", made.steps) as measured:
        everything = tables.dataset.train_set(new_items=work.settings.candidates.new_items)
        return made.fit(everything, warm_starts, measured)


def evaluated(work: Workspace, made: TwoStageRecommender, test: Interactions) -> Evaluator:
    """All orders of a fitted recommender on the test set, for at most [evaluation] max_users of its users."""
    settings = work.settings.evaluation
    evaluator = Evaluator(made.fitted.train, of_users(test, sampled_users(test, settings.max_users, settings.seed)))
    for order in made.orders:
        # Where nobody is evaluated, tables still have a row for every order.
        evaluator.add(order, Lists(np.empty(0, np.int32), *empty(0, work.settings.ranking.k)))
    with work.stages.measured("evaluate"):
        for lists in recommended(made, evaluator.user_ids, work.settings.ranking.k, made.orders, work.settings.batch_memory,
                                 work.settings.engine.threads):
            for order, one in lists.items():
                evaluator.add(order, one)
    return evaluator


def evaluated_with_new_items(work: Workspace, tables: Tables, chosen: Plan, made: TwoStageRecommender) -> Evaluator:
    """The same test users with lists that may hold items nobody had played before the cutoff, from a recommender fitted to all items.

    Where the catalog was written down later, the mere presence of such an item says that somebody will play it, so these figures stand in a
    table of their own.
    """
    train, test = tables.dataset.split(chosen.cutoff, new_items=True)
    return evaluated(work, made.fit(train), test)


@contextmanager
def _steps(work: Workspace, title: str, steps: int) -> Iterator[Measured]:
    """A stage that shows a progress bar over so many steps; what is entered measures them."""
    models, place = work.settings.candidates.models + work.settings.candidates.baselines, work.folder / "fits.part"
    with work.stages.measured(title), progress(title=title, total=steps, unit="step") as bar, \
            fits_by(work.settings.engine.name, scratch_storage(work.settings, place)):

        @contextmanager
        def step(part: str) -> Iterator[None]:
            bar.set_postfix_str(part, refresh=False)
            with work.stages.measured(part, fits=part in models):
                yield
            bar.update()

        yield step
