"""The login that ``finetune30 login`` stores: a file of mode 600 for each server, below the user's configuration.

    ~/.config/finetune30/servers/<hash of the address>.json     XDG_CONFIG_HOME if set; on macOS
    ~/.config/finetune30/servers/<hash of the address>.lock     ~/Library/Application Support/finetune30
    ~/.config/finetune30/server                                 the address of the last login

The file is replaced in one step, so that a reader sees one pair or the next. A file that others may read, or
that is no file of ours, is refused: its token may be known, or somebody else's.
Neighbours: ``session`` says when it is read and written.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetune30 import durable
from finetune30.client.address import server_url
from finetune30.client.session import Session
from finetune30.errors import SettingsError

_LARGEST = 65_536
_AGAIN = "log in again: finetune30 login"


def folder() -> Path:
    """Where this user's programs keep what they were told; the platform says."""
    chosen = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if chosen.is_absolute():  # others are to be passed over, says the standard
        return chosen / "finetune30"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "finetune30"
    return Path.home() / ".config" / "finetune30"


def last_server() -> str | None:
    """The address of the last login; None if there was none."""
    try:
        return server_url((folder() / "server").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as cause:
        raise SettingsError("cannot be read", where=str(folder() / "server"), hint=_AGAIN) from cause


class CredentialsFile:
    """The stored login of one server; a ``Keep``.

    Args:
        url: Of the server.
        plain_http: What is said at the login, and kept beside it.
    Raises: SettingsError from all methods, without the token.
    """

    def __init__(self, url: str, *, plain_http: bool = False) -> None:
        self.url = server_url(url)
        self.plain_http = plain_http
        name = hashlib.sha256(self.url.encode()).hexdigest()[:24]
        self.path = folder() / "servers" / f"{name}.json"

    def read(self) -> Session | None:
        """The session, None if nobody has logged in to this server."""
        text = self._text()
        if text is None:
            return None
        try:
            found = json.loads(text)
            if found["url"] != self.url:
                raise ValueError("another server's")
            self.plain_http = self.plain_http or found.get("plain_http") is True
            session = found["session"]
            return Session(
                token=_text(session["token"]),
                refresh_token=_text(session["refresh_token"]),
                expires_at=float(session["expires_at"]),
                user_id=session.get("user_id"),
                role=session.get("role"),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsError("the stored login is damaged", where=str(self.path), hint=_AGAIN) from None

    def write(self, session: Session | None) -> None:
        """Replace what is stored; None removes it."""
        try:
            if session is None:
                self.path.unlink(missing_ok=True)
                return
            self._make_folder()
            stored = {"url": self.url, "plain_http": self.plain_http, "session": asdict(session)}
            _put(self.path, json.dumps(stored))
        except OSError as cause:
            raise self._cannot("the login cannot be stored", cause) from cause

    def make_last(self) -> None:
        """Let this server be the one that is asked where none is named."""
        try:
            self._make_folder()
            _put(folder() / "server", self.url)
        except OSError as cause:
            raise self._cannot("the address cannot be stored", cause) from cause

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else refreshes this login meanwhile."""
        with ExitStack() as held:
            try:
                self._make_folder()
                held.enter_context(durable.locked(self.path.with_suffix(".lock")))
            except OSError as cause:
                raise self._cannot("the login cannot be locked", cause) from cause
            yield

    def _text(self) -> str | None:
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise self._cannot("the stored login cannot be read", cause) from cause
        with os.fdopen(file, "rb") as source:
            found = os.fstat(source.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise SettingsError("the stored login is not a file of yours", where=str(self.path), hint=_AGAIN)
            if found.st_mode & 0o077:
                raise SettingsError(
                    f"others may read the stored login (mode {found.st_mode & 0o777:o}), expected mode 600",
                    where=str(self.path),
                    hint="they may know its token: finetune30 logout, then log in again; to go on with it: chmod 600",
                )
            return source.read(_LARGEST).decode("utf-8", "replace")

    def _make_folder(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _cannot(self, what: str, cause: OSError) -> SettingsError:
        return SettingsError(f"{what}: {cause.strerror}", where=str(self.path), hint="or set XDG_CONFIG_HOME")


def _put(path: Path, text: str) -> None:
    staging = path.with_name(f".staging-{secrets.token_hex(8)}")
    file = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "w", encoding="utf-8") as target:
            target.write(text)
            target.flush()
            os.fsync(target.fileno())
        staging.replace(path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
    durable.flush(path.parent)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text")
    return value
