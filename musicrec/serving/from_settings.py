"""The three apps as settings describe them: the edge between config.ini and the services."""

from collections.abc import Mapping

from fastapi import FastAPI

from musicrec.event_stores import event_store
from musicrec.serving import events, features, recommendations
from musicrec.serving.answers import Rules
from musicrec.serving.recommendations import Neighbours
from musicrec.serving.served import Place
from musicrec.settings import Settings


def recommendations_app(settings: Settings, environment: Mapping[str, str]) -> FastAPI:
    """The recommendations service; `environment` holds the S3 secrets."""
    blending = settings.blending
    rules = Rules(offline_first=blending.first == "offline", online_seeds=blending.online_seeds, plays=settings.events.per_user,
                  similar_per_play=min(100, blending.max_k))
    neighbours = Neighbours(settings.urls.features_store_url, settings.urls.events_store_url, settings.service.timeout_ms / 1000)
    return recommendations.create_app(_place(settings, environment), neighbours, rules, blending.max_k)


def features_app(settings: Settings, environment: Mapping[str, str]) -> FastAPI:
    """The features service; `environment` holds the S3 secrets."""
    return features.create_app(_place(settings, environment), settings.blending.max_k)


def events_app(settings: Settings) -> FastAPI:
    """The events service."""
    section = settings.events
    return events.create_app(lambda: event_store(section.store, section.path, section.per_user), settings.blending.max_k)


def _place(settings: Settings, environment: Mapping[str, str]) -> Place:
    return Place(settings.artifacts.location, environment, settings.artifacts.cache_folder)
