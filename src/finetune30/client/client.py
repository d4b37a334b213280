"""The client: every method of the modules around it, for one user at one server.

Neighbours: ``tasks``, ``experiments``, ``people`` and others hold the methods; ``wire``, ``session`` what they share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from finetune30.client.address import HERE, check_secret_may_go, server_url
from finetune30.client.artifacts import Artifacts
from finetune30.client.asking import refresher
from finetune30.client.configurations import Configurations
from finetune30.client.credentials import CredentialsFile, last_server
from finetune30.client.datasets import Datasets
from finetune30.client.experiments import Experiments
from finetune30.client.keys import Keys
from finetune30.client.logins import Logins
from finetune30.client.models import Models
from finetune30.client.people import Operations, People
from finetune30.client.predictions import Predicting
from finetune30.client.session import InMemory, Keep, Login, Session
from finetune30.client.tasks import Tasks
from finetune30.client.webhooks import Webhooks
from finetune30.client.wire import Wire
from finetune30.errors import LoginNeeded, UsageError
from finetune30.settings import get_settings

# The address of the client behind a page, believed of who knows the key.
FORWARDED_FOR = "X-Finetune30-Client"
TRUSTED_KEY = "X-Finetune30-Key"


class Client(
    Tasks,
    Experiments,
    Artifacts,
    Datasets,
    Models,
    Webhooks,
    Keys,
    Configurations,
    People,
    Operations,
    Predicting,
    Logins,
):
    """One user at one server. Threads may share it; close it, or use it in a ``with`` block.

    Args:
        api_url: Address of the API; ``API_URL``, else this machine's.
        serving_url: Address of the service that predicts; ``SERVING_URL``.
        token: An access token, or (to predict) an API key; it is not refreshed, for that takes a session.
        session: Tokens that an earlier client had (``client.session``).
        on_session: Called with each new session (login, refresh) and with None (logout), so that it can be stored.
        keep: Where the session is kept, instead of in memory: ``CredentialsFile``.
        timeout_s: Between two signs of life of the server.
        tries: At most so many for one request; only what can do no harm is sent again.
        patience_s: For all tries of one request, waiting included.
        plain_http: Send passwords and tokens over plain HTTP to another machine; ``PLAIN_HTTP``.
        ca_file: Certificates that are trusted instead of the usual ones; ``API_CA_FILE``. They are always checked.
        proxy: To go through; ``API_PROXY``. Those of ``HTTPS_PROXY`` and ``.netrc`` are not looked at.
        forwarded_for, trusted_key: For a page that asks on behalf of others: their address, and the key that makes
            the API believe it.
        headers: More of them, with each request.
        http: An ``httpx.Client`` to send through; it stays open, and its own settings hold.
        transport: What carries requests instead of the network, for tests.
    Raises: UsageError, SettingsError.
    """

    def __init__(
        self,
        api_url: str | None = None,
        serving_url: str | None = None,
        token: str | None = None,
        *,
        session: Session | None = None,
        on_session: Callable[[Session | None], object] | None = None,
        keep: Keep | None = None,
        timeout_s: float = 30.0,
        tries: int = 4,
        patience_s: float = 60.0,
        plain_http: bool | None = None,
        ca_file: Path | None = None,
        proxy: str | None = None,
        forwarded_for: str | None = None,
        trusted_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        http: httpx.Client | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        settings = get_settings()
        self.api_url = server_url(api_url or settings.api_url or HERE, "api_url" if api_url else "API_URL")
        self.serving_url = server_url(serving_url or settings.serving_url, "SERVING_URL")
        if sum(one is not None for one in (token, session, keep)) > 1:
            raise UsageError("expected one of token, session and keep")
        self._plain_http = settings.plain_http if plain_http is None else plain_http
        check_secret_may_go(self.api_url, plain_http=self._plain_http)
        session = Session(token) if token is not None else session

        def way(base: str, more: Mapping[str, str]) -> Wire:
            return Wire(
                base,
                timeout_s=timeout_s,
                tries=tries,
                patience_s=patience_s,
                ca_file=ca_file or settings.api_ca_file,
                proxy=proxy or settings.api_proxy,
                headers={**more, **(headers or {})},
                http=http,
                transport=transport,
            )

        self._wire = way(self.api_url, _behind(forwarded_for, trusted_key))
        # Made when it is asked for first. The page's key is the API's, and no business of another server.
        self._to_serving = lambda: way(self.serving_url, {})
        self._login = Login(keep or InMemory(session, on_session), refresher(self._wire))

    @classmethod
    def logged_in(cls, api_url: str | None = None, **options: object) -> Client:
        """A client with the login that ``finetune30 login`` stored; refreshed tokens are stored again.

        Args:
            api_url: ``API_URL``, else the server logged in to last.
        Raises: LoginNeeded, SettingsError.
        """
        url = api_url or get_settings().api_url or last_server() or HERE
        keep = CredentialsFile(url)
        if keep.read() is None:
            raise LoginNeeded("nobody is logged in", where=keep.url, hint=f"log in: finetune30 login {keep.url}")
        if keep.plain_http:
            options.setdefault("plain_http", True)
        return cls(keep.url, keep=keep, **options)  # type: ignore[arg-type]

    def close(self) -> None:
        """Give the connections back."""
        self._wire.close()
        self._leave_serving()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _behind(forwarded_for: str | None, trusted_key: str | None) -> dict[str, str]:
    if (forwarded_for is None) != (trusted_key is None):
        raise UsageError("expected both forwarded_for and trusted_key, or neither")
    if forwarded_for is None or trusted_key is None:
        return {}
    return {FORWARDED_FOR: forwarded_for, TRUSTED_KEY: trusted_key}
