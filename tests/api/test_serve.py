"""``finetune30 api`` as an operator runs it: a process, what it refuses to do, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.api.service import PASSWORD

PATIENCE_S = 60.0
_EXAMPLE = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
SECRETS = {"JWT_SECRET": "fZ0qT9b3xKw7LmR2vYc8NsE5uHd1Ga4j", "AUDIT_KEY": "Jx4Wn8Qe2Zr6Vt0Bk3Mp7Lc1Ys5Hd9Fg"}


def environment(home: Path, port: int, values: Mapping[str, str]) -> dict[str, str]:
    given = {"RESULTS_DIR": str(home / "results"), "DATA_DIR": str(home / "data"), "API_PORT": str(port), **values}
    inherited = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "HOME", "LANG")}
    return inherited | given


@contextmanager
def running(home: Path, port: int, values: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The verb as a process, once it answers."""
    log = (home / "api.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "finetune30", "api"],
        env=environment(home, port, values),
        cwd=home,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    log.close()
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            assert process.poll() is None, (home / "api.log").read_text()
            assert time.monotonic() < until
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def refuses(home: Path, port: int, values: Mapping[str, str]) -> str:
    """What it says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "finetune30", "api"],
        env=environment(home, port, values),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_the_first_admin_logs_in_with_the_password_that_is_told_once(tmp_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    with running(tmp_path, free_port, {}) as process:
        said = (tmp_path / "api.log").read_text()
        (password,) = re.findall(r"name admin, password (\S+)", said)
        answer = httpx.post(f"{url}/login", json={"username": "admin", "password": password}, trust_env=False)
        token = answer.json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert answer.json()["role"] == "admin"
        assert httpx.get(f"{url}/tasks?limit=5", headers=bearer, trust_env=False).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    said = (tmp_path / "api.log").read_text()
    assert token not in said
    assert "limit=5" not in said
    assert said.count(password) == 1
    for line in said.splitlines()[2:]:
        json.loads(line)
    with running(tmp_path, free_port, {}):
        assert "password" not in (tmp_path / "api.log").read_text()


def test_g19_a_stream_does_not_keep_it_from_ending(tmp_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    with running(tmp_path, free_port, {}) as process, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        (password,) = re.findall(r"name admin, password (\S+)", (tmp_path / "api.log").read_text())
        token = client.post("/login", json={"username": "admin", "password": password}).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        task = client.post("/train", json={}, headers=bearer).json()["task_id"]
        accept = {"Accept": "text/event-stream"}
        with client.stream("GET", f"/task/{task}/events", headers=bearer | accept) as answer:
            for line in answer.iter_lines():
                if line.startswith("event: state"):
                    process.send_signal(signal.SIGTERM)
        process.wait(20)  # uvicorn alone would wait for half a minute


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ENVIRONMENT": "production"}, "JWT_SECRET is not set"),
        ({"ENVIRONMENT": "production", **SECRETS, "JWT_SECRET": "changeme"}, "JWT_SECRET"),
        ({"ENVIRONMENT": "production", **SECRETS, "API_HOST": "0.0.0.0"}, "plain HTTP"),  # noqa: S104
        ({"TLS_CERTFILE": "cert.pem"}, "TLS_KEYFILE"),
        ({"TLS_CERTFILE": "cert.pem", "TLS_KEYFILE": "key.pem"}, "is no file"),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
        ({"CORS_ORIGINS": "null"}, "CORS_ORIGINS"),
        ({"FORWARDED_ALLOW_IPS": "*"}, "FORWARDED_ALLOW_IPS"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS"),
        ({"METRICS_TOKEN": "short-4711"}, "METRICS_TOKEN"),
        ({"API_HOST": "no such host"}, "API_HOST"),
        ({"ENVIRONMENT": "production", **SECRETS, "JWT_SECRET": "short-4711"}, "JWT_SECRET has 10 bytes"),
        ({"ENVIRONMENT": "production", **SECRETS, "JWT_SECRET": _EXAMPLE}, "JWT_SECRET is taken from an example"),
        ({"ENVIRONMENT": "production", **SECRETS, "DEBUG": "1"}, "DEBUG is set in production"),
        ({"ENVIRONMENT": "production", **SECRETS, "API_REPLICAS": "2"}, "API_REPLICAS is 2 and the database is SQLite"),
        ({"PAGE_KEY": "short-4711"}, "PAGE_KEY"),
        ({"PAGE_KEY": "changeme-4711" * 4}, "PAGE_KEY is taken from an example"),
    ],
)
def test_s45_what_is_not_safe_does_not_start(tmp_path: Path, free_port: int, values: dict[str, str], said: str) -> None:
    told = refuses(tmp_path, free_port, values)

    assert said in told
    assert len(told.strip().splitlines()) <= 3  # what, where, what to do
    for secret in ("changeme", "4711", _EXAMPLE, SECRETS["JWT_SECRET"]):
        assert secret not in told


def test_a_port_that_is_taken_is_told(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "other").mkdir()
    with running(tmp_path, free_port, {}):
        assert f"cannot listen on 127.0.0.1 port {free_port}" in refuses(tmp_path / "other", free_port, {})


def test_production_serves_behind_a_proxy(tmp_path: Path, free_port: int) -> None:
    with running(tmp_path, free_port, {"ENVIRONMENT": "production", **SECRETS}):
        url = f"http://127.0.0.1:{free_port}"
        assert httpx.get(f"{url}/ready", trust_env=False).json()["status"] == "ready"
        assert httpx.get(f"{url}/docs", trust_env=False).status_code == 404
        answer = httpx.post(f"{url}/login", json={"username": "admin", "password": PASSWORD}, trust_env=False)
        assert answer.status_code == 401  # nobody was made
