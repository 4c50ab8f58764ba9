"""Settings: every wrong key is one sentence that names file, section, key, value and what is expected."""

import configparser
import dataclasses
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from musicrec import settings
from musicrec.errors import SettingsError
from musicrec.features import FEATURES
from musicrec.models import MODELS
from musicrec.settings import PREFIX, RENAMED, Settings, load, s3_environment
from musicrec.sources import SOURCES

SHIPPED = Path("config.ini")
REGISTRIES = {"candidates": MODELS, "features": FEATURES, "sources": SOURCES}
CORE = {name: field.annotation for name, field in Settings.model_fields.items() if name not in ("spark", "components", "path")}
KEYS = [(section, key) for section, kind in CORE.items() for key in kind.model_fields]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A copy of the shipped config.ini in a folder of its own."""
    (tmp_path / "config.ini").write_text(SHIPPED.read_text())
    return tmp_path / "config.ini"


def changed(path: Path, section: str, key: str, value: str | None) -> Path:
    """The file with one key set, or taken out when value is None."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path)
    if value is None:
        parser.remove_option(section, key)
    else:
        parser[section][key] = value
    with path.open("w") as target:
        parser.write(target)
    return path


def shipped() -> configparser.ConfigParser:
    """The shipped file, read without musicrec."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(SHIPPED)
    return parser


def test_the_shipped_file_is_valid() -> None:
    """It loads without any variable, and its addresses have lost their quotes."""
    found = load(SHIPPED, {})
    assert found.urls.recommendations_url == "http://127.0.0.1:8000"
    assert found.split.test_start is None


@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_values_may_be_quoted(quote: str, config: Path) -> None:
    """With double quotes, single ones or none, the address is the same."""
    found = load(changed(config, "urls", "events_store_url", f"{quote}http://127.0.0.1:9{quote}"), {})
    assert found.urls.events_store_url == "http://127.0.0.1:9"


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_key_that_is_left_out_has_its_shipped_value(section: str, key: str, config: Path) -> None:
    """Each key of each core section may be left out."""
    assert getattr(load(changed(config, section, key, None), {}), section) == getattr(load(SHIPPED, {}), section)


def test_without_a_file_the_shipped_settings_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without config.ini all settings are the shipped ones; a file that is named and missing is refused."""
    expected = load(SHIPPED, {})
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).model_dump(exclude={"path"}) == expected.model_dump(exclude={"path"})
    with pytest.raises(SettingsError, match=r"mine\.ini does not exist"):
        load(Path("mine.ini"), {})


def test_an_unknown_section_is_named(config: Path) -> None:
    """A section that does not exist is named with those that do."""
    config.write_text(config.read_text().replace("[blending]", "[blend]"))
    with pytest.raises(SettingsError, match=r"unknown section \[blend\]; known are urls, data"):
        load(config, {})


def test_an_unknown_key_is_named(config: Path) -> None:
    """A typing error does not pass silently."""
    with pytest.raises(SettingsError, match=r"unknown key 'test_strat' in section \[split\]; known are test_start, test_share"):
        load(changed(config, "split", "test_strat", "2022-12-16"), {})


@pytest.mark.parametrize(("section", "key", "value"), [
    ("split", "test_start", "16.12.2022"), ("split", "fold_days", "-1"), ("split", "fold_share", "0"), ("split", "fold_days", "many"),
    ("split", "test_start", "0"), ("split", "test_share", "1"),
    ("data", "max_orphan_share", "1.5"), ("data", "only_complete_tracks", "perhaps"), ("engine", "memory_limit", "lots"),
    ("engine", "name", "pandas"), ("blending", "first", "both"),
    ("urls", "events_store_url", "127.0.0.1:8020"), ("ranking", "learning_rate", "0"),
])
def test_a_bad_value_is_named(section: str, key: str, value: str, config: Path) -> None:
    """File, section, key and value stand in the sentence."""
    with pytest.raises(SettingsError) as told:
        load(changed(config, section, key, value), {})
    said = str(told.value)
    assert said.startswith(f"{config}: section [{section}], key {key!r}, value {value!r}: ")
    assert "\n" not in said


def test_the_environment_comes_before_env_file_and_config(config: Path) -> None:
    """Variable before .env before config.ini."""
    (config.parent / ".env").write_text("MUSICREC_SPLIT_FOLD_DAYS=7\nMUSICREC_SPLIT_FOLDS=3\n")
    found = load(config, {"MUSICREC_SPLIT_FOLD_DAYS": "5", "UNRELATED": "x"})
    assert (found.split.fold_days, found.split.folds) == (5, 3)


