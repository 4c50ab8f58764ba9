"""The core sections of config.ini: their keys, types and ranges."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from musicrec.settings.addresses import Networks

Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: tuple(v.replace(",", " ").split()) if isinstance(v, str) else v)]
# No user or password: addresses are shown in logs, answers and manifests.
Url = Annotated[str, Field(pattern=r"^https?://[^/\s@][^\s@]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
SparkKey = Annotated[str, Field(pattern=r"^spark\.\w")]
# Tracks that the user has not played, those played, or both.
Mode = Literal["new", "familiar", "mixed"]


def _cutoff(value: object) -> object:
    """None for an empty text, a number of days, or a moment in UTC without a time zone."""
    if not isinstance(value, str) or not value.strip():
        return None if isinstance(value, str) else value
    # 20221216 is a date, not a number of days.
    if value.strip().isdigit() and 0 < int(value) < 1_000_000:
        return int(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError("expected nothing, a date such as 2022-12-16, a time such as 2022-12-16 18:00, or a number of days "
                         "before the end") from None
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


Cutoff = Annotated[datetime | Annotated[int, Field(ge=1)] | None, BeforeValidator(_cutoff)]
def _shard(value: object) -> object:
    """None for an empty text, number and count for one such as 2/4."""
    if not isinstance(value, str) or not value.strip():
        return None if isinstance(value, str) else value
    number, _, count = value.strip().partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise ValueError("expected nothing, or one of several shards such as 2/4")


ShardSetting = Annotated[tuple[int, int] | None, BeforeValidator(_shard)]
Size = Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMG]B$")]
_UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def bytes_of(size: Size) -> int:
    """The bytes of a size as config.ini has it.

    >>> bytes_of("1.5 KB")
    1536
    """
    return int(float(size[:-2]) * _UNITS[size[-2:]])


def keys_in(secret: SecretStr) -> tuple[str, ...]:
    """The keys in a setting of one or more, separated by spaces or commas.

    >>> keys_in(SecretStr("new, old"))
    ('new', 'old')
    """
    return tuple(secret.get_secret_value().replace(",", " ").split())


class Section(BaseModel):
    """One section of config.ini: frozen, every key required, no others allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UrlSettings(Section):
    """Where the services answer."""

    recommendations_url: Url
    features_store_url: Url
    events_store_url: Url


class DataSettings(Section):
    """Which logs are read, and how strictly."""

    source: str
    folder: Path
    tracks: str
    catalog_names: str
    interactions: str
    further_plays: str
    excluded: str
    work_folder: Path
    max_bad_share: Share
    max_orphan_share: Share
    only_complete_tracks: bool
    keep_every: Count
    extended_columns: bool


class EngineSettings(Section):
    """Where the large tables are computed."""

    name: Literal["duckdb", "spark"]
    master: str
    memory_limit: Size
    threads: Count
    temp_folder: Path
    scratch: str


class SplitSettings(Section):
    """Where the log is cut: the test set begins at test_start, the folds of the backtest end there."""

    test_start: Cutoff
    test_share: Annotated[float, Field(gt=0, lt=1)]
    folds: Count
    fold_days: Annotated[int, Field(ge=0)]
    fold_share: Annotated[float, Field(gt=0, lt=1)]
    judge_recommended: bool
    refit: bool


class CandidateSettings(Section):
    """Which models recommend candidates and how many."""

    baselines: Names
    models: Names
    candidates_per_model: Count
    max_candidates: Count
    batch_memory: Size
    new_items: bool
    top_popular: str
    familiar: str
    seed: int


class SimilarItemSettings(Section):
    """Item-to-item lists."""

    k: Count
    max_same_artist: Share


class TuningSettings(Section):
    """Section [tuning]."""

    trials: Annotated[int, Field(ge=0)]
    max_pairs: Count
    max_users: Count
    seed: int


class RankingSettings(Section):
    """Training of the ranker and length of the published lists."""

    k: Count
    features: Names
    loss: Literal["Logloss", "YetiRank"]
    iterations: Count
    depth: Annotated[int, Field(ge=1, le=16)]
    learning_rate: Annotated[float, Field(gt=0)]
    l2_leaf_reg: Annotated[float, Field(ge=0)]
    early_stopping_rounds: Count
    n_seeds: Count
    max_training_users: Count
    max_training_pairs: Count
    negatives: Count
    max_per_artist: Annotated[int, Field(ge=0)]
    artist_decay: Annotated[float, Field(gt=0, le=1)]
    min_tail_share: Share
    exploration: Share
    explained_users: Annotated[int, Field(ge=0)]
    seed: int


class EvaluationSettings(Section):
    """How lists are evaluated."""

    backtest_users: Count
    max_users: Count
    bootstrap_samples: Annotated[int, Field(ge=0)]
    holdout_share: Annotated[float, Field(gt=0, lt=1)]
    seed: int


class ArtifactSettings(Section):
    """Where runs are published: a folder, or s3://bucket/prefix."""

    location: str
    cache_folder: Path
    cache_limit: Size


class EventSettings(Section):
    """The store of latest plays; its path may be an address with a password."""

    store: str
    path: SecretStr
    per_user: Count
    max_age_days: Annotated[float, Field(ge=0)]
    log_rows: Count
    log_days: Annotated[float, Field(ge=0)]


class BlendingSettings(Section):
    """How online and offline lists become one."""

    first: Literal["offline", "online"]
    method: Literal["alternate", "score", "rrf"]
    mode: Mode
    familiar_share: Share
    recent_items: Count
    decay: Annotated[float, Field(gt=0, le=1)]
    skip_minutes: Annotated[float, Field(ge=0)]
    max_k: Count
    max_per_artist: Annotated[int, Field(ge=0)]
    artist_decay: Annotated[float, Field(gt=0, le=1)]
    exploration: Share
    blocked_items: str
    allowed_items: str


class ExperimentSettings(Section):
    """Where experiments are described, and when feedback belongs to what was shown before."""

    file: Path
    attribution_hours: Annotated[float, Field(gt=0)]


class ServiceSettings(Section):
    """How services call each other, and who may call them."""

    timeout_ms: Count
    batch_timeout_ms: Count
    breaker_failures: Count
    breaker_pause_s: Annotated[float, Field(gt=0)]
    poll_s: Annotated[float, Field(ge=0)]
    impressions: bool
    log_requests: bool
    api_key: SecretStr
    read_key: SecretStr
    reload_key: SecretStr
    rate_limit: Annotated[float, Field(ge=0)]
    trusted_addresses: Networks
    cors_origins: Names
    shard: ShardSetting

    @model_validator(mode="after")
    def _reading_is_less_than_all(self) -> Self:
        if keys_in(self.read_key) and not keys_in(self.api_key):
            raise ValueError("read_key is set and api_key is not; services need api_key to call each other")
        return self


class PageSettings(Section):
    """Where the page answers."""

    url: Url
