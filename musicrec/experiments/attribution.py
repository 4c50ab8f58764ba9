"""What each user of an experiment was shown and did: exposures joined with feedback, in DuckDB. Pure: tables in, tables out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import pandas as pd
import pyarrow as pa

from musicrec.errors import DataError
from musicrec.events.protocol import KEPT_SHARE, SESSION_GAP_S

WEEKS_BEFORE = 4
METRICS = ("plays", "kept_plays", "skips", "likes", "listening")
# Of the answers of a user: milliseconds, and the shares that failed, lacked a part because another service was down, or were empty.
GUARDRAILS = ("latency_ms", "failed", "degraded", "empty")
_KEYS = {"day": "shown_at::DATE::VARCHAR", "source": "source", "position": "least(position, 10)"}


class Outcomes(NamedTuple):
    """users: variant (the first seen), several (whether others were), days, lists, impressions, sessions, METRICS, and before_... for the
    weeks before the first exposure. by: tables by day, source and position (10: all from there), kept_per_user with
    a normal 95 % interval, none for a single user. drawn: impressions with a propensity.
    answers: user, variant and GUARDRAILS of those whose exposures say how long answers took."""

    users: pd.DataFrame
    by: Mapping[str, pd.DataFrame]
    drawn: pd.DataFrame
    answers: pd.DataFrame


def outcomes(name: str, impressions: Any, feedback: Any, lists: Any, hours: float, end: datetime | None = None) -> Outcomes:
    """The outcomes of the experiment `name`, from what `musicrec events export` writes as impressions and as interactions.

    Both are pyarrow Tables or Datasets, as are `lists` (user_id, item_id), if any, that propensities shall judge. Feedback with a
    recommendation_id belongs to that answer, other feedback to the last answer of `hours` before that showed the item. Kept plays have a
    share of at least KEPT_SHARE, or an unknown one; listening is the sum of shares of all plays from the first exposure until `hours`
    after `end`.
    Raises DataError where no exposure is of the experiment.
    """
    has, timed = set(feedback.schema.names), "ms" in impressions.schema.names
    columns = {"item": "track_id" if "track_id" in has else "item_id", "share": "played_share" if "played_share" in has else "NULL::FLOAT",
               "kind": "coalesce(feedback, 'play')" if "feedback" in has else "'play'",
               "answer": "coalesce(recommendation_id, '')" if "recommendation_id" in has else "''",
               "ms": "ms" if timed else "NULL::FLOAT", "outcome": "outcome" if timed else "''"}
    with duckdb.connect() as database:
        database.register("impressions", impressions)
        database.register("feedback", feedback)
        database.register("lists", pa.table({"user_id": [""], "item_id": [""]}).slice(1) if lists is None else lists)
        database.execute(_JOINED.format(name=name, seconds=round(hours * 3600), end=f"{end:%Y-%m-%d %H:%M:%S}" if end else "infinity",
                                        weeks=WEEKS_BEFORE, kept=KEPT_SHARE, gap=SESSION_GAP_S, **columns))
        users = database.sql("SELECT attributed.*, own.* EXCLUDE user FROM attributed LEFT JOIN own USING (user) ORDER BY user").df()
        if users.empty:
            raise DataError(f"no exposure is of experiment {name!r}; set [service] impressions = true, and see whether it runs: "
                            "musicrec experiments list.")
        by = {key: database.sql(_BY.format(key=key, value=value)).df() for key, value in _KEYS.items()}
        return Outcomes(users.fillna(0), by, database.sql(_DRAWN).df(), database.sql(_ANSWERS).df())


# Exposures are stored in the background, so that quick feedback may be stored before: hence the 5 seconds.
_JOINED = """
CREATE TEMP TABLE exposed AS
SELECT *, {ms} AS took, {outcome} AS ended, regexp_extract(variant, '(^| ){name}:([^ ]+)', 2) AS own
FROM impressions WHERE regexp_matches(variant, '(^| ){name}:');

CREATE TEMP TABLE shown AS
SELECT row_number() OVER () AS id, user_id::VARCHAR AS user, item_id::VARCHAR AS item, source, position, shown_at, propensity,
       shown_at - INTERVAL 5 SECOND AS since, recommendation_id AS answer, own AS variant
FROM exposed WHERE item_id IS NOT NULL;

