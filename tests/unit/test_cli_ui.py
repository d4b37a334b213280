"""``finetune30 ui``: what the page is told of the settings, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from finetune30.cli import app
from finetune30.cli.ui import options_of
from finetune30.errors import SettingsError
from finetune30.settings import Settings


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    given = {"tls_certfile": tmp_path / "cert.pem", "tls_keyfile": tmp_path / "key.pem"}
    for path in given.values():
        path.touch()
    return given


def test_without_settings_it_is_for_this_machine_and_asks_the_api_on_it() -> None:
    options = options_of(settings(api_port=8123))

    assert (options.host, options.port, options.api_url) == ("127.0.0.1", 8501, "http://127.0.0.1:8123")
    assert options.hosts == {"localhost", "127.0.0.1", "[::1]"}
    assert (options.upload_mb, options.tz, options.configs) == (200, "Asia/Taipei", None)


def test_it_answers_to_the_names_it_is_told_and_never_to_every_name(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()

    options = options_of(settings(ui_host="0.0.0.0", allowed_hosts="page.example.org", ui_port=8600))  # noqa: S104

    assert options.hosts == {"localhost", "127.0.0.1", "[::1]", "page.example.org"}
    assert options.configs == tmp_path / "config"
    assert options.cookie == "finetune30_8600"
    assert options_of(settings(ui_host="FE80::1")).hosts >= {"[fe80::1]"}


@pytest.mark.parametrize(("given", "limit"), [(2048, 200), (50, 50), (0, 200)])
def test_the_limit_of_a_file_is_the_lower_of_both(given: int, limit: int) -> None:
    assert options_of(settings(upload_max_mb=given)).upload_mb == limit


def test_with_a_certificate_it_asks_the_api_by_https_and_by_name(certificate: dict[str, Path]) -> None:
    assert options_of(settings(**certificate)).api_url == "https://localhost:8000"
    assert options_of(settings(**certificate, api_url="https://api.example.org")).api_url == "https://api.example.org"
    with pytest.raises(SettingsError, match="one of TLS_CERTFILE and TLS_KEYFILE is set"):
        options_of(settings(tls_certfile=certificate["tls_certfile"]))


def test_production_refuses_passwords_over_plain_http_on_an_address_others_reach(certificate: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=r"production over plain HTTP on 0\.0\.0\.0: passwords"):
        options_of(settings(environment="production", ui_host="0.0.0.0"))  # noqa: S104
    for allowed in ({"ui_host": "127.0.0.1"}, {"ui_host": "0.0.0.0", "plain_http": True}, certificate):  # noqa: S104
        options_of(settings(environment="production", **allowed))


def test_a_wrong_port_is_told_as_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UI_PORT", "70000")

    done = CliRunner().invoke(app, ["ui"])

    assert isinstance(done.exception, SettingsError)
    assert "UI_PORT is '70000'" in str(done.exception)
