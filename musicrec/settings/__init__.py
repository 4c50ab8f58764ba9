"""Frozen settings: the only reader of config.ini, .env and os.environ.

Order of precedence: environment variable, .env, config.ini. The variable of key `memory_limit` in section `[engine]` is
MUSICREC_ENGINE_MEMORY_LIMIT; a dot in a section becomes an underscore (MUSICREC_CANDIDATES_ALS_FACTORS).
What config.ini leaves out, the shipped config.ini says. Sections of models, `[candidates.NAME]`, may name any of that model's fields.
A key that may hold a secret is a SecretStr, which no message, log or manifest shows.
"""

import configparser
import dataclasses
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr, TypeAdapter, ValidationError

from musicrec.errors import SettingsError
from musicrec.project import shipped
from musicrec.settings.sections import (
    ArtifactSettings,
    BlendingSettings,
    CandidateSettings,
    DataSettings,
    EngineSettings,
    EvaluationSettings,
    EventSettings,
    ExperimentSettings,
    PageSettings,
    RankingSettings,
    Section,
    ServiceSettings,
    SimilarItemSettings,
    SparkKey,
    SplitSettings,
    TuningSettings,
    UrlSettings,
    bytes_of,
)

__all__ = [
    "CONFIG", "ArtifactSettings", "BlendingSettings", "CandidateSettings", "DataSettings", "EngineSettings", "EvaluationSettings",
    "EventSettings", "ExperimentSettings", "PageSettings", "RankingSettings", "ServiceSettings", "Settings", "SimilarItemSettings",
    "SplitSettings", "UrlSettings", "bytes_of", "load", "node_folder",
    "s3_environment",
]
CONFIG = Path("config.ini")
PREFIX, SPARK = "MUSICREC_", "engine.spark"
# What Kubernetes tells every container about a service: its host, its ports, and each port's protocol and address.
_OF_KUBERNETES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$")
log = logging.getLogger(__name__)


class Settings(Section):
    """All core sections, settings of Spark (keys of a storage may be among them), and the raw sections of models and feature groups."""

    urls: UrlSettings
    data: DataSettings
    engine: EngineSettings
    split: SplitSettings
    candidates: CandidateSettings
    tuning: TuningSettings
    similar_items: SimilarItemSettings
    ranking: RankingSettings
    evaluation: EvaluationSettings
    artifacts: ArtifactSettings
    events: EventSettings
    blending: BlendingSettings
    experiments: ExperimentSettings
    service: ServiceSettings
    page: PageSettings
    spark: Mapping[SparkKey, SecretStr]
    components: Mapping[str, Mapping[str, str]]
    path: Path

    @property
    def batch_memory(self) -> int:
        """Bytes for the candidates of one batch: of [candidates] batch_memory one share a thread, and one for the batch that waits."""
        return bytes_of(self.candidates.batch_memory) // (self.engine.threads + 1)

    @property
    def engine_options(self) -> dict[str, Any]:
        """What [engine] and [engine.spark] say, as engine.connect takes it."""
        own = self.engine.model_dump(exclude={"scratch"})
        return {**own, "options": {key: value.get_secret_value() for key, value in self.spark.items()}}

    def component(self, name: str, kind: type[Any], **given: Any) -> Any:
        """An instance of the dataclass `kind` with the fields that section `[name]` sets, else `given`, the rest at their defaults.

        Raises SettingsError for a key that `kind` lacks or a value that its field refuses.
        """
        literal = getattr(kind, "keeps_quotes", ())
        raw = {key: value if key in literal else _unquoted(value) for key, value in self.components.get(name, {}).items()}
        known = tuple(field.name for field in dataclasses.fields(kind))
        _refuse_unknown(self.path, name, raw, known)
        try:
            return TypeAdapter(kind).validate_python({**given, **raw})
        except ValidationError as cause:
            raise _sentence(self.path, name, cause) from None


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of `path`, overridden by .env beside it and by `environ` (os.environ when None).

    Without a path config.ini of the current folder is read, if there is one; what it leaves out the shipped config.ini says.
    Raises SettingsError: one sentence with file, section, key, value and what is expected.
    """
    raw: dict[str, dict[str, str]] = {SPARK: {}, **_read(shipped(CONFIG.name))}
    own, path = path is not None or CONFIG.exists(), path or CONFIG
    for name, values in (_read(path) if own else {}).items():
        raw[name] = raw.get(name, {}) | values
    secrets = {key: value for key, value in dotenv_values(path.parent / ".env").items() if value is not None}
    _override(raw, {**secrets, **(os.environ if environ is None else environ)})
    core = [name for name, field in Settings.model_fields.items() if isinstance(field.annotation, type)
            and issubclass(field.annotation, Section)]
    spark = raw.pop(SPARK)
    components = {name: values for name, values in raw.items() if "." in name}
    _refuse_unknown(path, None, {name: "" for name in raw if name not in components}, tuple(core))
    sections = {name: _section(path, name, raw[name]) for name in core}
    try:
        return Settings.model_validate({**sections, "spark": spark, "components": components, "path": path})
    except ValidationError as cause:
        key = cause.errors()[0]["loc"][1]
        raise SettingsError(f"{path}: key {key!r} in section [{SPARK}] is no setting of Spark; they begin with `spark.`.") from None


def s3_environment(path: Path = CONFIG, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """S3_ENDPOINT_URL, S3_BUCKET_NAME and every AWS_... variable, as far as .env or the environment set them."""
    found = {**dotenv_values(Path(path).parent / ".env"), **(os.environ if environ is None else environ)}
    return {name: value for name, value in found.items() if value and name.startswith(("S3_ENDPOINT_URL", "S3_BUCKET_NAME", "AWS_"))}


def node_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder that the executors of an application of Spark share on the machine on which this one runs; Spark removes it with the
    application."""
    return Path((os.environ if environ is None else environ).get("SPARK_LOCAL_DIRS", ".").partition(",")[0]).parent


