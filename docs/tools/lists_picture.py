"""The picture of README and home page, from the current run of a folder: `python docs/tools/lists_picture.py ARTIFACTS USER_ID SVG`.

Left the latest plays of a user, right what the published recommender recommends, each with the model that ranked it best.
"""

import json
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from musicrec.recommender import TwoStageRecommender

ROWS, LINE, WIDTH, LEFT, RIGHT, LONGEST = 8, 46, 960, 32, 480, 46
COLORS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2", "#9d755d", "#eeca3b")
STYLE = ("text{font-family:system-ui,'Segoe UI','DejaVu Sans',sans-serif;fill:#222}.head{font-size:18px;font-weight:600}"
         ".title{font-size:14px;font-weight:600}.note{font-size:12px;fill:#667}")


def svg(run: Path, user: int, rows: int = ROWS) -> str:
    """The picture of one user of the run in this folder."""
    recommender = TwoStageRecommender.load(run / "recommender")
    items = pd.read_parquet(run / "items.parquet").set_index("item_id")
    events = pd.read_parquet(run / "events.parquet", filters=[("user_id", "==", user)])
    played = events.sort_values(["started_at", "track_seq"]).drop_duplicates("item_id", keep="last").tail(rows).iloc[::-1]
    best = recommender.recommend([user], rows).to_pandas()
    found = recommender.candidates([user]).to_pandas().set_index("item_id")
    names = list(recommender.models)
    genres: dict[str, str] = {}
    left = [_row(items.loc[play.item_id], f"{play.started_at:%d %B %Y}", LEFT, place, genres)
            for place, play in enumerate(played.itertuples())]
    right = [_row(items.loc[item], _reason(found.loc[item], names), RIGHT, place, genres) for place, item in enumerate(best["item_id"])]
    height = 70 + LINE * rows
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
        f'  aria-label="Tracks played by user {user}, and tracks recommended">',
        f"<style>{STYLE}</style>", f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff" stroke="#ccd"/>',
        f'<text x="{LEFT}" y="44" class="head">Played last, of {events["item_id"].nunique()} tracks</text>',
        f'<text x="{RIGHT}" y="44" class="head">Recommended ({escape(recommender.order)})</text>', *left, *right, "</svg>\n"])


def _row(item: pd.Series, note: str, x: int, place: int, genres: dict[str, str]) -> str:
    y = 78 + LINE * place
    genre = item["genres"][0] if len(item["genres"]) else ""
    color = genres.setdefault(genre, COLORS[len(genres) % len(COLORS)])
    text = f"{', '.join(item['artists'])} - {item['name']}"
    text = text if len(text) <= LONGEST else f"{text[:LONGEST - 1]}…"
    note = " · ".join(part for part in (genre, note) if part)
    return (f'<rect x="{x}" y="{y - 12}" width="6" height="32" fill="{color}"/>'
            f'<text x="{x + 14}" y="{y}" class="title">{escape(text)}</text>'
            f'<text x="{x + 14}" y="{y + 17}" class="note">{escape(note)}</text>')


def _reason(candidate: pd.Series, models: Sequence[str]) -> str:
    """The model that ranked the candidate best, and how many tracks of the artist the user has played where that is a feature."""
    rank, name = min((int(candidate[f"{name}_rank"]), name) for name in models if candidate[f"{name}_rank"] > 0)
    seen = int(candidate.get("artist_tracks_seen", 0) or 0)
    return f"rank {rank} by {name}" + (f" · {seen} tracks by the artist played" if seen > 1 else "")


def main(arguments: Sequence[str]) -> int:
    """Write the picture; 2 with a word on the usage."""
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    artifacts, user, target = Path(arguments[0]), int(arguments[1]), Path(arguments[2])
    run_id = json.loads((artifacts / "current.json").read_text(encoding="utf-8"))["run_id"]
    target.write_text(svg(artifacts / "runs" / run_id, user), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
