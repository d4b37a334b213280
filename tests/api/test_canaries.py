"""No secret leaves (G29, S109): a whole system lives with secrets found nowhere else, then all of it is searched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.api.canaries import Canaries, CommandLines, files_below, keys_of, rows_of
from tests.api.processes import ApiProcess, access_to, api
from tests.jobs.plant import Plant

SHORT = {"data": {"train_samples": 64, "eval_samples": 16}, "training": {"max_steps": 2}}


class Corpus:
    """Every answer that came, without the tokens where an answer is meant to hand one out."""

    def __init__(self, asked: ApiProcess, canaries: Canaries) -> None:
        self.said: list[tuple[str, bytes]] = []
        self._canaries = canaries
        self._client = asked.client()

    def close(self) -> None:
        """Nothing more is asked."""
        self._client.close()

    def ask(self, method: str, path: str, *, token: str = "", **options: Any) -> httpx.Response:
        """One request; what comes back is kept."""
        headers = dict(options.pop("headers", {}))
        if token:
            headers["Authorization"] = f"Bearer {token}"
        answer = self._client.request(method, path, headers=headers, **options)
        text = answer.text
        if path in ("/login", "/token/refresh") and answer.status_code == 200:
            given = answer.json()
            for name in ("token", "refresh_token"):
                self._canaries.keep_token(name, given[name])
                text = text.replace(given[name], "")
        self.said.append((f"{method} {path.split('?')[0]}", f"{answer.headers}\n{text}".encode()))
        return answer


def command(site: Plant, *words: str, typed: str = "", **changes: str) -> tuple[str, bytes]:
    """What a verb printed."""
    env = {**os.environ, **{name: str(value) for name, value in site.env.items()}, **changes}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    program = [sys.executable, "-m", "finetune30", *words]
    done = subprocess.run(program, env=env, cwd=site.home, input=typed.encode(), capture_output=True, check=False)
    return " ".join(words), done.stdout + done.stderr


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def site(make_plant: Callable[..., Plant], canaries: Canaries) -> Plant:
    """Redis and PostgreSQL with passwords, and a secret in every setting that takes one."""
    keys = {
        name: canaries.new(name) for name in ("JWT_SECRET", "AUDIT_KEY", "METRICS_TOKEN", "HF_TOKEN", "WANDB_API_KEY")
    }
    made = make_plant("P", own=True, LEASE_S=30, HEARTBEAT_S=2, **keys)
    assert made.servers.redis is not None
    word = canaries.new("password of Redis")
    made.servers.redis.client().config_set("requirepass", word)
    for env in (made.env, made.worker_env):
        env["BROKER_URL"] = made.servers.redis.url.replace("redis://", f"redis://:{word}@")
        env["DATABASE_URL"] = env["DATABASE_URL"].replace("postgres@", f"postgres:{canaries.new('of PostgreSQL')}@")
    return made


def a_day(corpus: Corpus, canaries: Canaries, words: dict[str, str]) -> list[str]:
    """Somebody does everything there is to do, and much of it wrongly; the tasks."""
    ask, new = corpus.ask, canaries.new
    admin = ask("POST", "/login", json={"username": "root", "password": words["root"]}).json()["token"]
    made = ask("POST", "/users", token=admin, json={"name": "ana", "password": words["ana"]}).json()["user_id"]
    for wrong in (
        {"username": "ana", "password": new("a wrong password")},
        {"username": new("a password as name"), "password": words["ana"]},
        {"username": "ana", "password": [words["ana"]]},
        {"username": {words["ana"]: 1}, "password": words["ana"]},
        {"username": "ana", "passwort": words["ana"]},
    ):
        assert ask("POST", "/login", json=wrong).status_code in (401, 422)
    ask("POST", "/login", content=f'{{"username": "ana", "password": "{words["ana"]}'.encode(), headers=_JSON)
    ask("POST", "/login", data={"username": "ana", "password": words["ana"]})
    both = ask("POST", "/login", json={"username": "ana", "password": words["ana"]}).json()
    token = both["token"]
    for bad in (new("a bad token"), token[:-3] + "AAA", both["refresh_token"], admin + "x"):
        canaries.keep_token("a bad token", bad)
        assert ask("GET", "/me", token=bad).status_code == 401
    ask("GET", f"/me?access_token={token}")
    ask("GET", "/me", headers={"Cookie": f"token={token}"})
    ask("POST", "/token/refresh", json={"refresh_token": new("a bad refresh token")})
    token = ask("POST", "/token/refresh", json={"refresh_token": both["refresh_token"]}).json()["token"]

    taken = [ask("POST", "/train", token=token, json=body) for body in (SHORT, _FAILS, SHORT)]
    assert [answer.status_code for answer in taken] == [202] * 3, [answer.text for answer in taken]
    tasks = [answer.json()["task_id"] for answer in taken]
    ask("POST", f"/task/{tasks[2]}/cancel", token=token)
    ask("POST", "/train", token=token, json={"training": {"learning_rate": new("a wrong value")}})
    ask("POST", f"/train?queue={new('a wrong queue')}", token=token, json={})
    ask("POST", "/train", token=token, json={}, headers={"Idempotency-Key": new("a key") * 9})
    ask("GET", f"/experiments?owner=me&name={new('a search')}", token=token)
    ask("GET", f"/experiments?owner=me&sort_by={new('a wrong order')}", token=token)
    ask("GET", "/users", token=token)
    changed = {"current_password": words["ana"], "new_password": words["ana 2"]}
    ask("POST", "/me/password", token=token, json=changed | {"current_password": new("not the password")})
    ask("POST", "/me/password", token=token, json=changed | {"new_password": words["ana"] * 40})
    assert ask("POST", "/me/password", token=token, json=changed).status_code == 204
    ask("POST", f"/users/{made}/password", token=admin, json={"password": words["ana 3"]})
    ask("POST", "/users", token=admin, json={"name": "Not A Name", "password": new("a password")})
    for path in (
        "/metrics",
        "/audit/logs?limit=1000",
        "/users",
        "/experiments",
        "/experiments/stats",
        "/config/defaults",
    ):
        assert ask("GET", path, token=admin).status_code == 200
    corpus.admin = admin  # type: ignore[attr-defined]
    return tasks


_JSON = {"Content-Type": "application/json"}
_FAILS = {"data": {"dataset_name": "stanfordnlp/sst2"}}  # it is not here, and nobody may fetch it


def test_g29_s109_no_secret_is_left_anywhere(site: Plant, canaries: Canaries, tmp_path: Path) -> None:
    lines = CommandLines()
    lines.start()
    words = {name: canaries.new(f"password {name}") for name in ("root", "ana", "ana 2", "ana 3")}
    told = [command(site, "user", "add", "root", "--role", "admin", typed=f"{words['root']}\n")]
    site.worker(real=True)
    with api(site) as asked, closing(Corpus(asked, canaries)) as corpus:
        tasks = a_day(corpus, canaries, words)
        ends = site.settle(tasks, 240)
        assert sorted(str(row.status) for row in ends.values()) == ["FAILURE", "REVOKED", "SUCCESS"]
        for task in tasks:
            for tail in ("", "/logs", "/events"):
                corpus.ask("GET", f"/task/{task}{tail}", token=corpus.admin)  # type: ignore[attr-defined]
        monitor = corpus.ask("GET", "/metrics", token=str(site.env["METRICS_TOKEN"]))
        assert monitor.status_code == 200
        told += [
            command(site, "audit", "export", "--format", "jsonl"),
            command(site, "audit", "list", "--json"),
            command(site, "user", "list", "--json"),
            command(site, "jobs", "list", "--json"),
            command(site, "runs", "show", tasks[0]),
            command(site, "env"),
            # What cannot be reached, or read, is told without its password.
            command(site, "jobs", "list", DATABASE_URL=str(site.env["DATABASE_URL"]).replace("127.0.0.1", "127.0.0.2")),
            command(site, "jobs", "list", DATABASE_URL=f"mysql://u:{canaries.new('of another database')}@h/x"),
            command(site, "jobs", "list", BROKER_URL=f"http://:{canaries.new('of another broker')}@h"),
            command(site, "api", JWT_SECRET="changeme" + canaries.new("a weak key")),
        ]
        with redis.Redis.from_url(str(site.env["BROKER_URL"])) as client:
            kept = list(keys_of(client))
    lines.ending.set()
    lines.join()
    with access_to(site) as access:
        rows = [
            (f"row {row.seq} of the audit", json.dumps(row.detail).encode() + repr(row).encode())
            for row in access.audit.every()
        ]
        assert len(rows) > 20

    places = [*corpus.said, *told, *kept, *rows, *files_below(site.home), *rows_of(str(site.env["DATABASE_URL"]))]
    places += [("a command line", line) for line in lines.seen]
    assert len(places) > 100
    assert sorted(set(canaries.all_hits(places))) == []


def test_g29_the_search_finds_what_is_there(canaries: Canaries) -> None:
    import base64
    from urllib.parse import quote

    word = canaries.keep("a word", "the/secret+word of=nobody else")
    for text in (word, word[:24], quote(word), word.encode().hex()):
        assert list(canaries.hits("here", f"xx{text}xx".encode())), text
    for before in ("", "a", "ab"):
        assert list(canaries.hits("here", base64.b64encode(f"{before}{word}".encode()))), before
        assert list(canaries.hits("here", base64.urlsafe_b64encode(f"{before}{word}".encode()))), before
    assert not list(canaries.hits("here", b"the secret word"))
