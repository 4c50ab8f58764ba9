"""CatBoost beside LambdaMART of LightGBM and XGBoost, and lists in which an artist's tracks fall off, on a real log.

    pip install lightgbm xgboost
    python -m benchmarks.rankers

Which log, and where it is cut, say config.ini and the environment, as for `musicrec train`. Models learn with their present settings. All
rankers learn from the same rows of the same folds, start from the scores of the blender, stop early on the latest fold, have trees of depth
4 at a learning rate of 0.1, and are the mean of three seeds. Differences have 95 % bootstrap intervals over users.
"""

from collections.abc import Sequence

import lightgbm
import numpy as np
import xgboost

from musicrec import pipeline, settings
from musicrec.dataset import of_users
from musicrec.evaluation import Evaluator
from musicrec.evaluation.significance import bootstrap_means, interval
from musicrec.lists import Lists
from musicrec.ranking import Constraints, TrainingTable, best_candidates, constrained, fit_blender, fit_ranker, sampled_users
from musicrec.ranking.training import concatenated

SEEDS, MOST, PATIENCE, K = 3, 2000, 30, 10


def by_lightgbm(tables: Sequence[TrainingTable], rows: np.ndarray, objective: str) -> tuple[np.ndarray, int]:
    """Scores of `rows` and the number of trees."""
    def data(table: TrainingTable, start: np.ndarray, like: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        return lightgbm.Dataset(table.features, table.target, group=sizes(table), init_score=start, reference=like)

    chosen = {"objective": objective, "metric": "ndcg" if objective == "lambdarank" else "binary_logloss", "eval_at": [K], "max_depth": 4,
              "num_leaves": 16, "learning_rate": 0.1, "lambda_l2": 3, "max_bin": 63, "verbose": -1, "feature_fraction": 0.8,
              "bagging_fraction": 0.8, "bagging_freq": 1}
    early, late = concatenated(tables[:-1]), tables[-1]
    blender = fit_blender([early])
    begun = data(early, blender.scores_of_rows(early.features, early.columns))
    ended = data(late, blender.scores_of_rows(late.features, late.columns), begun)
    stop = [lightgbm.early_stopping(PATIENCE, verbose=False)]
    trees = max(lightgbm.train(chosen, begun, MOST, valid_sets=[ended], callbacks=stop).best_iteration, 1)
    whole, blender = concatenated(tables), fit_blender(tables)
    start = blender.scores_of_rows(whole.features, whole.columns)
    return np.mean([lightgbm.train(chosen | {"seed": seed}, data(whole, start), trees).predict(rows, raw_score=True)
                    for seed in range(SEEDS)], axis=0), trees


def by_xgboost(tables: Sequence[TrainingTable], rows: np.ndarray) -> tuple[np.ndarray, int]:
    """The same by XGBoost's rank:ndcg."""
    def data(table: TrainingTable, blender_of: Sequence[TrainingTable]) -> xgboost.DMatrix:
        table = table.where(np.argsort(table.group, kind="stable"))
        made = xgboost.DMatrix(table.features, table.target, qid=np.unique(table.group, return_inverse=True)[1])
        made.set_base_margin(fit_blender(blender_of).scores_of_rows(table.features, table.columns))
        return made

    chosen = {"objective": "rank:ndcg", "eval_metric": f"ndcg@{K}", "max_depth": 4, "eta": 0.1, "reg_lambda": 3, "max_bin": 64,
              "subsample": 0.8, "colsample_bytree": 0.8}
    early = concatenated(tables[:-1])
    trees = xgboost.train(chosen, data(early, [early]), MOST, evals=[(data(tables[-1], [early]), "late")], early_stopping_rounds=PATIENCE,
                          verbose_eval=False).best_iteration + 1
    bare = xgboost.DMatrix(rows)
    bare.set_base_margin(np.zeros(len(rows), np.float32))
    whole = data(concatenated(tables), tables)
    return np.mean([xgboost.train(chosen | {"seed": seed}, whole, trees).predict(bare, output_margin=True) for seed in range(SEEDS)],
                   axis=0), trees


def sizes(table: TrainingTable) -> np.ndarray:
    """The number of rows of each user, whose rows are consecutive."""
    return np.diff(np.flatnonzero(np.diff(table.group, prepend=-1, append=-1)))


def main() -> None:
    """Run the pipeline as far as the test set, then print a row for each way to order its candidates."""
    work = pipeline.workspace(settings.load())
    raw = pipeline.raw_tables(work)
    plan, tables = pipeline.plan(work, raw.interactions), pipeline.preprocessed_tables(work, raw)
    result = pipeline.backtested(work, tables, plan)
    train, test = tables.dataset.split(plan.cutoff)
    made = pipeline.fitted(work, pipeline.learned(work, result), train, result.warm_starts)
    warm = of_users(test, train.user_ids)
    evaluator = Evaluator(train, of_users(warm, sampled_users(warm, work.settings.evaluation.max_users, 0)))
    found, rows = made.candidates(evaluator.user_ids), [table for table in result.training if table.learnable]
    whole = concatenated(rows)
    print(f"{len(evaluator.user_ids):,} test users; {len(whole):,} rows of {len(np.unique(whole.group)):,} users of the folds")
    blended = fit_blender(rows).scores(found.candidates)
    ranker = fit_ranker(rows, pipeline.ranker_settings(work.settings))
    scores = {"CatBoost Logloss, as shipped": (ranker.scores_of_rows(found.features), ranker.trees.tree_count_), "blender": (blended, 0)}
    for name, (more, trees) in {"LightGBM lambdarank": by_lightgbm(rows, found.features, "lambdarank"),
                                "LightGBM binary": by_lightgbm(rows, found.features, "binary"),
                                "XGBoost rank:ndcg": by_xgboost(rows, found.features)}.items():
        scores[name] = blended + more.astype(np.float32), trees
    base = None
    for name, (values, trees) in scores.items():
        for decay in (1.0, 0.9, 0.8, 0.5) if base is None else (1.0,):
            pool = best_candidates(found.candidates, values, 100 * Constraints.pool)
            lists = Lists(found.user_ids, *constrained(*pool, found.user_ids, 100, Constraints(artist_decay=decay), train, log_odds=True))
            label = name if decay == 1 else f"  artist_decay {decay}"
            evaluator.add(label, lists)
            own = evaluator.relevance(label)
            base = own["ndcg@10"] if base is None else base
            low, high = interval(bootstrap_means((own["ndcg@10"] - base)[:, None], 1000, 0))
            diversity = np.nanmean(evaluator.measures(label)["artist_diversity@10"])
            print(f"{label:30} {trees:5} trees  ndcg@10 {own['ndcg@10'].mean():.4f} [{float(low[0]) / base.mean():+.1%}, "
                  f"{float(high[0]) / base.mean():+.1%}]  hit_rate@10 {own['hit_rate@10'].mean():.4f}  artist_diversity@10 {diversity:.3f}")


if __name__ == "__main__":
    main()
