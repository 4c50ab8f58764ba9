"""What was made beside what was published: a table with one row a figure."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from musicrec.datasets.generated import FILES
from musicrec.datasets.synthetic import figures
from musicrec.datasets.synthetic.users import daily_listens

_MEMORY, _USERS_AT_ONCE, _SPLIT = "2GB", 40_000, "2022-12-16"
# figure: (published, tolerance as a share of it; whether it grows with scale). Quantiles within 15 %.
_SIZES = {"listens": (figures.N_EVENTS, 0.005), "users": (figures.N_USERS, 0.001), "test listens": (13_898_646, 0.02),
          "test users": (figures.TEST_USERS, 0.05), "cold users": (figures.COLD_USERS, 0.02)}
_CATALOGUE = {
    "albums": (figures.N_ALBUMS, 0.01), "artists": (figures.N_ARTISTS, 0.01), "tracks without genre": (figures.NO_GENRE_TRACKS, 0.15),
    "tracks without artist": (15_369, 0.15), "tracks with an unnamed genre": (figures.UNNAMED_TRACKS, 0.15),
    "distinct album lists": (484_862, 0.15), "distinct artist lists": (218_450, 0.15), "ids of several types": (figures.SHARED_IDS, 0.15),
}
_LENGTHS = {1: 11, 5: 12, 10: 14, 25: 23, 50: 55, 75: 154, 90: 389, 95: 650, 99: 1576}
_LISTENS = {0: 5, 5: 5, 25: 9, 50: 19, 75: 67, 95: 760}
_PER_TRACK = {"albums": {50: 1, 70: 2, 90: 3, 95: 6, 99: 24}, "artists": {70: 1, 80: 2, 95: 3}, "genres": {50: 2, 95: 2, 99: 3}}
_PER_NAME = {"albums": {50: 1, 80: 6, 95: 22, 99: 45}, "artists": {50: 1, 80: 6, 95: 34, 99: 119},
             "genres": {10: 79, 50: 1958, 90: 21_240, 99: 121_226}}


def facts(folder: Path, scale: float) -> pd.DataFrame:
    """Columns figure, published, made, tolerance (a share), within. Published counts are scaled.

    Needs about 2 GB of memory at full size, where it takes a few minutes of one core.
    """
    with duckdb.connect(config={"memory_limit": _MEMORY, "threads": 1}) as engine:
        for name in FILES:
            engine.execute(f"create view {name.split('.')[0]} as from read_parquet('{Path(folder) / name}')")
        for name in ("user", "track"):
            engine.execute(f"""create temp table per_{name} as select {name}_id id, count(*) n, min(started_at) began, max(started_at) ended
                from interactions group by {name}_id""")
        n_tracks = _number(engine, "select count(*) from tracks")
        size = n_tracks / figures.N_TRACKS
        rows = [*_sizes(engine, scale), *_time(engine), *_histories(engine), *_pairs(engine, scale), *_catalog(engine, size),
                *_sizes_of_lists(engine, size), *_genres(engine, size)]
        if scale == 1:
            rows += _whole(engine)
    table = pd.DataFrame(rows, columns=["figure", "published", "made", "tolerance"])
    gap = (table["made"] - table["published"]).abs()
    # A count of one more or less is no difference; shares, which lie under 1, are compared by tolerance alone.
    table["within"] = (gap <= table["tolerance"] * table["published"]) | (table["published"] > 1) & (gap < 1)
    return table


Row = tuple[str, float, float, float]


def _number(engine: duckdb.DuckDBPyConnection, query: str) -> float:
    found = engine.execute(query).fetchone()
    return float(found[0]) if found and found[0] is not None else float("nan")


def _quantile(engine: duckdb.DuckDBPyConnection, per_cent: int, counts: str) -> float:
    return _number(engine, f"select quantile_disc(n, {per_cent / 100}) from ({counts})")


def _sizes(engine: duckdb.DuckDBPyConnection, scale: float) -> list[Row]:
    made = {
        "listens": "select sum(n) from per_user", "users": "select count(*) from per_user",
        "test listens": f"select count(*) from interactions where started_at >= '{_SPLIT}'",
        "test users": f"select count(*) from per_user where ended >= '{_SPLIT}'",
        "cold users": f"select count(*) from per_user where began >= '{_SPLIT}'",
    }
    return [(name, wanted * scale, _number(engine, made[name]), tolerance) for name, (wanted, tolerance) in _SIZES.items()]


def _pairs(engine: duckdb.DuckDBPyConnection, scale: float) -> list[Row]:
    # Distinct pairs of 222 million rows fit no memory at once; the files are in order of users, so ranges of them are cheap.
    repeats = user_days = 0.0
    for low in range(0, int(_number(engine, "select max(id) from per_user")) + 1, _USERS_AT_ONCE):
        part = f"from interactions where user_id >= {low} and user_id < {low + _USERS_AT_ONCE}"
        repeats += _number(engine, f"select count(*) - count(distinct user_id * {2**32} + track_id) {part}")
        user_days += _number(engine, f"select count(distinct user_id * 400 + dayofyear(started_at)) {part}")
    return [("repeats of (user, track)", 0, repeats, 0.0), ("user-days", figures.USER_DAYS * scale, user_days, 0.1)]


def _whole(engine: duckdb.DuckDBPyConnection) -> list[Row]:
    return [
        ("tracks", figures.N_TRACKS, _number(engine, "select count(*) from tracks"), 0.001),
        ("tracks heard in the test period only", 305, _number(engine, f"select count(*) from per_track where began >= '{_SPLIT}'"), 0.15),
        ("distinct genre lists", figures.GENRE_LISTS, _number(engine, "select count(distinct genres) from tracks"), 0.15),
    ]


def _time(engine: duckdb.DuckDBPyConnection) -> list[Row]:
    per_day = engine.execute("select count(*) n from interactions group by started_at order by started_at").fetchnumpy()["n"]
    wanted = daily_listens(int(per_day.sum()))
    gap = float(np.abs(per_day - wanted).sum() / wanted.sum()) if len(per_day) == len(wanted) else 1.0
    return [("days with listens", 365, len(per_day), 0.0), ("listens on the right day (share)", 1.0, 1 - gap, 0.03)]


def _histories(engine: duckdb.DuckDBPyConnection) -> list[Row]:
    lengths, heard = "select n from per_user", "select n from per_track"
    short = _number(engine, f"select avg((n <= 10)::int) from ({lengths})")
    return [
        *((f"history length, p{p}", wanted, _quantile(engine, p, lengths), 0.15) for p, wanted in _LENGTHS.items()),
        ("history length, mean", 162.12, _number(engine, f"select avg(n) from ({lengths})"), 0.01),
        ("history length, sd", 351.28, _number(engine, f"select stddev(n) from ({lengths})"), 0.15),
        ("histories up to 10 (share)", 0.0098, short, 0.15),
        *((f"listens per track, p{p}", wanted, _quantile(engine, p, heard), 0.15) for p, wanted in _LISTENS.items()),
        ("listens per track, most (share of users)", figures.HITS[0] / figures.N_USERS,
         _number(engine, f"select max(n) / (select count(*) from per_user) from ({heard})"), 0.15),
    ]


def _catalog(engine: duckdb.DuckDBPyConnection, size: float) -> list[Row]:
    unnamed = ", ".join(map(str, figures.UNNAMED_GENRES))
    kind = "select count(*) from catalog_names where type = "
    made = {
        "albums": f"{kind} 'album'", "artists": f"{kind} 'artist'",
        "tracks without genre": "select count(*) from tracks where len(genres) = 0",
        "tracks without artist": "select count(*) from tracks where len(artists) = 0",
        "tracks with an unnamed genre": f"select count(*) from tracks where list_has_any(genres, [{unnamed}])",
        "distinct album lists": "select count(distinct albums) from tracks",
        "distinct artist lists": "select count(distinct artists) from tracks",
        "ids of several types": "select count(*) from (select id from catalog_names group by id having count(distinct type) > 1)",
    }
    repeated = [("track", figures.REPEATED_TITLES), ("album", figures.REPEATED_ALBUMS), ("artist", figures.REPEATED_ARTISTS)]
    shares = [(f"repeated names of {name}s (share)", wanted, _number(engine, f"""select sum(n) filter (n > 1) / sum(n)
        from (select count(*) n from catalog_names where type = '{name}' group by name)"""), 0.05) for name, wanted in repeated]
    return [(name, wanted * size, _number(engine, made[name]), tolerance) for name, (wanted, tolerance) in _CATALOGUE.items()] + shares


def _sizes_of_lists(engine: duckdb.DuckDBPyConnection, size: float) -> list[Row]:
    rows: list[Row] = []
    for column in ("albums", "artists", "genres"):
        per_track = f"select len({column}) n from tracks"
        per_name = f"select count(*) n from (select unnest({column}) x from tracks) group by x"
        factor = size if column == "genres" else 1
        rows += [(f"{column} per track, p{p}", wanted, _quantile(engine, p, per_track), 0.15) for p, wanted in _PER_TRACK[column].items()]
        rows += [(f"tracks per {column[:-1]}, p{p}", wanted * factor, _quantile(engine, p, per_name), 0.15)
                 for p, wanted in _PER_NAME[column].items()]
    return rows


def _genres(engine: duckdb.DuckDBPyConnection, size: float) -> list[Row]:
    engine.execute("""create temp table by_genre as with flat as (select track_id, unnest(genres) id from tracks)
        select c.name, count(*) tracks, sum(n) listens from flat join per_track on track_id = per_track.id
        left join (from catalog_names where type = 'genre') c on c.id = flat.id group by 1""")
    found = {name: (tracks, share) for name, tracks, share in
             engine.execute("select name, tracks, 100 * listens / sum(listens) over () from by_genre").fetchall()}
    known = [(f"tracks of {name}", figures.GENRES[name][0] * size, found[name][0], 0.15) for name in figures.KNOWN_TRACK_COUNTS]
    return known + [(f"share of listens of {name}, %", share, float(found[name][1]), 0.15) for name, (_, share) in figures.GENRES.items()]
