"""The methods about what lies beside runs, against the real API: files of a run, data, models, webhooks."""

from __future__ import annotations

import hashlib
import io
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune30 import errors
from finetune30.client import Client
from tests.api.service import PASSWORD, Person, Service, serving
from tests.api.test_authorisation import every_route
from tests.cli_cases import GOOD, Cli, run_here, write_csv
from tests.client.canned import Canned
from tests.client.conftest import Connect

ROUTES = {path for _, path in every_route()}


def _needs(path: str) -> Any:
    """For routes of a server that may be older than this client."""
    return pytest.mark.skipif(path not in ROUTES, reason=f"this server has no {path}")


@_needs("/experiments/{task_id}/artifacts")
def test_what_a_run_left_behind_is_fetched_whole(
    service: Service, ana: Person, connect: Connect, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    trained = request.getfixturevalue("trained")
    store, settings = service.services.jobs.store, service.settings
    run, other = (trained.copy(name, store, settings, ana.name) for name in ("trained", "guessed"))
    client = connect(ana)

    listed = {one.name: one for one in client.artifacts(run)}
    metrics = client.download(run, "metrics.json", tmp_path)
    assert hashlib.sha256(metrics.read_bytes()).hexdigest() == listed["metrics.json"].sha256
    model = client.download_model(run, tmp_path / "mine.zip")
    assert {one.name for one in listed["final_model.zip"].files} <= {
        name.rpartition("/")[2] for name in zipfile.ZipFile(model).namelist()
    }
    with pytest.raises(errors.UsageError, match="is there already"):
        client.download_model(run, model)
    assert client.download_model(run, model, overwrite=True) == model
    with pytest.raises(errors.NotFound):
        client.download(run, "passwd", tmp_path)
    best = next(one for one in client.checkpoints(run) if "best" in one.roles)
    assert zipfile.is_zipfile(client.download_checkpoint(run, best.archive, tmp_path))
    assert client.curves(run)["training"]
    rows = list(client.predictions(run, order="worst"))
    assert len({one.position for one in rows}) == len(rows) > 0
    assert len(list(client.predictions(run, limit=3))) == 3
    assert all(not one.right for one in client.predictions(run, only="wrong"))
    table = client.download_predictions(run, tmp_path)
    assert len(table.read_text().splitlines()) == len(rows) + 1
    assert client.compare([run, other], flips="any", limit=5)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".staging")]


@_needs("/datasets")
def test_data_is_sent_checked_looked_at_and_fetched_again(ana: Person, connect: Connect, tmp_path: Path) -> None:
    client, told = connect(ana), list[tuple[int, int]]()
    content = "text,label\n" + "".join(f"{text},{label}\n" for text, label in GOOD)
    file = tmp_path / "reviews.csv"
    file.write_text(content)

    sent = client.upload(file, told=lambda *how: told.append(how))
    assert told[-1] == (len(content), len(content))
    assert sent.sha256 == hashlib.sha256(content.encode()).hexdigest()
    found = client.checked(sent.dataset_id)
    assert (found.state, found.name) == ("ready", "reviews.csv")
    assert found.report is not None
    assert [one.dataset_id for one in client.datasets(limit=5)] == [sent.dataset_id]
    assert client.dataset_report(sent.dataset_id)
    assert client.dataset_analysis(sent.dataset_id)["splits"]["train"]["words"]["median"] > 0
    assert len(client.preview(sent.dataset_id, rows=2)) >= 2
    assert client.download_dataset(sent.dataset_id, tmp_path / "back.csv").read_text() == content
    page = client.download_report(sent.dataset_id, tmp_path)
    assert "<html" in page.read_text()
    assert found.version in {one.version for one in client.data_versions()}
    assert client.data_version(str(found.version)).dataset_name == f"version:{found.version}"

    file.write_text(content + "one more film with a garden,good\n")
    other = client.checked(client.upload(file).dataset_id)
    assert client.data_diff(str(found.version), str(other.version))["unchanged"] > 0
    assert client.checked(client.check_dataset(sent.dataset_id, text_column="text").dataset_id).state == "ready"
    with pytest.raises(errors.StateError, match="nothing that a repair"):
        client.repair_dataset(sent.dataset_id)
    file.write_text(content + ",good\n")
    repaired = client.repair_dataset(client.checked(client.upload(file).dataset_id).dataset_id)
    assert (repaired.fixes, repaired.dataset.owner) == ({"empty": 1}, sent.owner)
    task = client.train({"data": {"dataset_name": sent.dataset_name}})
    with pytest.raises(errors.StateError):
        client.delete_dataset(sent.dataset_id)
    client.cancel(task.task_id)
    client.delete_dataset(sent.dataset_id)
    with pytest.raises(errors.DataError, match="cannot be read"):
        client.upload(tmp_path / "nothing.csv")
    with pytest.raises(errors.Refused):
        client.upload(file, name="model.pkl")


