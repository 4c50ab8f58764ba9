"""The second protocol: a random part of every user's history is held out, whatever its dates say."""

from musicrec import split
from musicrec.evaluation import Judge
from musicrec.lists import Lists
from musicrec.pipeline.contending import batch_users, batches, contenders
from musicrec.pipeline.learning import fitted
from musicrec.pipeline.workspace import Tables, Workspace


def held_out(work: Workspace, tables: Tables) -> Judge:
    """Baselines, generators and their plain fusion, fitted to what is left of all plays and judged on what was held out.

    The ranker is not among them: it learns from windows in time, which this protocol does not have.
    """
    settings = work.settings
    whole = split.history(work.folder / "events.parquet", tables.catalogue, None)
    past, future = split.random_holdout(whole, settings.evaluation.holdout_share, settings.evaluation.seed)
    made = fitted(work, past)
    judge = Judge(past, future)
    for users, rows in batches(judge.user_ids, judge.history_rows, batch_users(work)):
        for name, (items, scores) in contenders(work, made, None, rows).items():
            judge.add(name, Lists(users, items, scores))
    return judge
