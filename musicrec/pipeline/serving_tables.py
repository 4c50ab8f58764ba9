"""What services load, written into the workspace from a fitted recommender: lists, the default list, similar items, models."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from musicrec import schema, similar_items
from musicrec.dataset import Float32, Int32, TrainSet
from musicrec.dataset.split import with_all_items
from musicrec.files import LOOKUP_ROWS, write_parquet
from musicrec.lists import JsonLinesWriter, Lists, ListsFile, Writer
from musicrec.models import FittedModel, ItemFactors
from musicrec.pipeline.all_plays import familiar_model, has_repeats
from musicrec.pipeline.workspace import Tables, Workspace, model
from musicrec.recommender import RANKED, TwoStageRecommender
from musicrec.recommender.two_stage import batches
from musicrec.registry import RECOMMENDER
from musicrec.runners import RUNNERS, Shared
from musicrec.storage import scratch_storage

MADE_BY = b"made_by"
PUBLISHED, FAMILIAR, RANKER = "recommendations.parquet", "familiar.parquet", "cb_model.cbm"
CONTRIBUTIONS, LISTS_BY_MODEL = "contributions.parquet", "lists_by_model.parquet"
USERS_AT_A_TIME, PLACES = 4096, 10


def write_lists(work: Workspace, made: TwoStageRecommender) -> None:
    """The lists of every user of the train set: recommendations.parquet in the order of the recommender, and for each model that names
    a `lists_file` its own. Files appear when all users are done. For [ranking] explained_users users lists_by_model.parquet too, and where
    the order is "ranked" contributions.parquet; else earlier ones are removed.
    """
    order_of = {PUBLISHED: made.order} | {file: name for name, one in made.models.items() if (file := getattr(one, "lists_file", ""))}
    train, settings = made.fitted.train, work.settings
    shared = Shared(lambda: work.connection, lambda: _saved(work, made), scratch_storage(settings, work.folder / "lists.part"))
    with ExitStack() as files:
        writers = {file: files.enter_context(_writer(work.folder / file, train)) for file in order_of}
        for lists in RUNNERS[settings.engine.name](made, train.user_ids, settings.ranking.k, set(order_of.values()), settings.batch_memory,
                                                   settings.engine.threads, shared):
            for file, writer in writers.items():
                writer.add(lists[order_of[file]])
    _write_explained(work, made)
    if has_repeats(train):
        own = familiar_model(settings, train)
        with Writer(work.folder / FAMILIAR, train.item_ids) as writer:
            for users in batches(train.user_ids, USERS_AT_A_TIME):
                writer.add(Lists(users, *own.recommend_with_seen(train.user_index(users), settings.ranking.k)))


def _write_explained(work: Workspace, made: TwoStageRecommender) -> None:
    users, settings = made.fitted.train.user_ids, work.settings
    by_model, contributions = work.folder / LISTS_BY_MODEL, work.folder / CONTRIBUTIONS
    for path in (by_model, contributions):
        path.unlink(missing_ok=True)
    if settings.ranking.explained_users:
        some = list(batches(users[::-(-len(users) // settings.ranking.explained_users)], made.batch_users(settings.batch_memory)))
        _write_rows(by_model, schema.LISTS_BY_MODEL, [_by_model(made, batch) for batch in some])
        if made.order == RANKED:
            _write_rows(contributions, schema.CONTRIBUTIONS, [made.contributions(batch, settings.ranking.k) for batch in some])


def _write_rows(path: Path, columns: schema.TableSchema, parts: list[pd.DataFrame]) -> None:
    write_parquet(pa.Table.from_pandas(pd.concat(parts), columns.arrow, preserve_index=False), path, LOOKUP_ROWS)


def _by_model(made: TwoStageRecommender, users: Int32) -> pd.DataFrame:
    """The first PLACES items that each model recommends to these users, in the columns of LISTS_BY_MODEL."""
    names, lists = list(made.models), made.lists(users, PLACES, made.models)
    items = np.stack([lists[name].items for name in names], axis=1)
    user, model, place = np.nonzero(items >= 0)
    return pd.DataFrame({"user_id": users[user], "model": np.array(names)[model], "rank": place + 1,
                         "item_id": made.fitted.train.item_ids[items[user, model, place]]})


def write_top_popular(work: Workspace, tables: Tables, made: TwoStageRecommender) -> pd.DataFrame:
    """top_popular.parquet: the list for cold users, rank 1 first, made by the model that [candidates] top_popular names.

    The name of that model is kept in the file's metadata under `made_by`. Returns the table with names for reading.
    """
    name, train = work.settings.candidates.top_popular, made.fitted.train
    fitted = made.fitted.models.get(name) or model(work.settings, name).fit(train)
    lists = Lists(np.full(1, -1, np.int32), *fitted.recommend(np.full(1, -1, np.int32), work.settings.ranking.k))
    there = lists.items[0] >= 0
    items, scores = lists.items[0][there], lists.scores[0][there]
    ranked = pd.DataFrame({"rank": np.arange(1, len(items) + 1, dtype=np.int32), "item_id": train.item_ids[items],
                           "users": train.n_listeners[items], "score": scores})
    named = ranked.merge(tables.names(ranked["item_id"]), on="item_id", how="left")
    columns = schema.TOP_POPULAR.required
    if work.settings.data.extended_columns:
        columns = schema.TOP_POPULAR.arrow
        listed = tables.items.filter(tables.items.item_id.isin(ranked["item_id"].tolist()))
        norm = listed.select("item_id", "num_users_norm").to_pyarrow().to_pandas()
        named = named.assign(users_top=named["users"], users_top_norm=named["users"] / named["users"].max()).merge(norm, on="item_id")
    table = pa.Table.from_pandas(named[columns.names], columns, preserve_index=False)
    write_parquet(table.replace_schema_metadata({MADE_BY: name.encode()}), work.folder / "top_popular.parquet")
    return named


def write_similar_items(work: Workspace, tables: Tables, made: TwoStageRecommender) -> Path:
    """similar.parquet: the items like each item of the catalog, from factors where a model has them, listeners in common, and content."""
    train = with_all_items(made.fitted.train, tables.dataset.catalog)
    chosen = work.settings.similar_items
    found = similar_items.similar_items(train, item_factors(made, train), chosen.k, max_same_artist=chosen.max_same_artist)
    path = work.folder / "similar.parquet"
    similar_items.write(path, found, train.item_ids)
    return path


def needed_last(work: Workspace, made: TwoStageRecommender) -> list[str]:
    """The models that the default list and similar items are made from; all others can be freed once lists and models are written."""
    return [name for name, one in made.fitted.models.items()
            if name == work.settings.candidates.top_popular or isinstance(one, ItemFactors)]


def item_factors(made: TwoStageRecommender, train: TrainSet) -> Float32 | None:
    """The item factors of the first model that has some, for the items of `train`, zeros for those that it does not know; else None."""
    one: FittedModel | None = next((one for one in made.fitted.models.values() if isinstance(one, ItemFactors)), None)
    if not isinstance(one, ItemFactors):
        return None
    factors: Float32 = np.zeros((len(train.item_ids), one.item_factors.shape[1]), np.float32)
    factors[np.searchsorted(train.item_ids, made.fitted.train.item_ids)] = one.item_factors
    return factors


def write_models(work: Workspace, made: TwoStageRecommender) -> None:
    """The recommender as it can be loaded again, als_model.npz, where als runs, and cb_model.cbm, where there is a ranker."""
    _saved(work, made)
    for name, chosen in made.models.items():
        if file := getattr(chosen, "model_file", ""):
            made.fitted.models[name].save_npz(work.folder / file)  # type: ignore[attr-defined]  # a model with a model_file has it
    if made.ranker is not None:
        made.ranker.save(work.folder / RANKER)


def _saved(work: Workspace, made: TwoStageRecommender) -> Path:
    folder = work.folder / RECOMMENDER
    made.save(folder)
    return folder


def _writer(path: Path, train: TrainSet) -> ListsFile:
    return (JsonLinesWriter if path.suffix == ".json" else Writer)(path, train.item_ids)
