"""The SQL of the SQLite store."""

from musicrec.events.protocol import LASTING, REMEMBERED, SLACK, STAYS

TABLES = """
CREATE TABLE IF NOT EXISTS plays (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, played_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS exposures (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, items TEXT NOT NULL, sources TEXT NOT NULL,
                                      shown_at INTEGER NOT NULL, first INTEGER NOT NULL, run TEXT NOT NULL, recommendation_id TEXT NOT NULL,
                                      variant TEXT NOT NULL, propensities TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS latest (user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, played_at INTEGER NOT NULL,
                                   PRIMARY KEY (user_id, item_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS remembered (user_id INTEGER NOT NULL, item_id INTEGER NOT NULL, type TEXT NOT NULL, at INTEGER NOT NULL,
                                       PRIMARY KEY (user_id, item_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exclusions (user_id INTEGER PRIMARY KEY NOT NULL, deleted_at INTEGER NOT NULL) WITHOUT ROWID;
"""
# A file whose table lacks them gets them when it is opened, which takes no time: SQLite stores what differs from the default.
ADDED = {"plays": ("type TEXT NOT NULL DEFAULT 'play'", "played_share REAL", "context TEXT NOT NULL DEFAULT ''",
                   "recommendation_id TEXT NOT NULL DEFAULT ''"),
         "exposures": ("ms REAL", "outcome TEXT NOT NULL DEFAULT ''")}
# Each statement takes a whole batch, so that the GIL is released and taken a few times per commit instead of per row, which would limit
# the rate of puts. It comes as JSON rows of a UserFeedback with an order and the type to remember at the end, and is parsed once, into a
# table in memory.
BATCH = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE batch (place INTEGER PRIMARY KEY, user_id INTEGER, item_id INTEGER, at INTEGER, type TEXT, played_share REAL,
                         context TEXT, recommendation_id TEXT, rising INTEGER, remembered_type TEXT);
"""
TAKE = """
INSERT INTO batch
SELECT key, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8
FROM json_each(?)
"""
LOG_FEEDBACK = """
INSERT INTO plays (user_id, item_id, played_at, type, played_share, context, recommendation_id)
SELECT user_id, item_id, at, type, played_share, context, recommendation_id FROM batch ORDER BY place
"""
# Plays are ordered as they arrive, also when the clock does not advance: after the user's latest play, and in the order of the batch.
MOVE_TO_FRONT = """
INSERT INTO latest SELECT user_id, item_id,
  max(rising, 1 + place + coalesce((SELECT max(played_at) FROM latest AS own WHERE own.user_id = batch.user_id), 0))
FROM batch WHERE type = 'play' ORDER BY place ON CONFLICT DO UPDATE SET played_at = excluded.played_at
"""
CAP = """
DELETE FROM latest WHERE (user_id, item_id) IN (
  SELECT user_id, item_id FROM (
    SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY played_at DESC) AS place
    FROM latest WHERE user_id IN (SELECT user_id FROM batch))
  WHERE place > ?)
"""
_KEPT = ", ".join(f"'{earlier} {later}'" for later, kept in STAYS.items() for earlier in kept)
REMEMBER = f"""
INSERT INTO remembered SELECT user_id, item_id, remembered_type, rising FROM batch WHERE true ORDER BY place
ON CONFLICT DO UPDATE SET at = excluded.at,
  type = CASE WHEN remembered.type || ' ' || excluded.type IN ({_KEPT}) THEN remembered.type ELSE excluded.type END
"""
FORGET = f"""
DELETE FROM remembered WHERE (user_id, item_id) IN (
  SELECT user_id, item_id FROM (
    SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY at DESC) AS place
    FROM remembered WHERE type NOT IN {LASTING} AND user_id IN (
      SELECT user_id FROM (SELECT DISTINCT user_id FROM batch) AS put
      WHERE (SELECT count(*) FROM remembered AS own WHERE own.user_id = put.user_id) > {REMEMBERED + SLACK}))
  WHERE place > {REMEMBERED})
"""
LATEST = "SELECT item_id FROM latest WHERE user_id = ? AND played_at >= ? ORDER BY played_at DESC LIMIT ?"
OF_USER = "SELECT item_id, type, at FROM remembered WHERE user_id = ? ORDER BY at DESC"
EXPOSURE = "user_id, items, sources, shown_at, first, run, recommendation_id, variant, propensities, ms, outcome"
LOG_EXPOSURES = f"INSERT INTO exposures ({EXPOSURE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# What a file of an earlier version holds, a row an item.
TAKE_OVER = f"""
INSERT INTO exposures ({EXPOSURE})
SELECT user_id, json_array(item_id), json_array(source), shown_at, position, '', '', '', '[]', NULL, '' FROM impressions ORDER BY id
"""
# Of the oldest rows only, so that a commit is short also where a long log gets an age limit for the first time.
REMOVE_OLD = "DELETE FROM {0} WHERE id IN (SELECT id FROM (SELECT id, {1} AS at FROM {0} ORDER BY id LIMIT 1000) WHERE at < ?)"