def test_variables_that_kubernetes_sets_are_ignored_with_a_word(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A service called musicrec or musicrec-events puts variables with our prefix into every container; no key of ours is among them."""
    found = {"MUSICREC_PORT": "tcp://10.0.0.1:8000", "MUSICREC_SERVICE_HOST": "10.0.0.1", "MUSICREC_SERVICE_PORT": "8000",
             "MUSICREC_SERVICE_PORT_HTTP": "8000", "MUSICREC_PORT_8000_TCP_ADDR": "10.0.0.1", "MUSICREC_EVENTS_PORT": "tcp://10.0.0.2:8020",
             "MUSICREC_EVENTS_SERVICE_HOST": "10.0.0.2", "MUSICREC_EVENTS_PORT_8020_TCP": "tcp://10.0.0.2:8020"}
    assert load(config, found) == load(config, {})
    assert all(name in caplog.text for name in found)
    ours = [f"{PREFIX}{section}_{key}".upper() for section, key in KEYS]
    assert load(config, {ours[0]: "http://127.0.0.1:1"}).urls.recommendations_url == "http://127.0.0.1:1"
    assert not [name for name in ours if re.search("_(PORT|SERVICE_HOST|SERVICE_PORT)$", name)]


def test_a_variable_reaches_the_section_of_a_component(config: Path) -> None:
    """MUSICREC_CANDIDATES_ALS_FACTORS sets [candidates.als] factors, not a key of [candidates]."""
    found = load(config, {"MUSICREC_CANDIDATES_ALS_FACTORS": "9"})
    assert found.component("candidates.als", MODELS["als"]).factors == 9


def test_a_variable_that_fits_nothing_is_refused(config: Path) -> None:
    """A variable with our prefix and no section, or no such key, is a typing error."""
    with pytest.raises(SettingsError, match="MUSICREC_SPLITS_X names no section"):
        load(config, {"MUSICREC_SPLITS_X": "1"})
    with pytest.raises(SettingsError, match=r"unknown key 'days' in section \[split\]"):
        load(config, {"MUSICREC_SPLIT_DAYS": "1"})


def test_a_missing_or_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    """No file, no ini file, and bytes that are not text."""
    with pytest.raises(SettingsError, match="does not exist"):
        load(tmp_path / "none.ini", {})
    for content in (b"no section here", b"[a]\n[a]\n", b"\xff\xfe\x00"):
        (tmp_path / "bad.ini").write_bytes(content)
        with pytest.raises(SettingsError, match=r"bad\.ini is not a readable ini file"):
            load(tmp_path / "bad.ini", {})


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(KEYS), value=st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=12))
def test_no_value_fails_in_any_other_way(place: tuple[str, str], value: str, config: Path) -> None:
    """Whatever stands in a key, loading gives settings or a SettingsError of one line."""
    said = ""
    try:
        load(config, {f"{PREFIX}{'_'.join(place).upper()}": value})
    except SettingsError as cause:
        said = str(cause)
    assert "\n" not in said


def test_settings_are_frozen() -> None:
    """Nobody can change them on the way."""
    with pytest.raises(ValueError, match="frozen"):
        load(SHIPPED, {}).split.fold_days = 3  # type: ignore[misc]


@dataclass(frozen=True)
class Example:
    """A component with fields of several types."""

    factors: int = 64
    share: float = 0.5
    exact: bool = False
    names: tuple[str, ...] = ()


def test_a_component_takes_its_section_and_else_its_defaults(config: Path) -> None:
    """Fields that the section names are converted, others keep their defaults, unknown ones and bad values are refused."""
    config.write_text(config.read_text() + "\n[candidates.example]\nfactors = 32\nexact = \"true\"\n")
    assert load(config, {}).component("candidates.example", Example) == Example(factors=32, exact=True)
    assert load(config, {}).component("candidates.other", Example) == Example()
    with pytest.raises(SettingsError, match=r"unknown key 'factor' in section \[candidates\.example\]; known are factors, share"):
        load(changed(config, "candidates.example", "factor", "1"), {}).component("candidates.example", Example)


def test_a_bad_value_of_a_component_is_named(config: Path) -> None:
    """Section, key and value stand in the sentence."""
    config.write_text(config.read_text() + "\n[candidates.example]\nfactors = few\n")
    with pytest.raises(SettingsError, match=r"section \[candidates\.example\], key 'factors', value 'few': "):
        load(config, {}).component("candidates.example", Example)


def test_only_s3_variables_are_secrets(config: Path) -> None:
    """S3_... and AWS_... come through, from .env or the environment, the environment first; empty ones count as absent."""
    (config.parent / ".env").write_text("AWS_ACCESS_KEY_ID=file\nAWS_SESSION_TOKEN=token\nAWS_REGION=here\nS3_BUCKET_NAME=\nHOME_MADE=1\n")
    assert s3_environment(config, {"AWS_ACCESS_KEY_ID": "shell", "PATH": "x"}) == {
        "AWS_ACCESS_KEY_ID": "shell", "AWS_SESSION_TOKEN": "token", "AWS_REGION": "here"}


def test_the_example_of_the_env_file_names_exactly_the_secrets(tmp_path: Path) -> None:
    """.env.example and settings.s3_environment know the same names."""
    lines = [line for line in Path(".env.example").read_text().splitlines() if line and not line.startswith("#")]
    filled = {line.split("=")[0]: "x" for line in lines}
    assert s3_environment(tmp_path / "config.ini", filled) == filled


def test_every_key_of_the_shipped_file_is_documented() -> None:
    """A comment stands above each key, or above the keys that follow it without a gap."""
    documented, bare = False, []
    for line in SHIPPED.read_text().splitlines():
        if not line.strip() or line.startswith("["):
            documented = False
        elif line.startswith("#"):
            documented = True
        elif not documented and not line.startswith("seed"):
            bare.append(line)
    assert bare == []


def test_every_section_of_a_component_shows_its_defaults() -> None:
    """[candidates.NAME], [features.NAME] and [sources.NAME] exist in the registries, and the values shown are the defaults."""
    found = load(SHIPPED, {})
    for section in shipped().sections():
        if "." in section:
            registry, name = section.split(".", 1)
            kind = REGISTRIES[registry][name]
            required = {field.name: getattr(found.data, field.name) for field in dataclasses.fields(kind)
                        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING}
            assert found.component(section, kind, **required) == kind(**required), f"[{section}] differs from {kind.__name__}"


def test_every_component_with_fields_has_its_section() -> None:
    """A model or feature group that can be set is documented in config.ini, field by field."""
    parser = shipped()
    for registry in ("candidates", "features"):
        for name, kind in REGISTRIES[registry].items():
            fields = {field.name for field in dataclasses.fields(kind) if field.init}
            section = f"{registry}.{name}"
            shown = set(parser[section]) if parser.has_section(section) else set()
            assert shown == fields, f"[{section}] of config.ini shows {sorted(shown)}, the dataclass has {sorted(fields)}"


def test_no_other_module_reads_the_environment_or_config() -> None:
    """Only the settings package reads variables, config.ini and .env; whoever starts a process may hand the environment on as a whole."""
    package = Path(settings.__file__).parents[1]
    for path in package.rglob("*.py"):
        if path.parent.name != "settings":
            for reading in ("configparser", "dotenv", "os.environ[", "os.environ.", "getenv"):
                assert reading not in path.read_text(), f"{path.relative_to(package)}: {reading}"


@pytest.mark.parametrize(("asked", "expected"), [
    ("", None), ("2022-12-16", datetime(2022, 12, 16)), ("20221216", datetime(2022, 12, 16)),
    ("2022-12-16 18:00", datetime(2022, 12, 16, 18)),
    ("2022-12-16T18:00:05+02:00", datetime(2022, 12, 16, 16, 0, 5)), ("14", 14)])
def test_a_cutoff_is_nothing_a_date_a_time_or_a_number_of_days(asked: str, expected: object, config: Path) -> None:
    """A time with a zone is turned into UTC."""
    assert load(changed(config, "split", "test_start", asked), {}).split.test_start == expected


@pytest.mark.parametrize(("section", "key"), RENAMED)
def test_an_old_key_is_refused_with_its_new_name(section: str, key: str, config: Path) -> None:
    """Whoever has an old config.ini is told what the key is called now, and that key exists."""
    with pytest.raises(SettingsError, match=f"key '{key}' in section .{section}. is now called") as told:
        load(changed(config, section, key, "1"), {})
    new = RENAMED[section, key].split(" in ")[0]
    assert new in str(told.value)
    assert any(new == known for _, known in KEYS)
