"""What each user of an experiment was shown and did: exposures joined with feedback, in DuckDB. Pure: tables in, tables out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd

from musicrec.errors import DataError
from musicrec.evaluation.metrics import Float64

METRICS = ("plays", "kept_plays", "skips", "likes", "listening")
_KEYS = {"day": "shown_at::DATE::VARCHAR", "source": "source", "position": "least(position, 10)"}


class Outcomes(NamedTuple):
    """users: variant (the first seen), several (whether others were), days, lists, impressions, sessions, METRICS, and before_... for the
    weeks before the first exposure. by: tables by day, source and position (10: all from there). drawn: impressions with a propensity."""

    users: pd.DataFrame
    by: Mapping[str, pd.DataFrame]
    drawn: pd.DataFrame

    def values(self, prefix: str = "") -> Float64:
        """The METRICS of each user, (n_users, 5)."""
        return np.ascontiguousarray(self.users[[prefix + name for name in METRICS]].to_numpy(np.float64))


def outcomes(impressions: Any, feedback: Any, name: str, hours: float, end: datetime | None = None, weeks_before: int = 4) -> Outcomes:
    """The outcomes of the experiment `name`, from what `musicrec events export` writes as impressions and as interactions.

    Both are a pyarrow Table or Dataset. Feedback with a recommendation_id belongs to that answer, other feedback to the last answer of
    `hours` before that showed the item. Kept plays have a share of at least 0.5, or an unknown one; listening is the sum of shares of all
    that was played since the first exposure, until `hours` after `end`. Raises DataError where no exposure is of the experiment.
    """
    has = set(feedback.schema.names)
    columns = {"item": "track_id" if "track_id" in has else "item_id", "share": "played_share" if "played_share" in has else "NULL::FLOAT",
               "kind": "coalesce(feedback, 'play')" if "feedback" in has else "'play'",
               "answer": "coalesce(recommendation_id, '')" if "recommendation_id" in has else "''"}
    with duckdb.connect() as database:
        database.register("impressions", impressions)
        database.register("feedback", feedback)
        database.execute(_JOINED.format(name=name, seconds=round(hours * 3600), end=f"{end:%Y-%m-%d %H:%M:%S}" if end else "infinity",
                                        weeks=weeks_before, **columns))
        users = database.sql("SELECT attributed.*, own.* EXCLUDE user FROM attributed LEFT JOIN own USING (user) ORDER BY user").df()
        if users.empty:
            raise DataError(f"no exposure is of experiment {name!r}; set [service] impressions = true, and see whether it runs: "
                            "musicrec experiments list.")
        by = {key: database.sql(_BY.format(key=key, value=value)).df() for key, value in _KEYS.items()}
        return Outcomes(users.fillna(0), by, database.sql(_DRAWN).df())


# Exposures are stored in the background, so that quick feedback may be stored before: hence the 5 seconds.
_JOINED = """
CREATE TEMP TABLE shown AS
SELECT row_number() OVER () AS id, user_id::VARCHAR AS user, item_id::VARCHAR AS item, source, position, shown_at, propensity,
       shown_at - INTERVAL 5 SECOND AS since, recommendation_id AS answer, regexp_extract(variant, '(^| ){name}:([^ ]+)', 2) AS variant
FROM impressions WHERE regexp_matches(variant, '(^| ){name}:');

CREATE TEMP TABLE told AS
SELECT row_number() OVER () AS id, user_id::VARCHAR AS user, {item}::VARCHAR AS item, started_at AS moment, {answer} AS answer,
       ({kind} = 'play')::INT AS plays, ({kind} = 'play' AND coalesce({share}, 1) >= 0.5)::INT AS kept_plays,
       ({kind} = 'skip')::INT AS skips, ({kind} = 'like')::INT AS likes,
       CASE {kind} WHEN 'play' THEN coalesce({share}, 1) WHEN 'skip' THEN coalesce({share}, 0) ELSE 0 END AS listening,
       coalesce(started_at - lag(started_at) OVER (PARTITION BY user_id ORDER BY started_at) > INTERVAL 30 MINUTE, true) AS begins
FROM feedback WHERE user_id::VARCHAR IN (SELECT user FROM shown) AND started_at < '{end}'::TIMESTAMP + INTERVAL {seconds} SECOND;

CREATE TEMP TABLE rewarded AS
WITH credited AS (
    SELECT told.id, min(shown.id) AS shown FROM told JOIN shown USING (user, item, answer) WHERE answer <> '' GROUP BY told.id
    UNION ALL
    SELECT told.id, shown.id FROM told ASOF JOIN shown ON told.user = shown.user AND told.item = shown.item AND told.moment >= shown.since
    WHERE told.answer = '' AND told.moment <= shown.shown_at + INTERVAL {seconds} SECOND)
SELECT any_value(COLUMNS(shown.*)), coalesce(sum(plays), 0) AS plays, coalesce(sum(kept_plays), 0) AS kept_plays,
       coalesce(sum(skips), 0) AS skips, coalesce(sum(likes), 0) AS likes
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
SELECT variant, {value} AS {key}, count(DISTINCT user)::INT AS users, count(*)::INT AS impressions,
       sum(COLUMNS(['plays', 'kept_plays', 'skips', 'likes']))::INT
FROM (SELECT rewarded.* REPLACE (attributed.variant AS variant) FROM rewarded JOIN attributed USING (user)) GROUP BY ALL ORDER BY ALL
"""
_DRAWN = """
SELECT user, item, least(kept_plays, 1)::DOUBLE AS kept, propensity::DOUBLE AS propensity FROM rewarded WHERE propensity IS NOT NULL
"""
