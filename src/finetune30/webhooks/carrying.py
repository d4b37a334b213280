"""One POST to one address: nothing is followed, nobody is waited for long, little is read.

The connection goes to an address that ``places`` has looked at; the host's name is what the certificate must be for.
Why not a client library: those resolve names themselves, take proxies from the environment, and their time limits
are of each read, so that a receiver that sends a byte now and then is never given up. Standard library only.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from finetune30.webhooks.places import Place

CONNECT_S = 5.0
TOTAL_S = 15.0
MOST_BYTES = 64 << 10
_LONGEST_WAIT_S = 3600


@dataclass(frozen=True)
class Answer:
    """What came of an attempt.

    Attributes:
        status: HTTP status; None where none came.
        fault: Why it failed, for the owner; None for a 2xx.
        again_s: How long the receiver asks us to wait.
        gone: It wants no more of this.
    """

    status: int | None
    fault: str | None = None
    again_s: float = 0.0
    gone: bool = False


def carry(
    place: Place,
    addresses: Sequence[str],
    body: bytes,
    headers: Mapping[str, str],
    tls: ssl.SSLContext,
    total_s: float = TOTAL_S,
) -> Answer:
    """Send ``body`` and see what is answered; never raises for what a receiver does."""
    until = time.monotonic() + total_s
    try:
        with _connected(place, addresses, tls, until) as connection:
            connection.settimeout(_left(until))
            connection.sendall(_request(place, body, headers))
            return _answered(connection, until)
    except TimeoutError:
        return Answer(None, f"no answer within {total_s:g} s")
    except ssl.SSLCertVerificationError:
        return Answer(None, "the certificate is not valid for this host")
    except (OSError, http.client.HTTPException, ValueError):
        return Answer(None, "the connection failed, or the answer was no HTTP")


def _connected(place: Place, addresses: Sequence[str], tls: ssl.SSLContext, until: float) -> socket.socket:
    last: OSError = TimeoutError()
    connect_until = min(until, time.monotonic() + CONNECT_S)
    for address in addresses:
        try:
            # An address, not a name: nothing is resolved here.
            plain = socket.create_connection((address, place.port), _left(connect_until))
        except OSError as fault:
            last = fault
            continue
        if place.scheme == "http":
            return plain
        try:
            plain.settimeout(_left(until))
            return tls.wrap_socket(plain, server_hostname=place.host)
        except BaseException:
            plain.close()
            raise
    raise last


def _request(place: Place, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"POST {place.target} HTTP/1.1", f"Host: {place.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "Accept-Encoding: identity", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


def _answered(connection: socket.socket, until: float) -> Answer:
    # The parser of the standard library, which limits lines and headers; it only asks for a file to read from.
    with http.client.HTTPResponse(cast(Any, _Stream(connection, until)), method="POST") as response:
        response.begin()
        with suppress(OSError, http.client.HTTPException, ValueError):
            response.read(MOST_BYTES)  # it says nothing to us; a receiver whose answer nobody takes may see an error
        if 200 <= response.status < 300:
            return Answer(response.status)
        if 300 <= response.status < 400:
            return Answer(response.status, "it redirects, which is not followed")
        wait = response.headers.get("Retry-After", "")
        again_s = min(int(wait[:9]), _LONGEST_WAIT_S) if wait.isascii() and wait.isdigit() else 0
        return Answer(response.status, f"it answered {response.status}", again_s, gone=response.status == 410)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Stream:
    """A connection of which all reads together take until a moment, and no longer."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reads(self._connection, self._until))


class _Reads(io.RawIOBase):
    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(_left(self._until))
        return self._connection.recv_into(buffer)
