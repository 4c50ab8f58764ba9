"""Frozen settings: the only reader of config.ini, .env and os.environ.

Order of precedence: environment variable, .env, config.ini. The variable of key `memory_limit` in section `[engine]` is
MUSICREC_ENGINE_MEMORY_LIMIT; a dot in a section becomes an underscore (MUSICREC_CANDIDATES_ALS_FACTORS).
Core sections must be whole. Sections of generators, `[candidates.NAME]`, may name any of that generator's fields.
A key that may hold a secret is a SecretStr, which no message, log or manifest shows.
"""

import configparser
import dataclasses
import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from musicrec.errors import SettingsError

CONFIG = Path("config.ini")
PREFIX = "MUSICREC_"
Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: tuple(v.replace(",", " ").split()) if isinstance(v, str) else v)]
# No user or password: addresses are shown in logs, answers and manifests.
Url = Annotated[str, Field(pattern=r"^https?://[^/\s@][^\s@]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]

Size = Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMG]B$")]
_UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def bytes_of(size: Size) -> int:
    """The bytes of a size as config.ini has it.

    >>> bytes_of("1.5 KB")
    1536
    """
    return int(float(size[:-2]) * _UNITS[size[-2:]])


class Section(BaseModel):
    """One section of config.ini: frozen, every key required, no others allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Urls(Section):
    """Where the services answer."""

    recommendations_url: Url
    features_store_url: Url
    events_store_url: Url


class Data(Section):
    """Which logs are read, and how strictly."""

    source: str
    folder: Path
    tracks: str
    catalog_names: str
    interactions: str
    further_plays: str
    work_folder: Path
    max_orphan_share: Share
    only_complete_tracks: bool
    keep_every: Count


class Engine(Section):
    """Where the large tables are computed."""

    name: Literal["duckdb", "spark"]
    memory_limit: Size
    threads: Count
    temp_folder: Path


class Split(Section):
    """The cutoffs: labels of the ranker come from windows that end at or before test_start."""

    test_start: date
    label_days: Annotated[int, Field(ge=0)]
    label_share: Annotated[float, Field(gt=0, lt=1)]
    label_windows: Count


class Candidates(Section):
    """Which generators run and how many items each offers."""

    baselines: Names
    generators: Names
    per_generator: Count
    per_user: Count
    batch_memory: Size
    top_popular: str
    seed: int


class SimilarItems(Section):
    """Item-to-item lists."""

    k: Count


class Ranking(Section):
    """Training of the ranker and length of the published lists."""

    k: Count
    features: Names
    loss: Literal["Logloss", "YetiRank"]
    iterations: Count
    depth: Annotated[int, Field(ge=1, le=16)]
    learning_rate: Annotated[float, Field(gt=0)]
    l2_leaf_reg: Annotated[float, Field(ge=0)]
    patience: Count
    models: Count
    max_training_users: Count
    trial_users: Count
    negatives: Count
    max_per_artist: Annotated[int, Field(ge=0)]
    min_tail_share: Share
    exploration: Share
    seed: int


class Evaluation(Section):
    """How lists are judged."""

    bootstrap_samples: Annotated[int, Field(ge=0)]
    holdout_share: Annotated[float, Field(gt=0, lt=1)]
    seed: int


class Artifacts(Section):
    """Where runs are published: a folder, or s3://bucket/prefix."""

    location: str
    cache_folder: Path


class Events(Section):
    """The store of latest plays; its path may be an address with a password."""

    store: str
    path: SecretStr
    per_user: Count
    max_age_days: Annotated[float, Field(ge=0)]
    log_rows: Count


class Blending(Section):
    """How online and offline lists become one."""

    first: Literal["offline", "online"]
    method: Literal["alternate", "score", "reciprocal_rank"]
    online_seeds: Count
    decay: Annotated[float, Field(gt=0, le=1)]
    max_k: Count
    max_per_artist: Annotated[int, Field(ge=0)]
    blocked_items: str
    allowed_items: str


class Service(Section):
    """How services call each other, and who may call them."""

    timeout_ms: Count
    batch_timeout_ms: Count
    breaker_failures: Count
    breaker_pause_s: Annotated[float, Field(gt=0)]
    poll_s: Annotated[float, Field(ge=0)]
    impressions: bool
    log_requests: bool
    api_key: SecretStr
    reload_key: SecretStr
    rate_limit: Annotated[float, Field(ge=0)]
    cors_origins: Names


class Settings(Section):
    """All core sections, and the raw sections of generators."""

    urls: Urls
    data: Data
    engine: Engine
    split: Split
    candidates: Candidates
    similar_items: SimilarItems
    ranking: Ranking
    evaluation: Evaluation
    artifacts: Artifacts
    events: Events
    blending: Blending
    service: Service
    components: Mapping[str, Mapping[str, str]]
    path: Path

    def component(self, name: str, kind: type[Any], **given: Any) -> Any:
        """An instance of the dataclass `kind` with the fields that section `[name]` sets, else `given`, the rest at their defaults.

        Raises SettingsError for a key that `kind` lacks or a value that its field refuses.
        """
        raw = {key: _unquoted(value) for key, value in self.components.get(name, {}).items()}
        known = tuple(field.name for field in dataclasses.fields(kind))
        _refuse_unknown(self.path, name, raw, known)
        try:
            return TypeAdapter(kind).validate_python({**given, **raw})
        except ValidationError as cause:
            raise _sentence(self.path, name, cause) from None


def load(path: Path = CONFIG, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of `path`, overridden by .env beside it and by `environ` (os.environ when None).

    Raises SettingsError: one sentence with file, section, key, value and what is expected.
    """
    path = Path(path)
    raw = _read(path)
    secrets = {key: value for key, value in dotenv_values(path.parent / ".env").items() if value is not None}
    _override(raw, {**secrets, **(os.environ if environ is None else environ)})
    core = [name for name in Settings.model_fields if name not in ("components", "path")]
    components = {name: values for name, values in raw.items() if "." in name}
    _refuse_unknown(path, None, {name: "" for name in raw if name not in components}, tuple(core))
    sections = {name: _section(path, name, raw.get(name)) for name in core}
    return Settings.model_validate({**sections, "components": components, "path": path})


def s3_environment(path: Path = CONFIG, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """S3_ENDPOINT_URL, S3_BUCKET_NAME, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as far as .env or the environment set them."""
    found = {**dotenv_values(Path(path).parent / ".env"), **(os.environ if environ is None else environ)}
    names = ("S3_ENDPOINT_URL", "S3_BUCKET_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {name: value for name in names if (value := found.get(name))}


def _read(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        if not parser.read(path, encoding="utf-8"):
            raise SettingsError(f"{path} does not exist; run from the project folder or copy config.ini there.")
    except configparser.ParsingError as cause:
        # Its own message quotes the line, which may hold a secret.
        line = cause.lineno if isinstance(cause, configparser.MissingSectionHeaderError) else cause.errors[0][0]
        raise SettingsError(f"{path} is not a readable ini file: line {line} is neither `[section]` nor `key = value`.") from None
    except (configparser.Error, UnicodeDecodeError) as cause:
        raise SettingsError(f"{path} is not a readable ini file: {' '.join(str(cause).split())}.") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _override(raw: dict[str, dict[str, str]], environ: Mapping[str, str]) -> None:
    # Longest section first, so that MUSICREC_CANDIDATES_ALS_FACTORS reaches [candidates.als] and not [candidates].
    sections = sorted(raw, key=len, reverse=True)
    for variable, value in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable[len(PREFIX):].lower()
        section = next((s for s in sections if name.startswith(s.replace(".", "_") + "_")), None)
        if section is None:
            raise SettingsError(f"environment variable {variable} names no section of config.ini ({', '.join(raw)}).")
        raw[section][name[len(section) + 1:]] = value


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _section(path: Path, name: str, raw: dict[str, str] | None) -> Section:
    kind = Settings.model_fields[name].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    if raw is None:
        raise SettingsError(f"{path} has no section [{name}]; expected keys: {', '.join(kind.model_fields)}.")
    _refuse_unknown(path, name, raw, tuple(kind.model_fields))
    try:
        return kind.model_validate({key: _unquoted(value) for key, value in raw.items()})
    except ValidationError as cause:
        raise _sentence(path, name, cause) from None


def _refuse_unknown(path: Path, section: str | None, raw: Mapping[str, str], known: tuple[str, ...]) -> None:
    for key in raw:
        if key not in known:
            what = f"section [{key}]" if section is None else f"key {key!r} in section [{section}]"
            raise SettingsError(f"{path}: unknown {what}; known are {', '.join(known)}.")


def _sentence(path: Path, section: str, cause: ValidationError) -> SettingsError:
    first = cause.errors()[0]
    key, expected = str(first["loc"][0]) if first["loc"] else "", first["msg"]
    if first["type"] == "missing":
        variable = f"{PREFIX}{section.replace('.', '_')}_{key}".upper()
        return SettingsError(f"{path}: section [{section}] lacks key {key!r}; add it, or set {variable}.")
    value = repr(first["input"])
    shown = value if "@" not in value else "(not shown, as it may hold a password)"
    return SettingsError(f"{path}: section [{section}], key {key!r}, value {shown}: {expected}.")
