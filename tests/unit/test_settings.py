"""Settings: the environment and .env in, checked values or one clear error out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finetune30.errors import SettingsError
from finetune30.settings import Settings, get_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without .env and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path


def test_the_defaults_are_those_of_the_architecture() -> None:
    settings = get_settings()

    assert (str(settings.results_dir), str(settings.data_dir)) == ("results", "data")
    assert (settings.tz, settings.lease_s, settings.heartbeat_s) == ("Asia/Taipei", 60, 10)


def test_the_database_is_sqlite_in_the_results_folder_unless_said_otherwise(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert get_settings().resolved_database_url == f"sqlite:///{empty_folder}/results/experiments.db"

    monkeypatch.setenv("DATABASE_URL", "postgresql://ana@db/runs")
    assert get_settings().resolved_database_url == "postgresql://ana@db/runs"


def test_dot_env_is_read_and_the_environment_wins(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / ".env").write_text("RESULTS_DIR=from_file\nDATA_DIR=from_file\nDATABASE_URL=\n")
    monkeypatch.setenv("DATA_DIR", "from_environment")

    settings = get_settings()

    assert str(settings.results_dir) == "from_file"
    assert str(settings.data_dir) == "from_environment"
    assert settings.database_url is None


def test_unknown_variables_are_ignored(empty_folder: Path) -> None:
    (empty_folder / ".env").write_text("REDIS_PORT=6379\nSOMETHING=else\n")

    assert get_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TZ", "Asia/Taipeh", "time zone such as Asia/Taipei"),
        ("TZ", "../../etc/passwd", "time zone"),
        ("LEASE_S", "soon", "valid number"),
        ("LEASE_S", "nan", "finite number"),
        ("LEASE_S", "0", "greater than 0"),
        ("HEARTBEAT_S", "-1", "greater than 0"),
        ("HEARTBEAT_S", "30", "less than half of LEASE_S"),
        ("DATABASE_URL", "mysql://ana:s3cret@db/runs", "expected sqlite:///"),
        ("BROKER_URL", "kafka://ana:s3cret@host", "expected redis://"),
        ("BROKER_URL", "redis://ana:s3cret@host:port/0", "expected redis://"),
        ("BROKER_URL", "redis://", "expected redis://"),
        ("BROKER_URL", "redis+socket://", "expected redis://"),
        ("BROKER_URL", "localhost:6379", "expected redis://"),
        ("QUEUES", "train,,large", "with commas between"),
        ("QUEUES", "Train", "lower-case"),
        ("QUEUES", "../train", "lower-case"),
        ("QUEUES", ",", "with commas between"),
        ("MAX_ATTEMPTS", "0", "greater than or equal to 1"),
        ("MAX_ATTEMPTS", "many", "valid integer"),
        ("MAX_JOBS_PER_USER", "-1", "greater than or equal to 0"),
        ("MAX_RUNNING_PER_USER", "1.5", "valid integer"),
        ("MAX_RUNTIME_S", "inf", "finite number"),
        ("POLL_S", "0", "greater than or equal to 0.01"),
        ("RING_AGAIN_S", "901", "less than or equal to 900"),
        ("RETRY_DELAY_S", "-1", "greater than or equal to 0"),
        ("STOP_GRACE_S", "soon", "valid number"),
        ("DRAIN_S", "nan", "finite number"),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        get_settings()

    assert caught.value.message.startswith(f"{name} is ")
    assert expected in caught.value.message
    assert "s3cret" not in str(caught.value)


def test_all_wrong_values_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Nowhere")
    monkeypatch.setenv("LEASE_S", "soon")

    with pytest.raises(SettingsError, match=r"(?s)TZ is 'Nowhere'.*LEASE_S is 'soon'"):
        get_settings()


def test_a_dot_env_that_is_no_text_is_refused(empty_folder: Path) -> None:
    (empty_folder / ".env").write_bytes(b"TZ=\xff\xfe\x00")

    with pytest.raises(SettingsError, match="UTF-8"):
        get_settings()


def test_a_password_in_the_database_url_is_not_printed_with_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana:s3cret@db/runs")

    monkeypatch.setenv("BROKER_URL", "redis://ana:s3cret@host:6379/0")

    assert "s3cret" not in repr(get_settings())


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "redis://:s3cret@host",
        "rediss://ana:s3cret@host:6380/1?ssl_cert_reqs=required",
        "redis+socket:///run/redis.sock",
        "redis+socket:///run/redis.sock?virtual_host=3",
        "amqp://ana:s3cret@host//",
        "amqps://host:5671/finetune30",
    ],
)
def test_a_broker_is_redis_or_rabbitmq(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BROKER_URL", url)

    assert get_settings().broker_url == url


def test_queues_are_names_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_settings().queues == ("train",)

    monkeypatch.setenv("QUEUES", "train, large-gpu,train")
    assert get_settings().queues == ("train", "large-gpu")


def test_the_example_file_names_every_setting_and_loads_as_the_defaults(empty_folder: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    (empty_folder / ".env").write_text(text, encoding="utf-8")

    assert get_settings() == Settings(_env_file=None)
    names = set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE))
    assert {name.upper() for name in Settings.model_fields} <= names
    assert {"REDIS_PORT=6379", "API_PORT=8000", "UI_PORT=8501"} <= set(text.splitlines())
