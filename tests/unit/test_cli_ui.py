"""``finetune30 ui``: what the page is told of the settings, and what it refuses."""

from __future__ import annotations

import shutil
import subprocess
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return made(tmp_path_factory.mktemp("tls"))


def made(home: Path) -> dict[str, Path]:
    """A certificate of localhost and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    given = {"tls_certfile": home / "cert.pem", "tls_keyfile": home / "key.pem"}
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    places = ["-keyout", given["tls_keyfile"], "-out", given["tls_certfile"]]
    subprocess.run(["openssl", *words.split(), *places], check=True, capture_output=True)
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


@pytest.mark.parametrize("url", ["ftp://x", "http://me:secret@localhost:8000", "nowhere", "", "http://api.example.org"])
@pytest.mark.parametrize("name", ["api_url", "serving_url"])
def test_a_wrong_address_is_told_before_the_page_is_served(name: str, url: str) -> None:
    if (name, url) == ("api_url", ""):
        return  # as if it was left out
    with pytest.raises(SettingsError) as told:
        options_of(settings(**{name: url}))

    assert told.value.where == name.upper()
    assert "secret" not in str(told.value)


def test_plain_http_to_another_machine_needs_to_be_asked_for() -> None:
    assert options_of(settings(api_url="http://api.example.org", plain_http=True)).api_url == "http://api.example.org"


def test_a_certificate_that_is_none_or_has_another_key_is_told_with_its_settings(
    certificate: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "cert.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nx\n")
    other = made(tmp_path)["tls_keyfile"]
    for given in ({**certificate, "tls_keyfile": other}, {**certificate, "tls_certfile": broken}):
        broken.write_text("no certificate")
        with pytest.raises(SettingsError, match="cannot be read as a certificate and its key") as told:
            options_of(settings(**given))
        assert told.value.where == "TLS_CERTFILE, TLS_KEYFILE"


def test_under_https_the_cookie_is_of_this_host_alone(certificate: dict[str, Path]) -> None:
    assert options_of(settings(**certificate)).cookie == "__Host-finetune30_8501"
