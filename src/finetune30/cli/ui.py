"""``finetune30 ui``: the web page, until it is stopped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from finetune30.settings import Settings
    from finetune30.ui.options import Options

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - listening everywhere is no name to be called by
# Where templates of configurations are looked for, below the folder the page is started in.
_TEMPLATES = "config"


def ui(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; UI_HOST if left out: this machine only.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port; UI_PORT if left out: 8501.")] = None,
) -> None:
    """Serve the web page; it asks the API at API_URL. Ctrl+C or SIGTERM ends it."""
    from finetune30.errors import SettingsError
    from finetune30.settings import get_settings

    # As the environment would say them: checked in the same way, and told in the same words.
    os.environ.update({name: str(value) for name, value in (("UI_HOST", host), ("UI_PORT", port)) if value is not None})
    settings = get_settings()
    try:
        from finetune30.ui.serve import serve
        from finetune30.web import journal
    except ModuleNotFoundError as cause:
        raise SettingsError(
            f"the package {cause.name} is not installed", hint='install it with: pip install "finetune30[ui]"'
        ) from cause
    options = options_of(settings)
    journal.keep()
    raise typer.Exit(serve(options, lambda address: typer.echo(f"the web page is at {address}", err=True)))


def options_of(settings: Settings) -> Options:
    """What the page needs to know of the settings.

    Raises: SettingsError where they would let passwords be read on their way.
    """
    from pathlib import Path

    from finetune30.ui.options import Options

    api_url, serving_url = _addresses(settings)
    _refuse_unsafe(settings)
    own = settings.ui_host if settings.ui_host not in _ANY else "localhost"
    limit = settings.ui_upload_max_mb
    templates = Path(_TEMPLATES).absolute()
    return Options(
        api_url=api_url,
        serving_url=serving_url,
        host=settings.ui_host,
        port=settings.ui_port,
        hosts=_LOCAL | {f"[{own}]" if ":" in own else own.lower(), *settings.allowed_hosts},
        page_key=settings.page_key,
        tz=settings.tz,
        upload_mb=min(limit, settings.upload_max_mb or limit),
        configs=templates if templates.is_dir() else None,
        proxies=settings.forwarded_allow_ips,
        tls_certfile=settings.tls_certfile,
        tls_keyfile=settings.tls_keyfile,
    )


def _addresses(settings: Settings) -> tuple[str, str]:
    """Of the API and the serving service, as the client would take them."""
    from finetune30.client.address import check_secret_may_go, server_url
    from finetune30.errors import SettingsError, UsageError

    # With a certificate the API speaks HTTPS, too, and a certificate is for a name.
    near = "http://127.0.0.1" if settings.tls_certfile is None else "https://localhost"
    found = []
    for name, url in (
        ("API_URL", settings.api_url or f"{near}:{settings.api_port}"),
        ("SERVING_URL", settings.serving_url),
    ):
        try:
            found.append(server_url(url, name))
            check_secret_may_go(found[-1], plain_http=settings.plain_http)
        except UsageError as cause:
            raise SettingsError(cause.message, where=name, hint=cause.hint) from cause
    return found[0], found[1]


def _refuse_unsafe(settings: Settings) -> None:
    from finetune30.errors import SettingsError
    from finetune30.web.listening import check_certificate, is_loopback

    check_certificate(settings)
    if settings.environment != "production" or settings.tls_certfile is not None or settings.plain_http:
        return
    if not is_loopback(settings.ui_host):
        raise SettingsError(
            f"production over plain HTTP on {settings.ui_host}: passwords could be read on their way",
            where="environment or .env",
            hint="set TLS_CERTFILE and TLS_KEYFILE; or UI_HOST=127.0.0.1 or PLAIN_HTTP=true with a proxy before it "
            "that speaks HTTPS",
        )
