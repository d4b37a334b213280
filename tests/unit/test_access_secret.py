"""S45: keys that others could know sign nothing; a development machine makes its own."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finetune30.access import open_access, secret
from finetune30.errors import SettingsError, StorageError
from finetune30.settings import Settings

GOOD, ALSO_GOOD = "Wm3xVtq7hJ0cRk5nY8bZs2LdPf9gAe1u", "Qp7sYv2nTd8gBk4mXc1wZr6hJf9aLe3u"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def production(**values: object) -> Settings:
    return Settings(environment="production", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "secret",
        "changeme",
        "x" * 31,
        "x" * 64,
        "abcdefgh" * 8,
        "0123456789abcdef0123456789abcdef",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "please-change-this-key-before-you-deploy-it",
        "a-string-secret-at-least-256-bits-long",
        "My-Super-SECRET-Key-Of-2026-For-JWT",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "k7Jd82mQzP1x" * 3,
    ],
)
def test_s45_weak_keys_are_refused_in_one_line_without_them(value: str) -> None:
    for settings in (production(jwt_secret=value, audit_key=value), Settings(jwt_secret=value, audit_key=value)):
        for read, name in ((secret.signing_secret, "JWT_SECRET"), (secret.audit_key, "AUDIT_KEY")):
            with pytest.raises(SettingsError, match=name) as refused:
                read(settings)
            assert refused.value.message.count("\n") == 0
            assert not value or value not in str(refused.value.to_dict() | {"hint": None})
            assert not value or value not in repr(settings)
    assert not Path("results").exists()


def test_s45_production_without_keys_does_not_start() -> None:
    for read, name in ((secret.signing_secret, "JWT_SECRET"), (secret.audit_key, "AUDIT_KEY")):
        with pytest.raises(SettingsError, match=f"{name} is not set"):
            read(production())
    with pytest.raises(SettingsError, match="are the same"):
        secret.audit_key(production(jwt_secret=GOOD, audit_key=GOOD))
    assert not Path("results").exists()


def test_given_keys_are_taken_as_they_are() -> None:
    settings = production(jwt_secret=GOOD, audit_key=ALSO_GOOD)

    assert (secret.signing_secret(settings), secret.audit_key(settings)) == (GOOD.encode(), ALSO_GOOD.encode())
    assert not Path("results").exists()


def test_no_random_key_is_taken_for_a_weak_one() -> None:
    for _ in range(2000):
        for made in (
            secrets.token_urlsafe(48),
            secrets.token_hex(32),
            secrets.token_hex(16),
            secrets.token_urlsafe(24),
        ):
            assert secret.weakness(made) is None, made


def test_development_makes_its_keys_once_for_its_user_alone() -> None:
    settings = Settings()
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: secret.signing_secret(settings), range(16)))

    assert len(made) == 1
    assert made != {secret.audit_key(settings)}
    assert secret.audit_key(settings) == secret.audit_key(settings)
    kept = sorted(secret.folder(settings).iterdir())
    assert [path.name for path in kept] == ["audit_key", "jwt_secret"]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert secret.folder(settings).stat().st_mode & 0o777 == 0o700
    assert all(len(key) >= 32 for key in made)


def test_a_kept_key_that_others_can_read_is_refused_and_so_is_a_link_or_a_damaged_one(tmp_path: Path) -> None:
    settings = Settings()
    secret.signing_secret(settings)
    path = secret.folder(settings) / "jwt_secret"

    path.chmod(0o644)
    with pytest.raises(SettingsError, match="read by other users"):
        secret.signing_secret(settings)

    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(SettingsError, match="damaged"):
        secret.signing_secret(settings)

    path.unlink()
    (tmp_path / "elsewhere").write_text("x" * 64)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="cannot be kept"):
        secret.signing_secret(settings)


def test_a_mere_look_makes_nothing() -> None:
    access = open_access(Settings(), create=False)

    assert (access.users.all(), access.audit.find(), access.audit.verify().ok) == ([], [], True)
    assert not Path("results").exists()
    access.close()


def test_opened_for_work_everything_is_there_and_fits_at_the_next_start() -> None:
    first, second = open_access(Settings()), open_access(Settings())
    from finetune30.access import Role

    pair = first.tokens.issue(first.users.add("ana", Role.ADMIN, "correct horse battery"))

    assert second.tokens.read(pair.token).name == "ana"
    assert second.audit.verify().ok
    first.close()
    second.close()


def test_s45_the_key_of_webhooks_is_one_of_its_own_and_production_needs_it() -> None:
    given = production(jwt_secret=GOOD, audit_key=ALSO_GOOD)
    with pytest.raises(SettingsError, match="WEBHOOK_KEY is not set"):
        secret.webhook_key(given)
    for taken in (GOOD, ALSO_GOOD):
        with pytest.raises(SettingsError, match="key of something else") as refusal:
            secret.webhook_key(given.model_copy(update={"webhook_key": taken}))
        assert taken not in str(refusal.value)

    made = secret.webhook_key(Settings())

    assert made == secret.webhook_key(Settings())
    assert made not in (secret.signing_secret(Settings()), secret.audit_key(Settings()))