CREATE TEMP TABLE told AS
SELECT row_number() OVER () AS id, user_id::VARCHAR AS user, {item}::VARCHAR AS item, started_at AS moment, {answer} AS answer,
       ({kind} = 'play')::INT AS plays, (plays AND coalesce({share}, 1) >= {kept})::INT AS kept_plays, ({kind} = 'skip')::INT AS skips,
       ({kind} = 'like')::INT AS likes, if({kind} IN ('play', 'skip'), coalesce({share}, plays), 0) AS listening,
       coalesce(started_at - lag(started_at) OVER (PARTITION BY user_id ORDER BY started_at) > INTERVAL {gap} SECOND, true) AS begins
FROM feedback WHERE user_id::VARCHAR IN (SELECT user FROM shown) AND started_at < '{end}'::TIMESTAMP + INTERVAL {seconds} SECOND;

CREATE TEMP TABLE rewarded AS
WITH credited AS (
    SELECT told.id, min(shown.id) AS shown FROM told JOIN shown USING (user, item, answer) WHERE answer <> '' GROUP BY told.id
    UNION ALL
    SELECT told.id, shown.id FROM told ASOF JOIN shown ON told.user = shown.user AND told.item = shown.item AND told.moment >= shown.since
    WHERE told.answer = '' AND told.moment <= shown.shown_at + INTERVAL {seconds} SECOND)
SELECT any_value(COLUMNS(shown.*)), coalesce(sum(COLUMNS(['plays', 'kept_plays', 'skips', 'likes'])), 0)
FROM shown LEFT JOIN credited ON credited.shown = shown.id LEFT JOIN told ON told.id = credited.id GROUP BY shown.id;

CREATE TEMP TABLE attributed AS
SELECT user, arg_min(variant, shown_at) AS variant, count(DISTINCT variant) > 1 AS several, count(DISTINCT shown_at::DATE) AS days,
       count(DISTINCT answer) AS lists, count(*) AS impressions, sum(COLUMNS(['plays', 'kept_plays', 'skips', 'likes']))
FROM rewarded GROUP BY user;

CREATE TEMP TABLE own AS
SELECT user, sum(listening) FILTER (moment >= since) AS listening, count(*) FILTER (begins AND moment >= since) AS sessions,
       sum(COLUMNS(['plays', 'kept_plays', 'skips', 'likes', 'listening']))
           FILTER (moment < since AND moment >= since - INTERVAL {weeks} WEEK) AS 'before_\\0'
FROM told JOIN (SELECT user, min(since) AS since FROM shown GROUP BY user) USING (user) GROUP BY user;
"""
_BY = """
WITH own AS (
    SELECT variant, {value} AS {key}, user, count(*) AS impressions, sum(COLUMNS(['plays', 'kept_plays', 'skips', 'likes']))
    FROM (SELECT rewarded.* REPLACE (attributed.variant AS variant) FROM rewarded JOIN attributed USING (user)) GROUP BY ALL)
SELECT variant, {key}, count(*)::INT AS users, sum(COLUMNS(['impressions', 'plays', 'kept_plays', 'skips', 'likes']))::INT,
       avg(own.kept_plays) AS kept_per_user, kept_per_user - 1.96 * stddev_samp(own.kept_plays) / sqrt(count(*)) AS kept_per_user_low,
       2 * kept_per_user - kept_per_user_low AS kept_per_user_high
FROM own GROUP BY ALL ORDER BY ALL
"""
_ANSWERS = """
SELECT user_id::VARCHAR AS user, arg_min(own, shown_at) AS variant, avg(took) AS latency_ms, avg((ended = 'failed')::INT) AS failed,
       avg((ended = 'degraded')::INT) AS degraded, avg((item_id IS NULL AND ended <> 'failed')::INT) AS empty
FROM (SELECT DISTINCT ON (user_id, recommendation_id) * FROM exposed) WHERE took IS NOT NULL GROUP BY user ORDER BY user
"""
_DRAWN = """SELECT user, least(kept_plays, 1)::DOUBLE AS kept, propensity::DOUBLE AS propensity,
(user, item) IN (SELECT (user_id::VARCHAR, item_id::VARCHAR) FROM lists) AS chosen FROM rewarded WHERE propensity IS NOT NULL"""
