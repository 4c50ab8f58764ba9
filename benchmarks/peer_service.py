"""The reference: three services as most public solutions write them. Whole tables in pandas, one query a request, calls in series.

PEER_FOLDER holds the artifacts, PEER_FEATURES and PEER_EVENTS the addresses of the two others; PEER names the service to make.
"""

import os
from pathlib import Path

import pandas as pd
import requests
from fastapi import FastAPI

FOLDER = Path(os.environ["PEER_FOLDER"])
app = FastAPI()


def recommendations() -> None:
    """Personal lists by query, blended with similar items of the last three plays."""
    personal = pd.read_parquet(FOLDER / "recommendations.parquet", columns=["user_id", "item_id", "rank"])
    popular = pd.read_parquet(FOLDER / "top_popular.parquet")

    @app.post("/recommendations_offline")
    async def offline(user_id: int, k: int = 100) -> dict[str, list[int]]:
        recs = personal.query("user_id == @user_id")["item_id"].to_list()[:k]
        return {"recs": recs or popular["item_id"].to_list()[:k]}

    @app.post("/recommendations_online")
    async def online(user_id: int, k: int = 100) -> dict[str, list[int]]:
        plays = requests.post(os.environ["PEER_EVENTS"] + "/get", params={"user_id": user_id, "k": 3}).json()["events"]
        items, scores = [], []
        for item_id in plays:
            found = requests.post(os.environ["PEER_FEATURES"] + "/similar_items", params={"item_id": item_id, "k": k}).json()
            items += found["item_id_2"]
            scores += found["score"]
        best = [item for item, _ in sorted(zip(items, scores), key=lambda pair: pair[1], reverse=True)]
        return {"recs": list(dict.fromkeys(best))[:k]}

    @app.post("/recommendations")
    async def blended(user_id: int, k: int = 100) -> dict[str, list[int]]:
        first, second = (await offline(user_id, k))["recs"], (await online(user_id, k))["recs"]
        shorter = min(len(first), len(second))
        mixed = [item for pair in zip(first, second) for item in pair] + first[shorter:] + second[shorter:]
        return {"recs": list(dict.fromkeys(mixed))[:k]}


def features() -> None:
    """Similar items by query."""
    similar = pd.read_parquet(FOLDER / "similar.parquet")

    @app.post("/similar_items")
    async def similar_items(item_id: int, k: int = 10) -> dict[str, list[float]]:
        return similar.query("item_id_1 == @item_id").head(k)[["item_id_2", "score"]].to_dict(orient="list")


def events() -> None:
    """Plays in a dictionary."""
    plays: dict[int, list[int]] = {}

    @app.post("/put")
    async def put(user_id: int, item_id: int) -> dict[str, str]:
        plays[user_id] = [item_id, *plays.get(user_id, [])[:10]]
        return {"result": "ok"}

    @app.post("/get")
    async def get(user_id: int, k: int = 10) -> dict[str, list[int]]:
        return {"events": plays.get(user_id, [])[:k]}


@app.get("/ready")
async def ready() -> dict[str, str]:
    """Whether it is up."""
    return {"status": "ok"}


{"recommendations": recommendations, "features": features, "events": events}[os.environ["PEER"]]()
