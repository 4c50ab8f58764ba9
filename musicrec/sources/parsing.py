"""What a row of a log is, in SQL: its fields, how they are read, and what can be wrong with them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

Kind = Literal["plays", "tracks", "marks"]
FEEDBACK = ("play", "skip", "like", "dislike")
MARKS = (*FEEDBACK, "unlike", "undislike")
# What a row may have, all as text, genres as a list. broken: why it cannot be read; ignored: why it is no play; line: the whole of it.
FIELDS = ("user", "track", "moment", "share", "ms", "feedback", "answer", "title", "artist", "album", "genres", "duration", "broken",
           "ignored", "line")
# The fields of rows that are lines of JSON.
OF_JSON_LINES = {"broken": "case when not json_valid(line) then 'is not JSON' end", "line": "line"}
START = r"""
create table plays (file int, u int, t int, moment timestamp, share float, ms bigint, feedback varchar, was_recommended boolean);
create table described (t int, title varchar, artist varchar, album varchar, genres varchar[], duration double, h ubigint);
create table marks (u int, t int, moment timestamp, feedback varchar);
create table users (k varchar, n int);
create table items (k varchar, n int);
create macro given(x) as case when lower(trim(x)) in ('', 'nan', 'null', 'none', 'na') then null else trim(x) end;
create macro filled(x) as case when x = '' or (x like ' %' and trim(x) = '') then null else x end;
create macro normal(x) as nullif(trim(regexp_replace(lower(nfc_normalize(x)), '\s+', ' ', 'g')), '');
create macro of_number(x) as make_timestamp(round(case when x < 1e11 then x * 1e6 when x < 1e14 then x * 1e3 when x < 1e17 then x
    else x / 1e3 end)::bigint);
create macro moment_of(x) as case
    -- Without an offset the plain cast does, which takes a sixth of the time.
    when x like '____-__-__%' and x not like '__________%+%' and x not like '__________%-%' and try_cast(x as timestamp) is not null
        then try_cast(x as timestamp)
    when regexp_full_match(x, '[0-9]{9,19}(\.[0-9]*)?|[0-9](\.[0-9]+)?[eE]\+?[0-9]{1,2}') then of_number(x::double)
    else coalesce(try_cast(x as timestamptz) at time zone 'UTC', try_strptime(x, ['%d %b %Y, %H:%M', '%d %b %Y %H:%M',
        '%d %b %Y %H:%M:%S', '%a %b %d %H:%M:%S %Y'])) end;
create macro names_of(x) as list_distinct(list_filter(list_transform(x, y -> trim(y)), y -> y <> ''));
"""


def problem(called: Mapping[str, str], kind: Kind, latest: datetime) -> str:
    """SQL: a struct of what is wrong with a row and the value that is, or null.

    called: what the logs call each field. kind: see Import.add. latest: plays after it are in the future.
    """
    def rule(field: str, wrong: str, what: str) -> str:
        return f"when {wrong} then {{'rule': '{quoted(f'column {called[field]!r} {what}')}', 'value': \"{field}\"}}"

    rules = [rule("track", "track is null", "is empty")]
    if kind != "tracks":
        rules += [rule("user", '"user" is null', "is empty"), rule("moment", "started is null", "is not a time"),
                  rule("moment", f"started > timestamp '{latest}'", "is in the future"),
                  rule("share", "share is not null and coalesce(try_cast(share as float) not between 0 and 1, true)",
                       "is not a share from 0 to 1; name milliseconds in played_ms"),
                  rule("ms", "ms is not null and coalesce(try_cast(ms as double) < 0, true)", "is not a number of milliseconds"),
                  rule("feedback", f"feedback not in {FEEDBACK if kind == 'plays' else MARKS}",
                       "is not play, skip, like or dislike; map it in feedback_values")]
    return ("case when ignored is not null then null when broken is not null then {'rule': 'the line ' || broken, 'value': line} "
            f"{' '.join(rules)} end")


def quoted(text: str) -> str:
    """Text for use inside single quotes of SQL."""
    return text.replace("'", "''")
