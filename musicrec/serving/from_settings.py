"""The three apps as settings describe them: the edge between config.ini and the services."""

import logging
from collections.abc import Mapping

import numpy as np
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from musicrec.errors import SettingsError
from musicrec.events import event_store
from musicrec.serving import events, features, recommendations
from musicrec.serving.answers import Rules
from musicrec.serving.gate import Guards
from musicrec.serving.heads import bound_heads
from musicrec.serving.knowledge import Questions
from musicrec.serving.logs import log_as_json
from musicrec.serving.lookup import Int32
from musicrec.serving.recommendations import Neighbours, Options
from musicrec.serving.served import Place
from musicrec.settings import Settings

_DAY_S = 86_400


def recommendations_app(settings: Settings, environment: Mapping[str, str]) -> FastAPI:
    """The recommendations service; `environment` holds the S3 secrets."""
    blending, service, urls = settings.blending, settings.service, settings.urls
    allowed = _ids(blending.allowed_items, "allowed_items") if blending.allowed_items else None
    blocked = _ids(blending.blocked_items, "blocked_items") if blending.blocked_items else np.empty(0, np.int32)
    rules = Rules(blending.method, blending.first == "offline", blending.decay, blending.max_per_artist, blocked, allowed)
    questions = Questions(settings.events.per_user, blending.online_seeds, min(100, blending.max_k), service.timeout_ms / 1000,
                          service.batch_timeout_ms / 1000)
    neighbours = Neighbours(urls.features_store_url, urls.events_store_url, service.api_key, service.breaker_failures,
                            service.breaker_pause_s)
    options = Options(rules, questions, _guards(settings), blending.max_k, service.poll_s, service.reload_key, service.impressions)
    return recommendations.create_app(_place(settings, environment), neighbours, options)


def features_app(settings: Settings, environment: Mapping[str, str]) -> FastAPI:
    """The features service; `environment` holds the S3 secrets."""
    service, max_k = settings.service, settings.blending.max_k
    return features.create_app(_place(settings, environment), _guards(settings), max_k, service.poll_s, service.reload_key)


def events_app(settings: Settings) -> FastAPI:
    """The events service."""
    section = settings.events
    max_age_s = section.max_age_days * _DAY_S or None
    return events.create_app(lambda: event_store(section.store, section.path.get_secret_value(), section.per_user, max_age_s,
                                                 section.log_rows), _guards(settings), settings.blending.max_k)


def _guards(settings: Settings) -> Guards:
    bound_heads(HttpToolsProtocol)
    log_as_json(logging.INFO if settings.service.log_requests else logging.WARNING)
    return Guards(settings.service.api_key, settings.service.rate_limit, settings.service.cors_origins)


def _place(settings: Settings, environment: Mapping[str, str]) -> Place:
    return Place(settings.artifacts.location, environment, settings.artifacts.cache_folder)


def _ids(path: str, key: str) -> Int32:
    try:
        with open(path, encoding="utf-8") as lines:
            return np.unique(np.array([int(line) for line in lines if line.strip()], np.int32))
    except (OSError, ValueError, OverflowError) as cause:
        raise SettingsError(f"[blending] {key}: {path} cannot be read as one item id a line ({cause}).") from None
