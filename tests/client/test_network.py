"""What a bad network, a busy or a wrong server does to a client: no task twice, no token astray, clear words."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest

from finetune30 import errors
from finetune30.client import Client
from tests.api.service import Person, Service
from tests.client.canned import Canned, answer, problem
from tests.client.conftest import Connect, url_of
from tests.proxy import Proxy

CONFIG = {"experiment_name": "over a bad wire"}
PERSON = {"user_id": "u_1", "name": "ana", "role": "user"}


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def _whole_again(wire: Proxy, done: Callable[[], bool]) -> Iterator[None]:
    """Mute until the server has done it; then the connection that lost its answer breaks.

    Whole in the end in any case, and what was waited for in vain fails the test, not a thread.
    """

    def mend() -> None:
        try:
            _until(done)
        finally:
            wire.become("pass")

    wire.become("mute")
    with ThreadPoolExecutor(1) as pool:
        mending = pool.submit(mend)
        yield
        mending.result()


def test_g9_a_training_whose_answer_was_lost_is_one_task(
    service: Service, ana: Person, connect: Connect, wire: Proxy
) -> None:
    client = connect(ana, url_of(wire))
    before = service.count()

    with _whole_again(wire, lambda: service.count() > before):
        task = client.train(CONFIG)

    assert service.count() == before + 1
    assert [one.task_id for one in client.tasks()] == [task.task_id]


def test_a_change_that_is_not_safe_to_repeat_is_not_repeated_and_that_is_said(
    service: Service, ana: Person, connect: Connect, wire: Proxy
) -> None:
    client = connect(ana, url_of(wire), timeout_s=0.5)
    task = client.train(CONFIG)
    wire.become("mute")

    with pytest.raises(errors.Unreachable, match="whether the server did it all the same is not known") as fault:
        client.pause(task.task_id)

    assert fault.value.uncertain
    assert fault.value.exit_code == 3
    assert [row.action for row in service.audit(action="task.pause") if row.target == task.task_id] == ["task.pause"]


def test_a_cancellation_whose_answer_was_lost_is_done_and_said_to_be(
    service: Service, ana: Person, connect: Connect, wire: Proxy
) -> None:
    client = connect(ana, url_of(wire))
    task = client.train(CONFIG)

    with _whole_again(wire, lambda: service.services.jobs.store.get(task.task_id).status == "REVOKED"):
        assert client.cancel(task.task_id).status == "REVOKED"


def test_a_deletion_whose_answer_was_lost_is_done(service: Service, ana: Person, connect: Connect, wire: Proxy) -> None:
    client = connect(ana, url_of(wire))
    task = client.train(CONFIG)
    client.cancel(task.task_id)  # what has not ended is not deleted

    with _whole_again(wire, lambda: service.services.jobs.store.look_up(task.task_id) is None):
        client.delete(task.task_id)


def test_a_server_that_is_down_is_said_in_one_sentence(free_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{free_port}", tries=2) as client,
        pytest.raises(errors.Unreachable, match=r"nothing answers there\n.*finetune30 api") as fault,
    ):
        client.health()
    assert not fault.value.uncertain


def test_a_server_that_is_silent_is_not_waited_for_without_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, tries=2, timeout_s=0.2) as client,
            pytest.raises(errors.Unreachable, match="did not answer in time"),
        ):
            client.health()


def test_a_host_that_is_none_is_said() -> None:
    with Client("https://no-such-host.invalid", tries=1) as client, pytest.raises(errors.Unreachable) as fault:
        client.health()
    assert "API_URL" in str(fault.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer(200, "<html>a page</html>", "text/html"), "answered 200 with text/html, expected JSON"),
        (answer(404, "<html>nothing</html>", "text/html"), "answered 404 with text/html"),
        (answer(401, "", "text/plain", WWW_Authenticate="Basic"), "answered 401"),
        (answer(200, {"anything": 1}), "an answer that is no Person"),
        (answer(200, "[" * 100_000), "expected JSON"),
        (answer(302, "", Location="https://elsewhere.example.org/"), r"sends elsewhere \(302\)"),
        (b"SSH-2.0-OpenSSH_9\r\n", "the connection broke"),
    ],
)
def test_another_service_is_told_from_ours(said: bytes, told: str) -> None:
    with (
        Canned(said) as server,
        Client(server.url, token="t", tries=1) as client,
        pytest.raises(errors.RemoteError, match=told),
    ):
        client.me()


def test_no_token_goes_where_a_redirect_points() -> None:
    with Canned(answer(200, PERSON)) as thief:
        for status in (301, 302, 303, 307, 308):
            with (
                Canned(answer(status, "", Location=f"{thief.url}/me")) as server,
                Client(server.url, token="secret-token") as client,
                pytest.raises(errors.WrongServer),
            ):
                client.me()
        assert thief.requests == []


def test_what_a_server_says_does_not_steer_the_terminal() -> None:
    body = {"code": "x", "detail": "\x1b[2Jall is well", "hint": "\x9b31m", "request_id": "\x07"}
    with Canned(answer(400, body)) as server, Client(server.url, token="t") as client:
        with pytest.raises(errors.Refused) as refusal:
            client.me()
        assert str(refusal.value).isprintable() or str(refusal.value).replace("\n", "").isprintable()


def test_retry_after_is_waited_for_within_the_patience() -> None:
    busy, fine = problem(503, "storage_unusable", Retry_After="1"), answer(200, PERSON)
    with Canned(busy, fine) as server, Client(server.url, token="t") as client:
        assert client.me().name == "ana"
    late = problem(429, "too_many_requests", Retry_After="900")
    with Canned(late, fine) as server, Client(server.url, token="t", patience_s=5) as client:
        with pytest.raises(errors.Limited) as refusal:
            client.me()
        assert refusal.value.retry_after_s == 900
        assert len(server.requests) == 1


@pytest.mark.parametrize("said", [problem(503, "busy"), answer(502, "", "text/html"), b""])
def test_only_what_is_safe_is_sent_again(said: bytes) -> None:
    with Canned(said) as server, Client(server.url, token="t", tries=3) as client:
        with pytest.raises(errors.RemoteError):
            client.me()
        assert len(server.requests) == 3
        with pytest.raises(errors.RemoteError):
            client.resume("task")
        assert len(server.requests) == 4
        with pytest.raises(errors.RemoteError):
            client.train({})
        keys = [line for one in server.requests for line in one.split("\r\n") if line.startswith("Idempotency-Key")]
        assert len(keys) == 3
        assert len(set(keys)) == 1


def test_a_quota_and_a_wrong_password_are_not_tried_again() -> None:
    with Canned(problem(429, "quota_exceeded")) as server, Client(server.url, token="t") as client:
        with pytest.raises(errors.Limited):
            client.train({})
        with pytest.raises(errors.Limited):
            client.login("ana", "some password of hers")
        assert len(server.requests) == 2


def test_a_fault_of_the_server_names_its_request() -> None:
    with Canned(problem(500, "crashed")) as server, Client(server.url, token="t") as client:
        with pytest.raises(errors.ServerFault, match="the request's id is r1") as fault:
            client.me()
        assert (fault.value.code, fault.value.exit_code, fault.value.to_dict()["request_id"]) == ("crashed", 3, "r1")


def test_a_newer_server_is_understood() -> None:
    newer = {**PERSON, "role": "curator", "avatar": {"url": "x"}}
    with Canned(answer(200, newer)) as server, Client(server.url, token="t") as client:
        found = client.me()
        assert (found.role, found.more, found.to_dict()["avatar"]) == (
            "curator",
            {"avatar": {"url": "x"}},
            {"url": "x"},
        )


@pytest.mark.parametrize(
    "url", ["http://api.example.org", "http://10.0.0.7:8000", "http://0.0.0.0:8000", "http://127.0.0.1.example.org"]
)
def test_no_token_goes_over_plain_http_to_another_machine_unless_asked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.UsageError, match="plain HTTP to another machine"):
        Client(url)
    Client(url, plain_http=True).close()
    monkeypatch.setenv("PLAIN_HTTP", "true")
    Client(url).close()
    for here in ("http://localhost:8000/", "http://127.0.0.2", "http://[::1]:8000", "https://api.example.org"):
        Client(here, plain_http=False).close()


@pytest.mark.parametrize(
    "url", ["api.example.org", "ftp://x", "http://", "https://a:b@host", "https://h?x=1", "http://h:99999"]
)
def test_an_address_that_is_none_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(errors.UsageError) as fault:
        Client(url)
    assert "a:b" not in str(fault.value)


def test_settings_say_where_servers_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_URL", "https://api.example.org/base/")
    monkeypatch.setenv("SERVING_URL", "https://serving.example.org")
    with Client() as client:
        assert (client.api_url, client.serving_url) == ("https://api.example.org/base", "https://serving.example.org")
    monkeypatch.setenv("API_URL", "https://user:hunter2@api.example.org")
    with pytest.raises(errors.UsageError, match="API_URL holds a name, a password") as fault:
        Client()
    assert "hunter2" not in str(fault.value)
    with pytest.raises(errors.SettingsError, match="API_PROXY is none") as fault:
        Client("https://api.example.org", proxy="socks://user:hunter2@proxy")
    assert "hunter2" not in str(fault.value)


def test_proxies_and_netrc_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    with Canned(answer(200, PERSON)) as server, Client(server.url, token="t") as client:
        assert client.me().name == "ana"
    with Canned(answer(200, PERSON)) as proxy, Client("http://127.0.0.1:9", token="t", proxy=proxy.url) as client:
        client.me()
        assert proxy.requests[0].startswith("GET http://127.0.0.1:9/me")


def test_a_page_tells_for_whom_it_asks() -> None:
    options = {"forwarded_for": "203.0.113.9", "trusted_key": "the key of the page"}
    with Canned(answer(200, PERSON)) as server, Client(server.url, token="t", **options) as client:
        client.me()
        assert "X-Finetune30-Client: 203.0.113.9" in server.requests[0]
        assert "X-Finetune30-Key: the key of the page" in server.requests[0]
    with pytest.raises(errors.UsageError, match="both"):
        Client(forwarded_for="203.0.113.9")


@pytest.mark.skipif(which("openssl") is None, reason="openssl is missing")
def test_certificates_are_checked_and_a_ca_of_ones_own_is_taken(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    make += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(make, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Canned(answer(200, PERSON), tls=tls) as server:
        with (
            Client(server.url, token="secret-token") as client,
            pytest.raises(errors.Unreachable, match=r"certificate is not trusted.*\n.*API_CA_FILE"),
        ):
            client.me()
        assert server.requests == []
        with Client(server.url, token="t", ca_file=certificate) as client:
            assert client.me().name == "ana"
    with pytest.raises(errors.SettingsError, match="holds no certificates"):
        Client(ca_file=key)
    with Canned(answer(200, PERSON)) as server:
        url = server.url.replace("http:", "https:")
        with Client(url, token="t") as client, pytest.raises(errors.Unreachable, match="does not speak HTTPS"):
            client.me()
