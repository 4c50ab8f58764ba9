"""What feature groups bring: the latest label window ranked without each of them, or with one more."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from musicrec.evaluation import Judge
from musicrec.evaluation.significance import holm, sign_flip_p
from musicrec.lists import Lists
from musicrec.pipeline.contending import RANKED
from musicrec.pipeline.learning import Learned, fitted, ranker_settings, rows_of_window
from musicrec.pipeline.trial import Tried, trial, tried
from musicrec.pipeline.workspace import Tables, Workspace, features, history, label_windows, labels
from musicrec.ranking import Ranker, Scored, TrainingTable, fit_ranker, tree_count

WHOLE, TREELESS = "all groups", "no trees (weighted)"
MOST_TREES = 100
CHEAP = ("popular_decayed", "popular_by_genre", "artist", "content")


def ablation(work: Workspace, found: Learned, most_rows: int = 40_000, metric: str = "ndcg@10") -> pd.DataFrame:
    """One row a feature group: `metric` on the latest window of rankers that learned from the windows before without that group.

    Columns: without, features (how many columns are missing), `metric`, difference (what its absence changes), p of the paired
    test against all groups and p_holm. Rankers of one seed, all with the same number of trees, MOST_TREES at most, on at most `most_rows`
    rows: a dozen rankers that are compared with each other need not be the best.
    With a single window, learned from and judged on, the differences are those of memory.
    """
    tables, window = _shortened(found.training[:-1] or found.training, most_rows), found.tried
    settings = dataclasses.replace(ranker_settings(work), models=1)
    trees = min(tree_count(tables, settings), MOST_TREES)
    groups: dict[str, tuple[str, ...]] = {WHOLE: (), **{name: group.names for name, group in features(work.settings).items()}}
    judge = Judge(window.judge.history, window.future)
    for name, missing in groups.items():
        ranker = fit_ranker([_without(table, missing) for table in tables], settings, trees)
        _judged(judge, name, window, ranker, missing)
    values = {name: judge.relevance(name)[metric] for name in judge.names}
    differences = {name: own - values[WHOLE] for name, own in values.items()}
    p = [np.nan if name == WHOLE else sign_flip_p(difference) for name, difference in differences.items()]
    sizes = [len(groups.get(name, ())) for name in values]
    return pd.DataFrame({"without": list(values), "features": sizes, metric: [float(own.mean()) for own in values.values()],
                         "difference": [float(own.mean()) for own in differences.values()], "p": p, "p_holm": holm(p)})


def with_and_without(work: Workspace, tables: Tables, group: str, most_users: int = 2000, metric: str = "ndcg@10") -> pd.DataFrame:
    """`metric` of the ranked list in the latest label window, without the feature group and with it: one row each, and their users.

    Made to be quick: one window, cheap generators, at most `most_users` users, each half ranked by what the other half taught.
    """
    chosen, ranking = work.settings.candidates, work.settings.ranking
    kept = tuple(name for name in chosen.generators if name in CHEAP) or chosen.generators
    plain = tuple(name for name in ranking.features if name != group)
    rows = []
    for said, names in (("without", plain), ("with", (*plain, group))):
        own = work.settings.model_copy(update={
            "candidates": chosen.model_copy(update={"generators": kept, "baselines": ()}),
            "ranking": ranking.model_copy(update={"features": names, "trial_users": most_users, "max_training_users": most_users,
                                                  "models": 1}),
            "split": work.settings.split.model_copy(update={"label_windows": 1})})
        judge = _tried_alone(dataclasses.replace(work, settings=own), tables)
        rows.append({group: said, "users": len(judge.user_ids), metric: float(judge.relevance(RANKED)[metric].mean())})
    return pd.DataFrame(rows)


def _tried_alone(work: Workspace, tables: Tables) -> Judge:
    window = label_windows(work, tables)[-1]
    future = labels(work, tables, window.start, window.end)
    made = fitted(work, history(work, tables, window.start))
    return trial(work, [tried(work, made, future)], [rows_of_window(work, made, future)], ranker_settings(work))[0]


def _judged(judge: Judge, name: str, window: Tried, ranker: Ranker, missing: Sequence[str]) -> None:
    for users, found, matrix in window.batches:
        there = [place for place, column in enumerate(window.names) if column not in missing]
        judge.add(name, Lists(users, *Scored(found, ranker.scores_of_rows(matrix[:, there])).recommend(found.user_index, judge.ks[-1])))
        if name == WHOLE:
            treeless = Scored(found, ranker.fusion.scores(found))
            judge.add(TREELESS, Lists(users, *treeless.recommend(found.user_index, judge.ks[-1])))


def _without(table: TrainingTable, missing: Sequence[str]) -> TrainingTable:
    there = [place for place, column in enumerate(table.names) if column not in missing]
    return TrainingTable(table.features[:, there], tuple(table.names[place] for place in there), table.target, table.group)


def _shortened(tables: Sequence[TrainingTable], most_rows: int) -> list[TrainingTable]:
    # Users are kept whole: those in front, ids being no better than drawn.
    each = most_rows // len(tables)
    cuts = [len(table) if len(table) <= each else int(np.searchsorted(table.group, table.group[each])) for table in tables]
    return [TrainingTable(table.features[:cut], table.names, table.target[:cut], table.group[:cut]) for table, cut in zip(tables, cuts)]
