"""S76: a webhook reaches public addresses and what the operator allows, whatever a name says, now or later."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from finetune30.errors import WebhookInvalid
from finetune30.settings import Settings
from finetune30.webhooks import places
from finetune30.webhooks.places import Policy, addresses_of, place_of

PUBLIC = "93.184.216.34"
CLOSED = Policy(https_only=False)


def nobody(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was asked for")


def looked_at(url: str, *answers: str, policy: Policy = CLOSED) -> list[str]:
    return addresses_of(place_of(url), policy, lambda host, port: list(answers))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.org/x",
        "ftp://example.org/",
        "//example.org/hook",
        "example.org/hook",
        "http:example.org",
        "http:///hook",
        "http://",
        "javascript:alert(1)",
        "http://user@example.org/",
        "http://user:pass@example.org/",
        "http://example.org@127.0.0.1/",
        "http://127.0.0.1\\@example.org/",
        "http://example.org/#fragment",
        "http://example.org#@127.0.0.1/",
        "http://exa mple.org/",
        "http://example.org/a b",
        "http://example.org/\r\nX-Evil: 1",
        "http://example.org\t/",
        "http://ex\u0430mple.org/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://example.org./",
        "http://example..org/",
        "http://.example.org/",
        "http://-example.org/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1/",
        "http://[1.2.3.4]/",
        "http://[v1.a]/",
        "http://example.org:0/",
        "http://example.org:22/",
        "http://example.org:25/",
        "http://example.org:99999/",
        "http://example.org:-1/",
        "http://example.org:8a/",
        f"http://example.org/{'a' * 2000}",
    ],
)
def test_s76_what_is_no_plain_address_is_refused_before_anybody_is_asked(url: str) -> None:
    with pytest.raises(WebhookInvalid) as refusal:
        addresses_of(place_of(url), CLOSED, nobody)
    assert "127" not in str(refusal.value)


NOT_PUBLIC = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.254", "192.0.0.8", "192.0.2.1", "198.18.0.1"),
    *("198.51.100.7", "203.0.113.9", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:7f00:1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:5db8:d822::1", "2001::1"),
    *("2001:0:7f00:1::1", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1"),
    *("100::1", "5f00::1", "4000::1"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_s76_no_private_address_is_reached_by_number_or_by_name(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    for url, answers in (
        (f"http://{literal}/latest/meta-data", ()),
        ("https://innocent.example/hook", (address,)),
        ("https://innocent.example/hook", (PUBLIC, address)),
        ("https://innocent.example/hook", (address, PUBLIC)),
    ):
        with pytest.raises(WebhookInvalid) as refusal:
            looked_at(url, *answers)
        # The same words for whatever a name leads to, and for one that leads nowhere.
        assert refusal.value.message == "the host cannot be resolved to public addresses only"


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_reached(address: str) -> None:
    assert looked_at("https://example.org/hook", address) == [str(ipaddress.ip_address(address))]


def test_s76_scoped_odd_and_no_answers_are_refused() -> None:
    for answers in ((), ("fe80::1%eth0",), ("not an address",), (PUBLIC, "")):
        with pytest.raises(WebhookInvalid, match="public addresses only"):
            looked_at("https://example.org/", *answers)


def test_s76_a_name_that_does_not_resolve_is_refused_in_the_same_words() -> None:
    def fails(host: str, port: int) -> list[str]:
        raise OSError("[Errno -2] Name or service not known")

    with pytest.raises(WebhookInvalid, match="cannot be resolved to public addresses only"):
        addresses_of(place_of("https://redis.internal/"), CLOSED, fails)


@pytest.mark.parametrize("host", ["localhost", "localhost.localdomain", "ip6-localhost"])
def test_s76_the_names_of_this_machine_are_refused(host: str) -> None:
    with pytest.raises(WebhookInvalid, match="public addresses only"):
        addresses_of(place_of(f"http://{host}:6379/"), CLOSED, places.ask_the_system)


def test_the_operator_may_allow_hosts_and_networks(tmp_path: Path) -> None:
    policy = Policy.of(made(tmp_path, webhook_hosts="hooks.intra,10.1.0.0/16,[fd00::1],192.168.0.7"))

    assert looked_at("http://hooks.intra/", "172.16.0.1", policy=policy) == ["172.16.0.1"]
    assert looked_at("http://10.1.2.3/", policy=policy) == ["10.1.2.3"]
    assert looked_at("http://[fd00::1]/", policy=policy) == ["fd00::1"]
    assert looked_at("http://any.example/", "192.168.0.7", "10.1.0.1", policy=policy) == ["192.168.0.7", "10.1.0.1"]
    for url, answer in (
        ("http://evil.hooks.intra/", "172.16.0.1"),
        ("http://any.example/", "10.2.0.1"),
        ("http://any.example/", "192.168.0.8"),
    ):
        with pytest.raises(WebhookInvalid):
            looked_at(url, answer, policy=policy)


def test_production_wants_https_but_for_what_the_operator_named(tmp_path: Path) -> None:
    policy = Policy.of(made(tmp_path, webhook_hosts="hooks.intra,10.1.0.0/16", environment="production"))

    with pytest.raises(WebhookInvalid, match="https"):
        looked_at("http://example.org/", PUBLIC, policy=policy)
    with pytest.raises(WebhookInvalid, match="https"):
        looked_at("http://any.example/", "10.1.0.1", PUBLIC, policy=policy)
    assert looked_at("https://example.org/", PUBLIC, policy=policy)
    assert looked_at("http://hooks.intra/", "10.9.9.9", policy=policy)
    assert looked_at("http://10.1.0.1/", policy=policy)


def test_what_a_request_says_of_a_place() -> None:
    found = place_of("HTTPS://Example.ORG:8443/a/b?c=d")

    assert (found.scheme, found.host, found.port, found.target) == ("https", "example.org", 8443, "/a/b?c=d")
    assert found.authority == "example.org:8443"
    assert place_of("https://example.org").authority == "example.org"
    assert place_of("https://example.org?x=1").target == "/?x=1"
    assert place_of("http://[2606:4700::1111]:8080/").authority == "[2606:4700::1111]:8080"


def made(tmp_path: Path, **values: Any) -> Settings:
    return Settings(_env_file=None, results_dir=tmp_path, **values)
