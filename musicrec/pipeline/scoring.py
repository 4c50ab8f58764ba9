"""One pass over all users: every contender is judged on the future, and the lists that are published are written on the way."""

from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from musicrec.evaluation import Judge
from musicrec.lists import JsonLinesWriter, Lists, ListsFile, Writer
from musicrec.matrix import Float32, Int32, Plays
from musicrec.pipeline.ahead import answered_ahead
from musicrec.pipeline.contending import Fitted, batch_users, batches, contenders
from musicrec.pipeline.workspace import Workspace
from musicrec.ranking import Ranker

Offered = Mapping[str, tuple[Int32, Float32]]
OWN_FILES = {"als": "personal_als.parquet", "content": "content_recommendations.parquet"}
USER_BASED, USER_BASED_FILE = "neighbours", "recommendations_ub.json"
PUBLISHED = "recommendations.parquet"


def scored(work: Workspace, made: Fitted, future: Plays, ranker: Ranker, publish: str) -> Judge:
    """The judge of all contenders on `future`, with the lists of every user of the history written into the workspace.

    recommendations.parquet holds the lists of contender `publish`; personal_als.parquet, content_recommendations.parquet and
    recommendations_ub.json those of their generators, as far as they run. Files appear when all users are done.
    """
    judge = Judge(made.history, future)
    cold = judge.user_ids[judge.history_rows < 0]
    size, known = batch_users(work), made.history.user_ids
    everyone = [*batches(known, np.arange(len(known), dtype=np.int32), size), *batches(cold, np.full(len(cold), -1, np.int32), size)]
    with ExitStack() as files, tqdm(total=sum(len(users) for users, _ in everyone), desc="recommend", unit="user", disable=None) as bar:
        writers = {name: files.enter_context(writer) for name, writer in _writers(work, made, publish).items()}
        files.enter_context(threadpool_limits(1, user_api="blas"))
        answers = answered_ahead(lambda batch: contenders(work, made, ranker, batch[1]), everyone, work.settings.engine.threads)
        for (users, rows), offered in zip(everyone, answers, strict=True):
            _judged(judge, users, offered)
            if len(rows) and rows[0] >= 0:
                _written(writers, users, offered, publish)
            bar.update(len(users))
    return judge


def _writers(work: Workspace, made: Fitted, publish: str) -> dict[str, ListsFile]:
    ids, folder = made.history.item_ids, work.folder
    found: dict[str, ListsFile] = {PUBLISHED: Writer(folder / PUBLISHED, ids)}
    found |= {file: Writer(folder / file, ids) for name, file in OWN_FILES.items() if name in made.recommenders}
    if USER_BASED in made.recommenders:
        found[USER_BASED_FILE] = JsonLinesWriter(folder / USER_BASED_FILE, ids)
    return found


def _judged(judge: Judge, users: Int32, offered: Offered) -> None:
    for name, (items, scores) in offered.items():
        judge.add(name, Lists(users, items, scores))


def _written(writers: Mapping[str, ListsFile], users: Int32, offered: Offered, publish: str) -> None:
    of_file = {PUBLISHED: publish, USER_BASED_FILE: USER_BASED, **{file: name for name, file in OWN_FILES.items()}}
    for file, writer in writers.items():
        writer.add(Lists(users, *offered[of_file[file]]))

