"""Settings from the environment."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from kit.settings import Settings, SettingsRefused, load, names, unknown_names


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    import os

    for name in [name for name in os.environ if name.upper().startswith("PORCHLIGHT_")]:
        monkeypatch.delenv(name)


def loaded(monkeypatch, **environ: str) -> Settings:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return load(Settings, environ)


def test_everything_has_a_default(monkeypatch):
    assert loaded(monkeypatch).state_dir == Path(".porchlight")


def test_bot_targets_are_read_from_pairs(monkeypatch):
    settings = loaded(monkeypatch, PORCHLIGHT_BOT_TARGETS="lead=127.0.0.1:1, renter=dns:///renter:2")
    assert settings.bot_targets == {"lead": "127.0.0.1:1", "renter": "dns:///renter:2"}


def test_replicas_of_a_bot_may_be_listed(monkeypatch):
    settings = loaded(monkeypatch, PORCHLIGHT_BOT_TARGETS="lead=ipv4:127.0.0.1:1,127.0.0.2:1,buyer=127.0.0.1:2")
    assert settings.bot_targets == {"lead": "ipv4:127.0.0.1:1,127.0.0.2:1", "buyer": "127.0.0.1:2"}


@pytest.mark.parametrize("value", ["lead", "lead=", "=127.0.0.1:1", "lead:127.0.0.1"])
def test_bot_targets_of_another_form_are_refused_by_name(monkeypatch, value):
    with pytest.raises(SettingsRefused) as caught:
        loaded(monkeypatch, PORCHLIGHT_BOT_TARGETS=value)
    assert list(caught.value.causes) == ["PORCHLIGHT_BOT_TARGETS"]


def test_misspelt_name_is_refused(monkeypatch):
    with pytest.raises(SettingsRefused, match="PORCHLIGHT_DATABSE_URL"):
        loaded(monkeypatch, PORCHLIGHT_DATABSE_URL="postgresql:///x")


def test_names_of_others_and_of_the_tests_are_left_alone():
    assert unknown_names({"HOME": "/", "PORCHLIGHT_TEST_STORES": "url", "PORCHLIGHT_LISTEN": "x:1"}, Settings) == []


def test_what_one_process_of_several_knows_is_known():
    class Gateway(Settings):
        http_listen: str = ""

    environ = {"PORCHLIGHT_HTTP_LISTEN": "", "PORCHLIGHT_HTP_LISTEN": ""}
    assert unknown_names(environ, Settings, Gateway) == ["PORCHLIGHT_HTP_LISTEN"]
    assert "PORCHLIGHT_HTTP_LISTEN" in names(Gateway) - names(Settings)


def test_a_refused_value_is_not_repeated(monkeypatch):
    with pytest.raises(SettingsRefused) as caught:
        loaded(monkeypatch, PORCHLIGHT_DRAIN_SECONDS="hunter2")
    assert "hunter2" not in str(caught.value)
    assert "PORCHLIGHT_DRAIN_SECONDS" in caught.value.causes


def test_secrets_are_not_printed():
    settings = Settings(database_url=SecretStr("postgresql://u:hunter2@h/d"))
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    assert loaded(monkeypatch, PORCHLIGHT_TOKEN_FILE="").token_file is None


def test_url_of_the_database_is_read_from_its_file(monkeypatch, tmp_path):
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")
    settings = loaded(monkeypatch, PORCHLIGHT_DATABASE_URL_FILE=str(tmp_path / "url"), PORCHLIGHT_DATABASE_URL="")
    assert settings.database_url.get_secret_value() == "postgresql://u:p@h/d"


def test_url_that_is_given_wins_over_the_file(monkeypatch, tmp_path):
    (tmp_path / "url").write_text("postgresql://file")
    given = {"PORCHLIGHT_DATABASE_URL": "postgresql://given", "PORCHLIGHT_DATABASE_URL_FILE": str(tmp_path / "url")}
    assert loaded(monkeypatch, **given).database_url.get_secret_value() == "postgresql://given"


def test_file_of_the_url_that_is_missing_is_refused_by_name(monkeypatch, tmp_path):
    with pytest.raises(SettingsRefused) as caught:
        loaded(monkeypatch, PORCHLIGHT_DATABASE_URL_FILE=str(tmp_path / "nowhere"))
    assert list(caught.value.causes) == ["PORCHLIGHT_DATABASE_URL"]


def test_every_setting_is_documented():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