@_needs("/datasets")
def test_submit_sends_a_file_of_this_machine_and_trains_on_it(
    service: Service, ana: Person, connect: Connect, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cli: Cli = run_here(monkeypatch, capsys, tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert cli("login", service.url, "--username", ana.name, "--password-stdin").code == 0
    name = write_csv("reviews.csv", GOOD, ("words", "stars"))
    data = ["--set", f"data.dataset_name={name}", "--set", "data.text_column=words", "--set", "data.label_column=stars"]

    ended = cli("submit", *data, "--json")

    assert ended.code == 0, ended.err
    assert f"sending {name} to {service.url}" in ended.err
    config = connect(ana).task(ended.json["task_id"]).config["data"]
    assert (config["dataset_name"][:10], config["text_column"]) == ("upload:ds-", "words")
    wrong = cli("submit", "--set", f"data.dataset_name={name}", "--set", "data.text_column=wrods", "--json")
    assert (wrong.code, wrong.json["error"]["code"], wrong.json["error"]["where"]) == (2, "data_invalid", name)
    assert len(service.services.jobs.store.find(owner=ana.name)) == 1
    (tmp_path / "folder").mkdir()
    assert "is a folder" in cli("submit", "--set", "data.dataset_name=folder").err


@_needs("/models")
def test_models_are_registered_promoted_and_rolled_back(
    service: Service, ana: Person, connect: Connect, tmp_path: Path
) -> None:
    from tests import registered

    trained: Callable[..., str] = registered.trained
    runs = [trained(service.services.jobs.store, service.settings.results_dir, owner=ana.name) for _ in "ab"]
    client, name = connect(ana), f"m-{ana.name}"

    first = client.register(name, runs[0], alias="champion", note="first", visibility="private")
    second = client.register(name, runs[1])
    assert (first.version, second.version, first.aliases) == (1, 2, ("champion",))
    assert client.model(name).aliases == {"champion": 1}
    assert client.point(name, "champion", 2, expected=1, note="better").version == 2
    with pytest.raises(errors.StateError):
        client.point(name, "champion", 1, expected=1)
    assert client.resolve(f"{name}@champion").experiment_id == runs[1]
    assert client.rollback(name, "champion").version == 1
    assert client.alias(name, "champion").version == 1
    assert [one.kind for one in client.alias_history(name, "champion")]
    assert len(list(client.alias_history(name, limit=1))) == 1
    assert [one.version for one in client.model_versions(name)] == [2, 1]
    assert client.model_version(name, 1).files
    assert client.model_card(name, 1).startswith("---")
    assert zipfile.is_zipfile(client.download_version(name, 1, tmp_path))
    assert client.lineage(name, 1)["experiment"]["id"] == runs[0]
    assert [one.name for one in client.models(owner="me")] == [name]
    assert client.change_model(name, visibility="team", description="Is it good?").visibility == "team"
    with pytest.raises(errors.StateError):
        client.delete(runs[0])
    client.drop_alias(name, "champion")
    client.unregister(name, 2)
    client.delete_model(name)
    assert list(client.models(owner="me")) == []


@_needs("/webhooks")
def test_webhooks_are_made_tried_and_taken_away(tmp_path: Path) -> None:
    with (
        serving(tmp_path, {"WEBHOOK_HOSTS": "127.0.0.1"}) as service,
        socket.create_server(("127.0.0.1", 0)) as nobody,
        Client(service.url) as client,
    ):
        client.login(service.person().name, PASSWORD)
        made = client.add_webhook(f"http://127.0.0.1:{nobody.getsockname()[1]}/hook", ["run.failed"])
        assert made.secret
        assert made.secret not in repr(made)
        assert client.webhook(made.webhook_id).kinds == ("run.failed",)
        assert [one.webhook_id for one in client.webhooks()] == [made.webhook_id]
        sent = client.test_webhook(made.webhook_id)
        assert [one.number for one in client.deliveries(made.webhook_id)] == [sent.number]
        assert client.disable_webhook(made.webhook_id).disabled_at
        assert client.enable_webhook(made.webhook_id).disabled_at is None
        with pytest.raises(errors.Refused):
            client.add_webhook("no address")
        client.delete_webhook(made.webhook_id)
        assert client.webhooks() == []


@_needs("/keys")
def test_keys_are_made_told_once_and_revoked(ana: Person, connect: Connect) -> None:
    client = connect(ana)
    made, other = client.add_key("shop", expires_days=90), client.add_key("till")
    assert made.key
    assert made.key not in repr(made)
    assert made.expires_at
    assert other.expires_at is None
    assert {one.key_id: (one.name, one.key) for one in client.api_keys()} == {
        made.key_id: ("shop", None),
        other.key_id: ("till", None),
    }
    assert client.revoke_key(made.key_id).revoked_at
    assert {one.key_id for one in client.api_keys() if one.revoked_at} == {made.key_id}
    with pytest.raises(errors.Missing):
        client.revoke_key("k_0123456789abcdef")
    with pytest.raises(errors.Refused, match="expected the id of a key"):
        client.revoke_key("shop")


def test_a_download_that_breaks_leaves_nothing(service: Service, ana: Person, connect: Connect, tmp_path: Path) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 5000000\r\n\r\nPK"
    with Canned(cut) as server, Client(server.url, token="t") as client:
        with pytest.raises(errors.Unreachable):
            client.download_model("run", tmp_path / "model.zip")
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(errors.UsageError, match="cannot be written"):
            client.download_model("run", tmp_path / "nowhere" / "model.zip")
