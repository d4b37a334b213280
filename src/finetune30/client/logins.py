"""Logging in and out, and who one is.

Neighbours: ``session`` keeps what comes of it.
"""

from __future__ import annotations

from finetune30.client.answers import Person
from finetune30.client.asking import Asking, session_of
from finetune30.client.session import Session
from finetune30.client.wire import Request
from finetune30.errors import LoginNeeded


class Logins(Asking):
    """``/login``, ``/logout``, ``/me``."""

    @property
    def session(self) -> Session | None:
        """The tokens as they are now; None while nobody is logged in."""
        return self._login.session

    def login(self, username: str, password: str) -> Session:
        """Log in; from now on this client asks as this user. A 429 (wrong passwords) is not waited for.

        Raises: LoginNeeded with the code ``login_refused`` where name and password do not belong together.
        """
        body = {"username": username, "password": password}
        try:
            answer = self._wire.send(Request("POST", "/login", body=body, patient=False))
        except LoginNeeded as refusal:
            refusal.code, refusal.hint = "login_refused", None
            raise
        session = session_of(answer)
        self._login.become(session)
        return session

    def logout(self) -> None:
        """End the session, here at once and at the server; nothing happens where nobody is logged in.

        Raises: RemoteError where the server could not be told: its session ends by itself then.
        """
        if self._login.session is None:
            return
        try:
            self._send(Request("POST", "/logout", safe=True))
        except LoginNeeded:
            pass  # it had ended
        finally:
            self._login.become(None)

    def me(self) -> Person:
        """Who one is."""
        return self._get("/me", Person)

    def change_password(self, current: str, new: str) -> None:
        """Change one's password; all sessions end, this one too."""
        body = {"current_password": current, "new_password": new}
        self._send(Request("POST", "/me/password", body=body, patient=False))
        self._login.become(None)
