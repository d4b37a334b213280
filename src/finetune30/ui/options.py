"""What the page is told when it starts.

Neighbours: ``cli.ui`` reads the settings and says it; ``serve``, ``front``, ``door`` and ``shell`` read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Where the page is, whom it asks.

    Attributes:
        hosts: Names in the ``Host`` header it answers to, lower case, without port.
        page_key: The key that makes the API believe whom the page asks for; None: it does not say.
        tz: IANA name of the zone in which times are shown.
        upload_mb: Larger files are refused by the page, as by the API.
        configs: Folder of templates (``config/``); files there are offered in the form.
        proxies: Whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    api_url: str = "http://127.0.0.1:8000"
    serving_url: str = "http://127.0.0.1:8002"
    host: str = "127.0.0.1"
    port: int = 8501
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "[::1]"})
    page_key: str | None = None
    tz: str = "UTC"
    upload_mb: int = 200
    configs: Path | None = None
    proxies: tuple[str, ...] = ()
    tls_certfile: Path | None = None
    tls_keyfile: Path | None = None

    @property
    def cookie(self) -> str:
        """The cookie that names a seat; with the port, for browsers send those of one port to every other.

        Under HTTPS with the beginning that makes browsers take it from this host alone, and only so.
        """
        return f"{'__Host-' if self.tls_certfile else ''}finetune30_{self.port}"
