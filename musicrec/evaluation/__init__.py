"""Evaluation of recommendations: users and targets, metrics, tables, significance, the backtest and the promotion policy.

One line evaluates fitted models:

    evaluate({"als": als, "popular": popular}, train, test)

An Evaluator takes lists batch by batch; the tables are functions of it:

    evaluator = Evaluator(train, test)                     see targets.TargetRules, metrics.RELEVANCE, accumulator.MEASURES
    evaluator.add("als", lists)                            any number of batches and models
    comparison(evaluator, baselines=("popular",))          one row per model
    segments(evaluator)                                    users by number of seen items, items by popularity
    marginal_hits(evaluator)                               hits of one model alone, recall of the union
    losses(evaluator, "ranked", models)                    where the targets that the list lacks are lost
    figures(evaluator)                                     the columns that the reference notebooks report
    side_by_side({"temporal": ..., "random hold-out": ...})   two protocols in one table

    result = Backtest(folds).run(dataset, recommender)     everything forward in time
    pooled_comparison(result.evaluators)                   all folds as one, one row per user
    result.decision()                                      which list is published, and why
"""

from musicrec.evaluation.backtest import Backtest, BacktestResult, FoldResult
from musicrec.evaluation.comparison import HEADLINE, by_user, comparison, evaluate, pooled_comparison, side_by_side
from musicrec.evaluation.evaluator import KS, Evaluator
from musicrec.evaluation.promotion import Decision, decision
from musicrec.evaluation.reference import figures
from musicrec.evaluation.segments import segments
from musicrec.evaluation.targets import ALL_PLAYS, DISCOVERY, REFERENCE, TargetRules, Targets, targets
from musicrec.evaluation.union import losses, marginal_hits

__all__ = ["ALL_PLAYS", "DISCOVERY", "HEADLINE", "KS", "REFERENCE", "Backtest", "BacktestResult", "Decision", "Evaluator", "FoldResult",
           "TargetRules", "Targets", "by_user", "comparison", "decision", "evaluate", "figures", "losses", "marginal_hits",
           "pooled_comparison", "segments", "side_by_side", "targets"]
