"""``finetune30 webhooks``, for who trains on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from tests.cli_cases import Cli, run_here
from tests.webhooks.receiver import receiving

from finetune30.cli.user import local_user
from finetune30.config import ExperimentConfig
from finetune30.experiments import Status, open_store
from finetune30.settings import Settings, get_settings
from finetune30.webhooks import Postman, Webhooks


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("WEBHOOK_HOSTS", "127.0.0.1")
    return run_here(monkeypatch, capsys, tmp_path)


def test_a_mere_look_makes_nothing(cli: Cli, tmp_path: Path) -> None:
    assert cli("webhooks", "list", "--json").json == {"webhooks": []}
    assert "finetune30 webhooks add" in cli("webhooks", "list").err
    assert list(tmp_path.iterdir()) == []


def test_a_webhook_is_made_tried_and_told_of_a_training_here(cli: Cli) -> None:
    with receiving() as receiver:
        made = cli("webhooks", "add", receiver.url(), "--json").json
        tried = cli("webhooks", "test", made["id"])
        assert (tried.code, tried.out.strip()) == (0, f"{made['id']}  delivered: HTTP 204")
        store = open_store(get_settings())
        run = store.create(ExperimentConfig(), owner=local_user(), tz="UTC", claimed_by="local:1")
        store.finish(run.id, 1, "local:1", Status.SUCCESS)
        webhooks = Webhooks(get_settings(), store.engine)
        postman = Postman(webhooks, print)

        assert [postman.send(number) for number, _ in postman.outbox.due()] == [True]

        told = [Verifier(made["secret"]).verify(one.body, one.headers) for one in receiver.got]
        store.close()
    assert [(one["type"], one["data"].get("task_id")) for one in told] == [("ping", None), ("run.succeeded", run.id)]
    listed = cli("webhooks", "list")
    assert made["id"] in listed.out
    assert made["secret"] not in listed.out + json.dumps(cli("webhooks", "list", "--json").json)
    assert cli("webhooks", "delete", made["id"]).out == f"{made['id']}  deleted\n"
    assert cli("webhooks", "list", "--json").json == {"webhooks": []}
    actions = [(row["action"], row["target"]) for row in cli("audit", "list", "--json").json["rows"]]
    assert actions == [(f"webhook.{what}", made["id"]) for what in ("delete", "test", "add")]
    assert cli("audit", "verify").code == 0


def test_what_is_refused_is_said_and_leaves_nothing(cli: Cli) -> None:
    private = cli("webhooks", "add", "http://169.254.169.254/", "--json")
    assert (private.code, private.json["error"]["code"]) == (2, "webhook_invalid")
    assert (
        cli("webhooks", "add", "http://127.0.0.1:9999/", "--kind", "run.ended", "--json").json["error"]["code"]
        == "usage"
    )
    for verb in ("delete", "test"):
        missing = cli("webhooks", verb, "wh_0000000000000000", "--json")
        assert (missing.code, missing.json["error"]["code"]) == (2, "not_found")
    assert cli("audit", "list", "--json").json == {"rows": []}


def test_a_receiver_that_takes_nothing_is_exit_code_1(cli: Cli) -> None:
    with receiving() as receiver:
        receiver.answers = [(500, {})]
        made = cli("webhooks", "add", receiver.url(), "--json").json

        tried = cli("webhooks", "test", made["id"])

    assert tried.code == 1
    assert "not delivered: it answered 500" in tried.err
