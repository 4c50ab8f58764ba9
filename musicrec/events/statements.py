"""The SQL of the SQLite store."""

from musicrec.events.protocol import LASTING, PLAY, REMEMBERED, SLACK, STAYS

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
# A batch is one row of a view, whose trigger takes it as JSON: rows of a UserFeedback with a rising time and the type to remember at the
# end. One statement means that the writing thread has to wait for the GIL once a commit, which would otherwise limit the rate of puts.
# Plays are ordered as they arrive, also when the clock does not advance: after the user's latest play, and in the order of the batch.
_KEPT = ", ".join(f"'{earlier} {later}'" for later, kept in STAYS.items() for earlier in kept)
RECEIVE = f"""
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE batch (place INTEGER PRIMARY KEY, user_id INTEGER, item_id INTEGER, at INTEGER, type TEXT, played_share REAL,
                         context TEXT, recommendation_id TEXT, rising INTEGER, remembered_type TEXT);
CREATE TEMP VIEW received AS SELECT '' AS feedback;
CREATE TEMP TRIGGER receive INSTEAD OF INSERT ON received BEGIN
  DELETE FROM batch;
  INSERT INTO batch SELECT key, {", ".join(f"value ->> {at}" for at in range(9))} FROM json_each(NEW.feedback);
  SELECT refuse(user_id) FROM batch WHERE user_id IN (SELECT user_id FROM exclusions);
  DELETE FROM batch WHERE user_id IN (SELECT user_id FROM exclusions);
  INSERT INTO plays (user_id, item_id, played_at, type, played_share, context, recommendation_id)
    SELECT user_id, item_id, at, type, played_share, context, recommendation_id FROM batch ORDER BY place;
  INSERT INTO latest SELECT user_id, item_id,
      max(rising, 1 + place + coalesce((SELECT max(played_at) FROM latest AS own WHERE own.user_id = batch.user_id), 0))
    FROM batch WHERE type = '{PLAY}' ORDER BY place ON CONFLICT DO UPDATE SET played_at = excluded.played_at;
  DELETE FROM latest WHERE (user_id, item_id) IN (
    SELECT user_id, item_id FROM (
      SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY played_at DESC) AS place
      FROM latest WHERE user_id IN (SELECT user_id FROM batch))
    WHERE place > {{per_user}});
  INSERT INTO remembered SELECT user_id, item_id, remembered_type, rising FROM batch WHERE true ORDER BY place
    ON CONFLICT DO UPDATE SET at = excluded.at,
    type = CASE WHEN remembered.type || ' ' || excluded.type IN ({_KEPT}) THEN remembered.type ELSE excluded.type END;
  DELETE FROM remembered WHERE (user_id, item_id) IN (
    SELECT user_id, item_id FROM (
      SELECT user_id, item_id, row_number() OVER (PARTITION BY user_id ORDER BY at DESC) AS place
      FROM remembered WHERE type NOT IN {LASTING} AND user_id IN (
        SELECT user_id FROM (SELECT DISTINCT user_id FROM batch) AS put
        WHERE (SELECT count(*) FROM remembered AS own WHERE own.user_id = put.user_id) > {REMEMBERED + SLACK}))
    WHERE place > {REMEMBERED});
END;
"""
FEEDBACK = "INSERT INTO received VALUES (?)"
# Of the users of a JSON list: plays (no type), an exclusion (no item), and what is remembered.
_USERS = "user_id IN (SELECT value FROM json_each(:users))"
PLAYS_OF_USERS = f"""
SELECT user_id, item_id, '', played_at AS at FROM latest WHERE {_USERS} AND played_at >= :oldest
UNION ALL SELECT user_id, NULL, '', deleted_at FROM exclusions WHERE {_USERS}"""
OF_USERS = f"{PLAYS_OF_USERS} UNION ALL SELECT user_id, item_id, type, at FROM remembered WHERE {_USERS}"
EXPOSURE = "user_id, items, sources, shown_at, first, run, recommendation_id, variant, propensities, ms, outcome"
# SQLite takes at most 32,766 parameters.
MOST_EXPOSURES = 1000
# What a file of an earlier version holds, a row an item.
TAKE_OVER = f"""
INSERT INTO exposures ({EXPOSURE})
SELECT user_id, json_array(item_id), json_array(source), shown_at, position, '', '', '', '[]', NULL, '' FROM impressions ORDER BY id
"""
# Of the oldest rows only, so that a commit is short also where a long log gets an age limit for the first time.
REMOVE_OLD = "DELETE FROM {0} WHERE id IN (SELECT id FROM (SELECT id, {1} AS at FROM {0} ORDER BY id LIMIT 1000) WHERE at < ?)"


def log_exposures(rows: int) -> str:
    """The statement that logs so many exposures, given one after the other, but none of excluded users. As one statement, and with lists
    that are JSON already, it takes a quarter of the time of parsing one JSON text.
    """
    values = ", ".join([f"({', '.join('?' * (EXPOSURE.count(',') + 1))})"] * rows)
    return f"INSERT INTO exposures ({EXPOSURE}) SELECT * FROM (VALUES {values}) WHERE column1 NOT IN (SELECT user_id FROM exclusions)"
