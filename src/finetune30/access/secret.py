"""The keys: of tokens, of the audit log, of webhooks.

Promises: a key that everybody could know is refused before anything is served with it; where none is set, a
development machine gets a random one of its own, made once and readable for its user only. Several keys, because
a new key for tokens must not make the log unreadable. No message holds a key. Neighbours: ``settings`` bring them.
"""

from __future__ import annotations

import os
import secrets
from itertools import pairwise
from pathlib import Path

from finetune30.errors import SettingsError, StorageError
from finetune30.settings import Settings

_SHORTEST = 32
# Words of keys that stand in documentation, and keys that stand in well-known tutorials.
# None is so short that a random key may hold it.
_WORDS = ("secret", "change", "example", "password", "replace", "insecure", "default", "finetune")
_PUBLISHED = ("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",)
# Among the steps from each byte to the next a random key has far more different ones.
_FEWEST_STEPS = 8
_MAKE_ONE = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'


def folder(settings: Settings) -> Path:
    """Where keys and anchor are kept unless the settings name them."""
    return settings.results_dir / ".access"


def signing_secret(settings: Settings) -> bytes:
    """What signs tokens: ``JWT_SECRET``, else in development the one this machine made.

    Raises: SettingsError if it is missing in production, or weak; StorageError.
    """
    return _given("JWT_SECRET", settings.jwt_secret, settings) or _kept(folder(settings) / "jwt_secret", "JWT_SECRET")


def audit_key(settings: Settings, *, create: bool = True) -> bytes:
    """What signs the audit log: ``AUDIT_KEY``, else in development the one this machine made.

    Args:
        create: Without it nothing is made: where there is no key, the answer fits no log.
    Raises: SettingsError if it is missing in production, or weak; StorageError.
    """
    given = _given("AUDIT_KEY", settings.audit_key, settings)
    if given and settings.audit_key == settings.jwt_secret:
        raise SettingsError("AUDIT_KEY and JWT_SECRET are the same, expected two keys", hint=_MAKE_ONE)
    path = folder(settings) / "audit_key"
    if given or create or os.path.lexists(path):
        return given or _kept(path, "AUDIT_KEY")
    return secrets.token_bytes(_SHORTEST)


def webhook_key(settings: Settings) -> bytes:
    """What the secrets of webhooks are derived from: ``WEBHOOK_KEY``, else in development the one this machine made.

    Raises: SettingsError if it is missing in production, weak, or the key of something else; StorageError.
    """
    given = _given("WEBHOOK_KEY", settings.webhook_key, settings)
    if given and settings.webhook_key in (settings.jwt_secret, settings.audit_key):
        raise SettingsError("WEBHOOK_KEY is the key of something else, expected one of its own", hint=_MAKE_ONE)
    return given or _kept(folder(settings) / "webhook_key", "WEBHOOK_KEY")


def _given(name: str, value: str | None, settings: Settings) -> bytes | None:
    if value is None:
        if settings.environment == "production":
            raise SettingsError(
                f"{name} is not set, expected a random key of {_SHORTEST} characters or more in production",
                where="environment or .env",
                hint=_MAKE_ONE,
            )
        return None
    if fault := weakness(value):
        raise SettingsError(f"{name} {fault}", where="environment or .env", hint=_MAKE_ONE)
    return value.encode()


def weakness(value: str) -> str | None:
    """Why others could guess this key; None if nothing speaks for it."""
    data = value.encode()
    if len(data) < _SHORTEST:
        return f"has {len(data)} bytes, expected a random key of {_SHORTEST} or more"
    plain = value.lower()
    if plain in _PUBLISHED or any(word in plain for word in _WORDS):
        return "is taken from an example, expected a random key that nobody else has"
    if len({after - before for before, after in pairwise(data)}) < _FEWEST_STEPS:
        return "is a simple pattern, expected a random key"
    if data in (data + data)[1:-1]:
        return "repeats itself, expected a random key"
    return None


def _kept(path: Path, name: str) -> bytes:
    """The key in this file, made where it is missing; of several processes at once all get the same."""
    try:
        if not os.path.lexists(path):
            _make(path)
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            open_to_others = os.fstat(file).st_mode & 0o077
            value = os.read(file, 4096).strip()
        finally:
            os.close(file)
    except OSError as cause:
        raise StorageError(
            f"the key cannot be kept: {cause.strerror}", where=str(path), hint=f"set RESULTS_DIR or {name}"
        ) from cause
    if open_to_others:
        raise SettingsError(
            "the key can be read by other users, expected mode 600",
            where=str(path),
            hint=f"others may know it: delete it and start again, or set {name}; to go on with it: chmod 600",
        )
    if len(value) < _SHORTEST:
        raise SettingsError("the key is damaged", where=str(path), hint=f"restore a copy, delete it, or set {name}")
    return value


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = path.with_name(f".staging-{secrets.token_hex(8)}")
    file = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, secrets.token_urlsafe(48).encode())
        os.fsync(file)
        os.link(staging, path)  # fails where another process was faster, and never shows half a key
    except FileExistsError:
        pass
    finally:
        os.close(file)
        staging.unlink()
