"""Files on their way in: streamed, limited, counted; whoever breaks off leaves nothing (S46, S49, S63, S79)."""

from __future__ import annotations

import hashlib
import re
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import unquote

import httpx
import psutil
import pytest

from finetune30.access import Role
from finetune30.api import receiving
from tests.api.datasets import CSV, on_disk, send
from tests.api.service import Person, Service, refused, serving
from tests.api.test_serve import running

MIB = 1 << 20
PATIENCE_S = 30.0
LINE = b"a film that is as long as any other,good\n"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with small limits, over SQLite: what lies on disk does not depend on the database."""
    limits = {"UPLOAD_MAX_MB": 2, "UPLOADS_MB_PER_USER": 5, "UPLOADS_PER_USER": 4}
    with serving(tmp_path_factory.mktemp("small"), limits) as found:
        yield found


@pytest.fixture
def ana(small: Service) -> Person:
    return small.person()


def head(person: Person | None, *, kind: str = "text/csv", length: int | None = None, name: str = "a.csv") -> bytes:
    """The beginning of a raw request."""
    lines = [f"POST /datasets?name={name} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
    lines += [f"Authorization: Bearer {person.token}"] if person else []
    lines += ["Transfer-Encoding: chunked"] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def large(size: int, part: int = 1 << 16) -> Iterator[bytes]:
    yield b"text,label\n"
    for _ in range(size // part):
        yield (LINE * (part // len(LINE) + 1))[:part]


def settled(service: Service, expected: list[str]) -> None:
    """Wait until this is what lies on disk."""
    until = time.monotonic() + PATIENCE_S
    while (found := on_disk(service)) != expected:
        assert time.monotonic() < until, found
        time.sleep(0.02)


def form(*parts: bytes, boundary: bytes = b"xyz", end: bytes = b"--xyz--\r\n") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + end


FILE = b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + CSV


def send_form(
    person: Person, body: bytes | Iterator[bytes], kind: str = "multipart/form-data; boundary=xyz"
) -> httpx.Response:
    return person.client.post("/datasets", content=body, headers=person.bearer | {"Content-Type": kind})


def test_s46_a_stranger_is_refused_before_a_byte_is_read(small: Service) -> None:
    assert small.raw(head(None, length=10**12)).startswith(b"HTTP/1.1 401")
    assert small.raw(head(None)).startswith(b"HTTP/1.1 401")
    assert on_disk(small) == []


def test_s46_a_stranger_who_waits_to_be_asked_is_not_asked(small: Service, ana: Person) -> None:
    expects = head(None, length=len(CSV)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    assert small.raw(expects).startswith(b"HTTP/1.1 401")

    expects = head(ana, length=len(CSV)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", small.port), timeout=PATIENCE_S) as connection:
        connection.sendall(expects)
        asked = connection.recv(1000)
        connection.sendall(CSV)
        assert asked.startswith(b"HTTP/1.1 100")
        assert connection.recv(1000).startswith(b"HTTP/1.1 201")


def test_s46_only_the_routes_of_files_take_more_than_a_mib(small: Service, ana: Person) -> None:
    large_one = b" " * (MIB + 1)
    for path in ("/datasets/", "/datasets/versions", "/datasets/ds-0123456789abcdef/check", "//datasets", "/train"):
        refused(small.client.post(path, content=large_one, headers=ana.bearer), 413, "too_large")
    assert send(ana, b"".join(large(MIB + 100_000))).status_code == 201


def test_s79_a_file_over_the_limit_is_413_whether_it_says_so_or_not(small: Service, ana: Person) -> None:
    before = on_disk(small)
    assert small.raw(head(ana, length=2 * MIB + 1)).startswith(b"HTTP/1.1 413")
    refused(send(ana, large(3 * MIB)), 413, "too_large")
    refused(send_form(ana, iter([form(FILE, end=b"")[:-2], *large(3 * MIB)])), 413, "too_large")
    assert on_disk(small) == before


def test_s79_bytes_and_number_of_a_user_are_limited(small: Service, ana: Person) -> None:
    two = b"".join(large(2 * MIB - 70_000))
    assert [send(ana, two).status_code for _ in range(2)] == [201, 201]
    refused(send(ana, two), 413, "upload_space")
    assert [send(ana, CSV).status_code for _ in range(2)] == [201, 201]
    problem = refused(send(ana, CSV), 429, "upload_quota")
    assert "DELETE" in problem["hint"]
    assert small.person().get("/datasets").json()["datasets"] == []


def test_s79_two_at_once_at_the_edge_of_the_quota(small: Service, ana: Person) -> None:
    one = [b"".join(large(2 * MIB - 70_000)) for _ in range(4)]
    answers: list[int] = []
    threads = [threading.Thread(target=lambda body=body: answers.append(send(ana, body).status_code)) for body in one]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    kept = ana.get("/datasets").json()["datasets"]
    assert set(answers) <= {201, 413}
    assert len(kept) == answers.count(201) <= 2
    assert sum(found["bytes"] for found in kept) <= 5 * MIB


def test_a_client_that_goes_away_leaves_nothing(small: Service, ana: Person) -> None:
    before = on_disk(small)
    for half in (head(ana) + chunked(CSV), head(ana, length=10_000) + CSV):
        with socket.create_connection(("127.0.0.1", small.port), timeout=PATIENCE_S) as connection:
            connection.sendall(half)
            until = time.monotonic() + PATIENCE_S
            while len(on_disk(small)) == len(before):  # it is being received
                assert time.monotonic() < until
                time.sleep(0.02)
        settled(small, before)
    assert ana.get("/datasets").json()["datasets"] == []


def test_s49_ten_thousand_parts_are_refused(small: Service, ana: Person) -> None:
    field = b'Content-Disposition: form-data; name="f%d"\r\n\r\nx'

    refused(send_form(ana, form(*(field % number for number in range(10_000)))), 413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n" * 600_000 + form(FILE),
        b"x" * 1_000_000 + form(FILE),
        form(b"X-Long: " + b"a" * 1_000_000 + b"\r\n" + FILE),
        form(b"".join(b"X-%d: a\r\n" % number for number in range(10_000)) + FILE),
        form(FILE) + b"x" * 1_000_000,
        form(FILE, end=b""),
        form(b"\r\n" + CSV),
        form(b"Content-Disposition: attachment\r\n\r\n" + CSV),
        b"",
    ],
    ids=["newlines", "preamble", "header", "headers", "epilogue", "no end", "no header", "no name", "empty"],
)
def test_s49_forms_made_to_do_harm_are_400(small: Service, ana: Person, body: bytes) -> None:
    before, process = on_disk(small), psutil.Process()
    rss = process.memory_info().rss

    refused(send_form(ana, body), 400, "form_invalid")

    assert on_disk(small) == before
    assert process.memory_info().rss - rss < 50 * MIB


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(FILE, FILE), 422),
        (form(b'Content-Disposition: form-data; name="other"; filename="a.csv"\r\n\r\n' + CSV), 422),
        (form(b'Content-Disposition: form-data; name="surprise"\r\n\r\nx', FILE), 422),
        (form(b'Content-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 5000, FILE), 413),
        (form(b'Content-Disposition: form-data; name="file"; filename="\xff.csv"\r\n\r\n' + CSV), 422),
        (form(b'Content-Disposition: form-data; name="file"; filename=""\r\n\r\n' + CSV), 422),
        (form(b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'), 422),
    ],
    ids=["two files", "another field", "a field too many", "long field", "no utf-8", "no name", "nothing in it"],
)
def test_forms_that_are_not_what_is_expected(small: Service, ana: Person, body: bytes, status: int) -> None:
    before = on_disk(small)

    refused(send_form(ana, body), status)

    assert on_disk(small) == before


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 300}"]
)
def test_s49_a_form_without_a_good_boundary_is_400(ana: Person, kind: str) -> None:
    refused(send_form(ana, form(FILE), kind), 400, "form_invalid")


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/html", ""])
def test_other_types_of_content_are_415(ana: Person, kind: str) -> None:
    refused(send(ana, CSV, kind=kind), 415)
    refused(send(ana, CSV, headers={"Content-Encoding": "gzip"}), 415)


NAMES = [
    *(
        "../../x.csv",
        "..%2f..%2fx.csv",
        "%252e%252e%252fx.csv",
        "..\\..\\x.csv",
        "/abs/x.csv",
        "C:\\x.csv",
        "．．／x.csv",
    ),
    *("a\u2024csv.csv", ". .csv", "x.csv", "評論.csv", 'a b;c="d".csv'),
]


@pytest.mark.parametrize("name", NAMES)
def test_s63_a_name_is_a_label_and_never_a_path(small: Service, ana: Person, name: str) -> None:
    outside = {path for path in small.home.rglob("*") if path.is_dir()}

    answer = send(ana, CSV, name)

    assert answer.status_code == 201, answer.text
    dataset = answer.json()
    assert dataset["name"] == name
    assert re.fullmatch(r"ds-[0-9a-f]{16}", dataset["dataset_id"])
    made = {path.name for path in small.home.rglob("*") if path.is_dir()} - {path.name for path in outside}
    assert {path for path in made if len(path) != 64} <= {
        "data",
        "uploads",
        "datasets",
        "metadata",
        dataset["dataset_id"],
    }
    sent_back = ana.get(f"/datasets/{dataset['dataset_id']}/file")
    assert sent_back.content == CSV
    assert not re.search(r"[/\\\r\n]", unquote(sent_back.headers["content-disposition"].split("filename")[1]))


@pytest.mark.parametrize("name", ["a\0.csv", "a\r\n.csv", "x" * 300 + ".csv", "", " ", "a\u202evsc.csv", "x" * 190])
def test_s63_names_nobody_can_show_are_422(small: Service, ana: Person, name: str) -> None:
    before = on_disk(small)

    refused(send(ana, CSV, name), 422)

    assert on_disk(small) == before


def test_the_limit_of_writes_comes_before_the_body(tmp_path: Path) -> None:
    with serving(tmp_path, {"WRITES_PER_MINUTE": 2}) as service:
        ana = service.person()
        assert [send(ana, CSV).status_code for _ in range(2)] == [201, 201]
        assert service.raw(head(ana, length=1000)).startswith(b"HTTP/1.1 429")


def test_s46_memory_does_not_grow_with_the_file(service: Service) -> None:
    process, ana = psutil.Process(), service.person(Role.USER)
    send(ana, large(4 * MIB))
    sum_of = hashlib.sha256(b"".join(large(100 * MIB))).hexdigest()

    grown = []
    for _ in range(3):  # what else lives in this process may grow meanwhile, but not each time
        before = process.memory_info().rss
        answer = send(ana, large(100 * MIB))
        grown.append(process.memory_info().rss - before)
        assert answer.json()["sha256"] == sum_of
        ana.delete(f"/datasets/{answer.json()['dataset_id']}")

    assert min(grown) < 40 * MIB


def test_who_sends_nothing_for_long_is_told_408(small: Service, ana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "_SILENT_S", 0.1)
    before = on_disk(small)

    assert small.raw(head(ana, length=10_000) + CSV).startswith(b"HTTP/1.1 408")
    assert on_disk(small) == before


def test_who_sends_too_slowly_is_told_408(small: Service, ana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "_SLOW_AFTER_S", 0.1)

    def slowly() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x"
            time.sleep(0.02)

    refused(send(ana, slowly()), 408)


def test_a_user_sends_so_many_at_once(service: Service) -> None:
    ana, bo = service.person(), service.person()
    with ExitStack() as open_ones:
        for _ in range(8):
            one = open_ones.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE_S))
            one.sendall(head(ana, length=10_000) + CSV)
        waits_for(lambda: sum(name.startswith(".staging-ds") for name in on_disk(service)) >= 8)

        refused(send(ana, CSV), 429, "too_many_requests")
        assert send(bo, CSV).status_code == 201
    waits_for(lambda: not any(name.startswith(".staging-ds") for name in on_disk(service)))


def waits_for(wish: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not wish():
        assert time.monotonic() < until
        time.sleep(0.05)


@contextmanager
def process_of_its_own(
    home: Path, port: int, token: str | None = None
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """``finetune30 api``, and somebody who is logged in (with a token of before, at a second start)."""
    url = f"http://127.0.0.1:{port}"
    with running(home, port, {}) as process, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        if token is None:
            (password,) = re.findall(r"name admin, password (\S+)", (home / "api.log").read_text())
            token = client.post("/login", json={"username": "admin", "password": password}).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        client.headers["Content-Type"] = "text/csv"
        yield client, process


def test_a_full_disk_is_503_and_leaves_nothing(tmp_path: Path, free_port: int) -> None:
    uploads = tmp_path / "data" / "uploads"
    with process_of_its_own(tmp_path, free_port) as (client, process):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4 * MIB, 4 * MIB))

        refused(client.post("/datasets?name=a.csv", content=large(8 * MIB)), 503, "disk_full")

        assert [path.name for path in uploads.iterdir()] == [".lock"]
        assert client.post("/datasets?name=a.csv", content=CSV).status_code == 201


def test_what_a_killed_api_was_receiving_is_swept_at_the_next_start(tmp_path: Path, free_port: int) -> None:
    uploads = tmp_path / "data" / "uploads"
    with process_of_its_own(tmp_path, free_port) as (client, process):
        kept = client.post("/datasets?name=a.csv", content=CSV).json()
        bearer = client.headers["Authorization"]
        start = f"POST /datasets?name=b.csv HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\n"
        with socket.create_connection(("127.0.0.1", free_port), timeout=PATIENCE_S) as connection:
            connection.sendall(f"{start}Content-Type: text/csv\r\nContent-Length: 100000\r\n\r\n".encode() + CSV)
            waits_for(lambda: any(uploads.glob(".staging-*")))
            process.kill()
            process.wait()
        assert any(uploads.glob(".staging-*"))

    with process_of_its_own(tmp_path, free_port, bearer.removeprefix("Bearer ")) as (client, _):
        waits_for(lambda: not any(uploads.glob(".staging-*")))
        assert [one["dataset_id"] for one in client.get("/datasets").json()["datasets"]] == [kept["dataset_id"]]
        path = f"/datasets/{kept['dataset_id']}"
        waits_for(lambda: client.get(path).json()["state"] == "ready")  # its check may have been killed as well
