from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from schemas.columns import Topic
from streams.errors import ConfigurationError
from streams.settings import Settings
from streams.settings_sources import PREFIX

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(variable)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path / "b.toml", 'bootstrap = "file:1"\ngroup_id = "file"\npartitions = 3\n')
    monkeypatch.setenv("BOOSTWATCH_BOOTSTRAP", "environment:2")
    monkeypatch.setenv("BOOSTWATCH_GROUP_ID", "environment")
    settings = Settings.load(config, {"bootstrap": "line:3", "log_level": None})
    assert (settings.bootstrap, settings.group_id, settings.partitions) == ("line:3", "environment", 3)
    assert settings.log_level == "info"


def test_the_file_may_be_named_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOSTWATCH_CONFIG", str(write(tmp_path / "b.toml", "partitions = 5")))
    assert Settings.load().partitions == 5


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOSTWATCH_GROUP_INSTANCE_ID", "")
    assert Settings.load().group_instance_id is None


def test_settings_made_by_hand_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOSTWATCH_PARTITIONS", "99")
    assert Settings().partitions == 8


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("BOOSTWATCH_TOPIC_LIKE", "BOOSTWATCH_TOPIC_LIKES"),
        ("BOOSTWATCH_BOOTSTRAP_SERVERS", "BOOSTWATCH_BOOTSTRAP"),
        ("BOOSTWATCH_http_port", "BOOSTWATCH_HTTP_PORT"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigurationError, match=f"{variable}; did you mean {meant}\\?"):
        Settings.load()


def test_variables_of_tests_and_tools_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEST_KAFKA", "REQUIRE_ALL", "CACHE"):
        monkeypatch.setenv(PREFIX + name, "x")
    Settings.load()


def test_an_unknown_key_of_the_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    config = write(tmp_path / "b.toml", "lateness = 5\n[topic]\nlikes = 'x'\n")
    with pytest.raises(ConfigurationError, match=r"lateness; did you mean lateness_ms\?.*topic;"):
        Settings.load(config)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("http_port", "99999", "0 to 65535"),
        ("http_port", "many", "0 to 65535"),
        ("bootstrap", "kafka", "host:port"),
        ("bootstrap", "kafka:9092,:1", "host:port"),
        ("topic_flags", "a b", "a-z A-Z 0-9"),
        ("mode_like_boost", "off", "live, or shadow"),
        ("log_level", "loud", "debug, info, warning or error"),
        ("partitions", "0", "1 to 4096"),
        ("tls_ca_path", "/nowhere.pem", "readable PEM"),
        ("security_protocol", "TLS", "SASL_SSL"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), value)
    with pytest.raises(ConfigurationError) as failure:
        Settings.load()
    told = str(failure.value)
    assert PREFIX + name.upper() in told
    assert repr(value) in told
    assert allowed in told
    assert "\n" not in told


def test_every_wrong_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOSTWATCH_PARTITIONS", "x")
    monkeypatch.setenv("BOOSTWATCH_LATENESS_MS", "-1")
    with pytest.raises(ConfigurationError, match=r"(?s)PARTITIONS.*LATENESS_MS|LATENESS_MS.*PARTITIONS"):
        Settings.load()


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs sasl_username and sasl_password"):
        Settings.load(overrides={"security_protocol": "SASL_SSL"})
    with pytest.raises(ConfigurationError, match="two topics have the same name 'flags'"):
        Settings.load(overrides={"topic_likes": "flags"})


def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the settings file"):
        Settings.load(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="is no TOML"):
        Settings.load(write(tmp_path / "b.toml", "bootstrap: yaml"))


def test_secrets_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOSTWATCH_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("BOOSTWATCH_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    with pytest.raises(ConfigurationError) as failure:
        Settings.load()
    settings = Settings.load(overrides={"sasl_username": "u"})
    for text in (str(failure.value), repr(settings), str(settings.masked()), settings.model_dump_json()):
        assert "hunter2" not in text


def test_another_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = write(tmp_path / "b.toml", 'sasl_password = "p"\nsasl_username = "u"\nmode_keyword_trend = "shadow"\n')
    settings = Settings.load(config, {"bootstrap": "a:1"}).model_copy(update={"http_port": 1})
    for variable, value in settings.as_environment().items():
        monkeypatch.setenv(variable, value)
    assert Settings.load() == settings


def test_every_setting_says_what_is_allowed() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert Settings().input_topics == {Topic.LIKES: "likes", Topic.FOLLOWS: "follows", Topic.SEARCHES: "searches"}
