"""What the page asks the three services."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from pydantic_core import from_json, to_json

from musicrec.errors import ServiceError
from musicrec.serving.clients import session
from musicrec.serving.keys import Key
from musicrec.settings import Settings
from musicrec.settings.sections import keys_in

_TIMEOUT_S = 5.0


class Services:
    """Clients of the services at the addresses of [urls], by name; make it where an event loop runs."""

    def __init__(self, settings: Settings) -> None:
        urls, keys = settings.urls, keys_in(settings.service.api_key)
        self.urls = {"recommendations": urls.recommendations_url, "features": urls.features_store_url, "events": urls.events_store_url}
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": keys[0]} if keys else {})
        self.http = session()

    async def ask(self, service: str, route: str, method: str = "POST", headers: Mapping[str, str] | None = None,
                  **parameters: object) -> Any:
        """The JSON, or text, that a service answers with. Raises ServiceError when it is not there or its status is not 200."""
        url, body = self.urls[service].rstrip("/"), to_json(parameters) if parameters and method == "POST" else None
        if parameters and method == "GET":
            route += f"?{urlencode(parameters, doseq=True)}"
        try:
            async with asyncio.timeout(_TIMEOUT_S), self.http.request(method, url + route, data=body, allow_redirects=False,
                                                                      headers={**self._headers, **(headers or {})}) as response:
                answer = await response.read()
                found = from_json(answer) if response.content_type == "application/json" else answer.decode()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as cause:
            raise ServiceError(f"{service} service at {url} does not answer ({type(cause).__name__})") from None
        if response.status != 200:
            reasons = found.get("detail", "") if isinstance(found, dict) else found
            told = "; ".join(one["msg"] for one in reasons) if isinstance(reasons, list) else reasons
            raise ServiceError(f"{service} service: {told}"[:300])
        return found

    async def put(self, user: Key, item: Key, kind: str) -> None:
        """Tell the events service what a user did: one of texts.ACTIONS. Raises ServiceError."""
        told: dict[str, Any] = {"user_id": user, "item_id": item} | ({} if kind == "play" else {"type": kind})
        await self.ask("events", "/put", **told)

    async def metrics(self, service: str) -> dict[str, list[tuple[dict[str, str], float]]]:
        """The samples at /metrics of a service by name, each with its labels. Raises ServiceError."""
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(await self.ask(service, "/metrics", "GET")):
            for sample in family.samples:
                found.setdefault(sample.name.removeprefix("musicrec_"), []).append((sample.labels, sample.value))
        return found