def _read(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # Spark's keys have capital letters
    try:
        if not parser.read(path, encoding="utf-8"):
            raise SettingsError(f"{path} does not exist; name another file, or run from the folder of the project.")
    except configparser.ParsingError as cause:
        # Its own message quotes the line, which may hold a secret.
        line = cause.lineno if isinstance(cause, configparser.MissingSectionHeaderError) else cause.errors[0][0]
        raise SettingsError(f"{path} is not a readable ini file: line {line} is neither `[section]` nor `key = value`.") from None
    except (configparser.Error, UnicodeDecodeError) as cause:
        raise SettingsError(f"{path} is not a readable ini file: {' '.join(str(cause).split())}.") from None
    return {name: {key if name == SPARK else key.lower(): value for key, value in parser[name].items()} for name in parser.sections()}


def _override(raw: dict[str, dict[str, str]], environ: Mapping[str, str]) -> None:
    # Longest section first, so that MUSICREC_CANDIDATES_ALS_FACTORS reaches [candidates.als] and not [candidates].
    sections = sorted(raw, key=len, reverse=True)
    ours = [variable for variable in environ if variable.startswith(PREFIX)]
    kubernetes = sorted(filter(_OF_KUBERNETES.search, ours))
    if kubernetes:
        log.warning("ignored, because Kubernetes sets them for a service called musicrec...: %s", ", ".join(kubernetes))
    for variable in ours:
        if variable in kubernetes:
            continue
        name = variable[len(PREFIX):].lower()
        section = next((s for s in sections if name.startswith(s.replace(".", "_") + "_")), None)
        if section is None:
            raise SettingsError(f"environment variable {variable} names no section of config.ini ({', '.join(raw)}).")
        raw[section][name[len(section) + 1:]] = environ[variable]


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _section(path: Path, name: str, raw: dict[str, str]) -> Section:
    kind = Settings.model_fields[name].annotation
    assert isinstance(kind, type)
    assert issubclass(kind, Section)
    _refuse_unknown(path, name, raw, tuple(kind.model_fields))
    try:
        return kind.model_validate({key: _unquoted(value) for key, value in raw.items()})
    except ValidationError as cause:
        raise _sentence(path, name, cause) from None


RENAMED: dict[tuple[str | None, str], str] = {
    ("split", "label_windows"): "folds", ("split", "label_days"): "fold_days", ("split", "label_share"): "fold_share",
    ("candidates", "generators"): "models", ("candidates", "per_generator"): "candidates_per_model",
    ("candidates", "per_user"): "max_candidates", ("ranking", "patience"): "early_stopping_rounds", ("ranking", "models"): "n_seeds",
    ("ranking", "trial_users"): "backtest_users in [evaluation]", ("blending", "online_seeds"): "recent_items",
}


def _refuse_unknown(path: Path, section: str | None, raw: Mapping[str, str], known: tuple[str, ...]) -> None:
    for key in raw:
        if key not in known:
            if (section, key) in RENAMED:
                raise SettingsError(f"{path}: key {key!r} in section [{section}] is now called {RENAMED[section, key]}.")
            what = f"section [{key}]" if section is None else f"key {key!r} in section [{section}]"
            raise SettingsError(f"{path}: unknown {what}; known are {', '.join(known)}.")


def _sentence(path: Path, section: str, cause: ValidationError) -> SettingsError:
    first = cause.errors()[0]
    key, expected = str(first["loc"][0]) if first["loc"] else "", first["msg"]
    value = repr(first["input"])
    shown = value if "@" not in value else "(not shown, as it may hold a password)"
    return SettingsError(f"{path}: section [{section}], key {key!r}, value {shown}: {expected}.")
