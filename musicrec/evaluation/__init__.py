"""How recommendations are judged: who is judged (targets), metrics, comparison table, segments, significance, the seeds' figures, the gate.

A Judge takes lists batch by batch; the tables are functions of it:

    judge = Judge(history, future)                     targets.Rules, metrics.RELEVANCE, tally.MEASURES
    judge.add("als", lists)                            any number of batches and generators
    comparison(judge, baselines=("popular",))          one row a generator
    segments(judge)                                    users by history, tracks by popularity
    marginal_hits(judge)                               what only one generator finds, recall of the union
    figures(judge)                                     the columns that the seeds report
    pooled_comparison([judge, other])                  several windows as one
    gate({"ranked": judge.table("ranked"), ...})       what to publish, and why
    side_by_side({"temporal": ..., "random hold-out": ...})   two protocols in one table
"""

from musicrec.evaluation.comparison import HEADLINE, comparison, pooled, pooled_comparison, side_by_side
from musicrec.evaluation.gate import Decision, gate
from musicrec.evaluation.judge import KS, Judge, per_user
from musicrec.evaluation.seeds import figures
from musicrec.evaluation.segments import segments
from musicrec.evaluation.targets import SEEDS, TEMPORAL, Rules, Targets, targets
from musicrec.evaluation.union import marginal_hits

__all__ = ["HEADLINE", "KS", "SEEDS", "TEMPORAL", "Decision", "Judge", "Rules", "Targets", "comparison", "figures", "gate",
           "marginal_hits", "per_user", "pooled", "pooled_comparison", "segments", "side_by_side", "targets"]
