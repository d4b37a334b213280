"""Where a message may go: to public addresses, and to what the operator allows by name.

Promises (S76): the name is resolved once, by us; every address it has must be public; the connection goes to one of
these very addresses, so a name that points elsewhere a moment later reaches nothing. What is not plainly a name or
an address (0x7f000001, 127.1, names that end in a dot) is refused before anything is asked. No refusal tells what a
name resolves to, or whether it does: this machine's network is nobody's to explore.
Neighbours: ``carrying`` connects to what came out of here. Source: IANA special-purpose address registries.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from finetune30.errors import WebhookInvalid
from finetune30.settings import Settings

# Asks for all addresses of a host, as text.
Resolver = Callable[[str, int], Sequence[str]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_URL = 2000
_RESOLVE_S = 5.0
_SHAPE = re.compile(r"(?i:https?)://[!-~]+")  # printable ASCII, no space
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# A last label that is a number, in any base, makes an address of it for some resolvers and not for others.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"http": 80, "https": 443}
# Below it other services listen (mail, remote shells), whom a request may trick into something.
_FIRST_FREE_PORT = 1024
_NOT_PUBLIC_4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
# Teredo, documentation, 6to4: within the above, and still nobody's public address.
_NOT_PUBLIC_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MALFORMED = "the address is malformed, expected one such as https://example.org/hook"
_NOT_ALLOWED = "the host cannot be resolved to public addresses only"
_ALLOW = "the operator may allow hosts and networks of their own: WEBHOOK_HOSTS"


@dataclass(frozen=True)
class Place:
    """Where a URL leads.

    Attributes:
        host: A name or an address, in lower case, IPv6 without brackets.
        target: Path and query.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class Policy:
    """What is allowed beside public addresses over HTTPS.

    Attributes:
        hosts: Names whose addresses are not looked at.
        networks: Addresses that count as public.
        https_only: Plain HTTP only to what ``hosts`` and ``networks`` name.
    """

    hosts: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()
    https_only: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """What the settings say."""
        networks = [ipaddress.ip_network(name) for name in settings.webhook_hosts if _is_network(name)]
        hosts = frozenset(name for name in settings.webhook_hosts if not _is_network(name))
        return cls(hosts, tuple(networks), settings.environment == "production")

    def admits(self, address: Address) -> bool:
        """The operator named its network."""
        return any(address in network for network in self.networks if network.version == address.version)


def place_of(url: str) -> Place:
    """Where the URL leads, as far as it can be told without asking anybody.

    Raises: WebhookInvalid.
    """
    if len(url) > LONGEST_URL or not _SHAPE.fullmatch(url) or "\\" in url:
        raise WebhookInvalid(
            f"expected an address such as https://example.org/hook, of at most {LONGEST_URL} characters", where="url"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookInvalid(_MALFORMED, where="url") from None
    if ("[" in parts.netloc) != (":" in (parts.hostname or "")):
        raise WebhookInvalid(_MALFORMED, where="url")
    if "@" in parts.netloc or "#" in url:
        raise WebhookInvalid("the address holds a user or a fragment, expected neither", where="url")
    found = Place(
        parts.scheme.lower(),
        _host(parts.hostname or ""),
        _PORTS[parts.scheme.lower()] if port is None else port,
        (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )
    if found.port not in _PORTS.values() and found.port < _FIRST_FREE_PORT:
        raise WebhookInvalid("the port is another service's, expected 80, 443 or from 1024", where="url")
    return found


def addresses_of(place: Place, policy: Policy, resolve: Resolver) -> list[str]:
    """The addresses to connect to, each of them looked at.

    Raises: WebhookInvalid if any of them is not allowed, or there is none.
    """
    literal = _address(place.host)
    try:
        texts = [place.host] if literal else list(resolve(place.host, place.port))
    except OSError:  # and TimeoutError
        raise WebhookInvalid(_NOT_ALLOWED, where="url", hint=_ALLOW) from None
    found = [_address(text) for text in texts]
    named = place.host in policy.hosts
    own = named or (bool(found) and all(one is not None and policy.admits(one) for one in found))
    if not found or not all(one is not None and (named or policy.admits(one) or is_public(one)) for one in found):
        raise WebhookInvalid(_NOT_ALLOWED, where="url", hint=_ALLOW)
    if policy.https_only and place.scheme != "https" and not own:
        raise WebhookInvalid("plain HTTP can be read on its way, expected https://", where="url", hint=_ALLOW)
    return list(dict.fromkeys(map(str, found)))


def is_public(address: Address) -> bool:
    """Whether it is an address of the public internet; one within another counts as the one it leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)


def ask_the_system(host: str, port: int) -> list[str]:
    """What this machine resolves the name to, within seconds: a dead name server must hold up nobody.

    Raises: OSError, TimeoutError among them.
    """
    answer: list[list[str] | OSError] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.append([str(one[4][0]) for one in found])
        except (OSError, UnicodeError) as fault:
            answer.append(fault if isinstance(fault, OSError) else OSError("no name"))

    asking = threading.Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join(_RESOLVE_S)
    if not answer:
        raise TimeoutError
    if isinstance(answer[0], OSError):
        raise answer[0]
    return answer[0]


def _host(host: str) -> str:
    """The host in lower case, if every resolver reads it alike.

    Raises: WebhookInvalid.
    """
    if _address(host) is not None:
        return host
    labels = host.split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)) or _NUMBER.fullmatch(labels[-1]):
        raise WebhookInvalid(
            "expected a host such as example.org (one in other letters as xn--…), or an address written in full",
            where="url",
        )
    return host


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if isinstance(found, ipaddress.IPv6Address) and found.scope_id else found


def _is_network(name: str) -> bool:
    return "/" in name
