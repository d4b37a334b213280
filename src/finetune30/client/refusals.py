"""From an answer, or from none, to an error: one sentence that says what is, and what to do next.

The only place where the client words errors. What a server says is shown as text, without what steers a terminal.
Neighbours: ``wire`` meets them; ``errors`` has the family.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from finetune30.errors import (
    Conflict,
    Denied,
    Limited,
    LoginNeeded,
    Missing,
    Refused,
    RemoteError,
    ServerFault,
    Unreachable,
    WrongServer,
)

PROBLEM = "application/problem+json"
_LONGEST = 2000
_KINDS: dict[int, type[Refused]] = {401: LoginNeeded, 403: Denied, 404: Missing, 409: Conflict, 429: Limited}
_CHOOSE = "check the address: --server URL, or API_URL"


def of_answer(server: str, status: int, headers: Mapping[str, str], body: bytes) -> RemoteError:
    """The error that an answer which is no success means."""
    problem = _problem(headers, body)
    if problem is None:
        return _without_reason(server, status, headers)
    kind = ServerFault if status >= 500 else _KINDS.get(status, Refused)
    faults, where = _faults(problem), _part(problem, "where")
    request_id = _part(problem, "request_id")
    hint = _part(problem, "hint")
    if status >= 500 and request_id:
        hint = f"{hint + '; ' if hint else ''}the request's id is {request_id}"
    return kind(
        _message(_part(problem, "detail") or f"the server answered {status}", where, faults),
        where=None if len(faults) > 1 else where,
        hint=hint,
        status=status,
        code=_part(problem, "code"),
        request_id=request_id,
        faults=faults,
        retry_after_s=retry_after(headers),
    )


def of_transport(server: str, cause: httpx.TransportError, *, sent: bool) -> RemoteError:
    """The error that it means when no answer came.

    Args:
        sent: Whether the request may have reached the server.
    """
    why, hint = _why(cause)
    told = " (whether the server did it all the same is not known)" if sent else ""
    return Unreachable(f"{why}{told}", where=server, hint=hint, uncertain=sent)


def not_ours(server: str, what: str, status: int | None = None) -> WrongServer:
    """An answer that our API would not give."""
    return WrongServer(f"{what}: this is not the API of finetune30", where=server, hint=_CHOOSE, status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the Retry-After header; a date is not taken, our server sends none."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def shown(text: str, longest: int = _LONGEST) -> str:
    """``text`` on lines, without what steers a terminal."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text[:longest])


def _problem(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    if not headers.get("content-type", "").startswith((PROBLEM, "application/json")):
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("code"), str) else None


def _without_reason(server: str, status: int, headers: Mapping[str, str]) -> RemoteError:
    if 300 <= status < 400:
        return not_ours(server, f"it sends elsewhere ({status}), where no token is sent after it", status)
    if status == 429:
        return Limited("something before the server wants fewer requests", where=server, status=status)
    if status in (502, 503, 504):
        return ServerFault(
            f"a proxy answered {status}: it does not reach the server",
            where=server,
            hint="try again in some seconds",
            status=status,
            retry_after_s=retry_after(headers),
        )
    kind = shown(headers.get("content-type", "nothing").partition(";")[0], 60)
    return not_ours(server, f"it answered {status} with {kind}", status)


def _message(detail: str, where: str | None, faults: tuple[tuple[str, str], ...]) -> str:
    if len(faults) < 2:
        return detail.removeprefix(f"{where}: ")
    lines = "".join(f"\n  {where}: {what}" for where, what in faults)
    return f"{len(faults)} things are refused:{lines}"


def _faults(problem: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = problem.get("errors")
    each = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple((shown(str(one.get("where", ""))), shown(str(one.get("detail", "")))) for one in each)


def _part(problem: Mapping[str, Any], name: str) -> str | None:
    found = problem.get(name)
    return shown(found) if isinstance(found, str) and found else None


def _why(cause: httpx.TransportError) -> tuple[str, str]:
    chain = list(_chain(cause))
    for one in chain:
        match one:
            case ssl.SSLCertVerificationError():
                why = shown(one.verify_message or "it cannot be verified", 200)
                return f"its certificate is not trusted: {why}", "for a CA of your own: API_CA_FILE=/path/to/ca.pem"
            case ssl.SSLError():
                return "it does not speak HTTPS here", "for a server on this machine: http://127.0.0.1:8000"
            case socket.gaierror():
                return "there is no such host", _CHOOSE
            case ConnectionRefusedError():
                return "nothing answers there", f"is it running? (finetune30 api, or finetune30 up); {_CHOOSE}"
    match cause:
        case httpx.ConnectTimeout():
            return "it cannot be reached: no answer to a connection", f"is the network there?; {_CHOOSE}"
        case httpx.TimeoutException():
            return "it did not answer in time", "try again; GET /health tells whether it lives"
        case httpx.ProxyError():
            return "the proxy refused to connect", "check API_PROXY"
        case httpx.ConnectError():
            said = next((one.strerror for one in chain if isinstance(one, OSError) and one.strerror), None)
            return f"it cannot be reached{f': {said.lower()}' if said else ''}", _CHOOSE
        case httpx.UnsupportedProtocol():
            return "it is no address of http:// or https://", _CHOOSE
        case _:
            return "the connection broke before the answer was whole", "try again; is it https:// there?"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(20):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
