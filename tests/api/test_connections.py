"""Connections that are held and not used (S47), and what a page may say of its clients (S36)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune30.web import gate
from finetune30.web.guard import Guarded
from tests.api.service import PASSWORD, Service, refused, serving

PAGE_KEY = "Vd7Qe2Zr6Vt0Bk3Mp7Lc1Ys5Hd9Fgx4W"
PATIENCE_S = 30.0


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of moments instead of half a minute."""
    monkeypatch.setattr(Guarded, "head_s", 1.5)
    monkeypatch.setattr(Guarded, "stall_s", 1.0)
    monkeypatch.setattr(gate, "_BODY_TIMEOUT_S", 1.0)


@contextlib.contextmanager
def sockets(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that say nothing yet."""
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            made.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
        yield made
    finally:
        for one in made:
            one.close()


def is_ended(one: socket.socket) -> bool:
    """The other side has gone, at most some seconds from now."""
    try:
        while one.recv(65_536):
            continue
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.usefixtures("hurried")
def test_s47_five_hundred_idle_or_dripping_heads_keep_nobody_from_being_served(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as service:
        ana = service.person()
        with sockets(service.port, 500) as held:
            for one in held[250:]:
                one.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
            for _ in range(3):
                assert ana.get("/me").status_code == 200
                for one in held[250:]:
                    with contextlib.suppress(OSError):
                        one.sendall(b"a")  # each byte in time, the head never
                time.sleep(0.2)
            assert service.client.get("/health").status_code == 200
            assert all(map(is_ended, held))
        assert ana.get("/me").status_code == 200


@pytest.mark.usefixtures("hurried")
def test_s47_a_second_head_that_drips_is_cut_off_too(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as service, sockets(service.port, 1) as (one,):
        one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert one.recv(15) == b"HTTP/1.1 200 OK"
        one.sendall(b"GET /he")
        assert is_ended(one)


@pytest.mark.usefixtures("hurried")
def test_s47_a_body_that_does_not_come_is_408(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as service:
        head = (
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        assert service.raw(head).startswith(b"HTTP/1.1 408")


def test_s47_the_longest_idle_give_way_to_who_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guarded, "most", 20)
    with serving(tmp_path, {}) as service, sockets(service.port, 60) as held:
        assert service.client.get("/health").status_code == 200
        assert all(map(is_ended, held[:30]))
        held[-1].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert held[-1].recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.usefixtures("hurried")
def test_s47_who_asks_and_never_reads_is_cut_off(tmp_path: Path) -> None:
    with serving(tmp_path, {}) as service, sockets(service.port, 1) as (one,):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        one.settimeout(5)
        with contextlib.suppress(OSError):  # it may be gone before all is sent
            one.sendall(ask * 500)
        until = time.monotonic() + PATIENCE_S
        while service._server.server_state.connections:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``cert.pem`` and ``key.pem`` of localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    home = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", home / "key.pem", "-out", home / "cert.pem"]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    return home


@pytest.mark.usefixtures("hurried")
def test_s47_with_tls_neither_a_handshake_nor_a_head_may_hang(tmp_path: Path, certificate: Path) -> None:
    values = {"TLS_CERTFILE": certificate / "cert.pem", "TLS_KEYFILE": certificate / "key.pem"}
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with serving(tmp_path, values) as service, sockets(service.port, 40) as held:
        for one in held[10:20]:
            one.sendall(b"\x16\x03\x01\x02")  # the first bytes of a hello
        safe = [trusting.wrap_socket(one, server_hostname="localhost") for one in held[20:]]
        for one in safe[10:]:
            one.sendall(b"GET /health HTTP/1.1\r\nHo")
        plain = socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S)
        with trusting.wrap_socket(plain, server_hostname="localhost") as other:
            other.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = other.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"strict-transport-security" in answer.lower()
        for one in (*held[:20], *safe):
            with contextlib.suppress(ssl.SSLError):
                assert is_ended(one)
        for one in safe:
            one.close()


def test_s47_what_is_no_http_is_a_problem_too(service: Service) -> None:
    answer = service.raw(b"nonsense\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"application/problem+json" in answer
    assert b'"code": "bad_request"' in answer


# The page's key ---------------------------------------------------------------------------------------


def named(address: str, key: str = PAGE_KEY) -> dict[str, str]:
    return {"X-Finetune30-Client": address, "X-Finetune30-Key": key}


def test_s36_with_the_key_of_the_page_rates_and_audit_see_its_client(tmp_path: Path) -> None:
    with serving(tmp_path, {"PAGE_KEY": PAGE_KEY, "WRITES_PER_MINUTE": 2}) as service:
        ana = service.person()
        answers = [
            service.client.post("/login", json={}, headers=named(f"10.0.0.{number // 2}")).status_code
            for number in range(6)
        ]
        assert answers == [422] * 6  # three clients of two requests each
        refused(service.client.post("/login", json={}, headers=named("10.0.0.1")), 429)
        right = {"username": ana.name, "password": PASSWORD}
        assert service.client.post("/login", json=right, headers=named("2001:db8::7")).status_code == 200
        assert service.audit(limit=1)[0].address == "2001:db8::7"


@pytest.mark.parametrize(
    "headers",
    [
        named("10.0.0.9", PAGE_KEY[:-1]),
        named("10.0.0.9", PAGE_KEY.lower()),
        named("10.0.0.9", ""),
        named("no address"),
        named("10.0.0.9, 10.0.0.8"),
        {"X-Finetune30-Client": "10.0.0.9"},
        {"X-Finetune30-Key": PAGE_KEY},
    ],
)
def test_s36_without_the_key_or_an_address_the_header_changes_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    with serving(tmp_path, {"PAGE_KEY": PAGE_KEY}) as service:
        ana = service.person()
        answer = service.client.post(
            "/login", json={"username": ana.name, "password": "wrong words here"}, headers=headers
        )
        refused(answer, 401)
        assert service.audit(limit=1)[0].address == "127.0.0.1"
        assert PAGE_KEY not in answer.text


def test_s36_where_no_key_is_set_none_is_believed(service: Service) -> None:
    ana = service.person()
    for key in ("", "None", PAGE_KEY):
        wrong = {"username": ana.name, "password": "wrong words here"}
        service.client.post("/login", json=wrong, headers=named("10.0.0.9", key))
        assert service.audit(limit=1)[0].address == "127.0.0.1"
