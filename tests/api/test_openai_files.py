"""Files by OpenAI's own client: sent, checked, trained on by a real worker, read, listed, deleted, refused."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from finetune30.experiments import Status
from tests import tiny
from tests.api.openai_client import JOB, Client, Clients
from tests.api.service import Person, Service, serving
from tests.jobs.plant import Plant, Servers, plant
from tests.jobs.trainings import UNHURRIED
from tests.servers import PostgresServer, RedisServer

Rows = Sequence[tuple[str, str]]


def conversations(rows: Rows) -> bytes:
    """As files for fine-tuning a chat model are."""
    system = {"role": "system", "content": "Is the review positive or negative?"}
    said = [
        [system, {"role": "user", "content": text}, {"role": "assistant", "content": label}] for text, label in rows
    ]
    return "".join(json.dumps({"messages": one}) + "\n" for one in said).encode()


def plain(rows: Rows) -> bytes:
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows).encode()


def sent(client: Client, content: bytes, name: str = "rows.jsonl") -> Any:
    """The file, once it was checked."""
    made = client.checked(client.files.create(file=(name, content), purpose="fine-tune"))
    assert made.status == "uploaded"
    client.files.wait_for_processing(made.id, poll_interval=0.1)
    return client.checked(client.files.retrieve(made.id))


def test_a_file_is_sent_checked_read_and_deleted(service: Service, mine: Client, ana: Person, tmp_path: Path) -> None:
    content = conversations(tiny.rows(64))
    path = tmp_path / "reviews.jsonl"
    path.write_bytes(content)

    with path.open("rb") as file:
        made = mine.checked(mine.files.create(file=file, purpose="fine-tune"))
    mine.files.wait_for_processing(made.id, poll_interval=0.1)

    done = mine.checked(mine.files.retrieve(made.id))
    assert (done.status, done.status_details) == ("processed", None)
    assert (done.bytes, done.filename, done.purpose) == (len(content), "reviews.jsonl", "fine-tune")
    assert mine.files.content(made.id).read() == content
    assert ana.get(f"/datasets/ds-{made.id.removeprefix('file-')}").json()["state"] == "ready"
    gone = mine.checked(mine.files.delete(made.id))
    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError):
        mine.files.retrieve(made.id)
    actions = [row.action for row in service.audit(user_id=ana.user.id)]
    assert actions == ["dataset.delete", "dataset.upload"]


def test_a_file_that_cannot_be_used_says_where(mine: Client) -> None:
    wrong = conversations(tiny.rows(20)) + b'{"messages": [{"role": "user", "content": "alone"}]}\n'

    refused = sent(mine, wrong)

    assert refused.status == "error"
    assert "line 21" in refused.status_details
    assert "user and assistant" in refused.status_details
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        mine.jobs.create(model="builtin:minilm", training_file=refused.id)
    assert (refusal.value.param, "refused" in str(refusal.value)) == ("training_file", True)


def test_files_are_listed_in_pages_both_ways(mine: Client) -> None:
    made = [mine.files.create(file=(f"{number}.jsonl", plain(tiny.rows(8))), purpose="fine-tune") for number in "abc"]
    names = ["a.jsonl", "b.jsonl", "c.jsonl"]

    page = mine.checked(mine.files.list(limit=2))

    assert ([one.filename for one in page.data], page.has_more) == (names[:0:-1], True)
    assert [one.filename for one in mine.files.list(limit=2)] == names[::-1]
    assert [one.filename for one in mine.files.list(limit=1, order="asc", purpose="fine-tune")] == names
    assert [one.filename for one in mine.files.list(after=made[1].id)] == ["a.jsonl"]
    with pytest.raises(openai.NotFoundError):
        mine.files.list(after="file-0000000000000000")
    with pytest.raises(openai.UnprocessableEntityError):
        mine.files.list(purpose="vision")


@pytest.mark.parametrize(
    ("file", "more", "status"),
    [
        (("rows.pkl", b"\x80\x04."), {}, 422),
        (("rows.exe", b"MZ"), {}, 422),
        (("../../rows.jsonl\n", b"{}"), {}, 422),
        (("rows.jsonl", b""), {}, 422),
        (("rows.parquet", b"no parquet"), {}, 422),
        (("rows.jsonl", b"{}"), {"purpose": "batch"}, 422),
        (("rows.jsonl", b"{}"), {"expires_after": {"anchor": "created_at", "seconds": 3600}}, 422),
    ],
)
def test_what_is_no_file_for_fine_tuning_is_refused_and_not_kept(
    mine: Client, file: Any, more: dict[str, Any], status: int
) -> None:
    with pytest.raises(openai.APIStatusError) as refusal:
        mine.files.create(**{"file": file, "purpose": "fine-tune", **more})

    assert refusal.value.status_code == status
    assert set(mine.heard.bodies[-1]["error"]) == {"message", "type", "param", "code"}
    assert mine.files.list().data == []


def test_what_is_no_form_is_refused(service: Service, ana: Person) -> None:
    answer = service.client.post("/v1/files", headers=ana.bearer | {"Content-Type": "text/csv"}, content=b"a,b\n")

    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_files_are_their_owners(mine: Client, clients: Clients, bo: Person, admin: Person) -> None:
    made = mine.files.create(file=("rows.jsonl", plain(tiny.rows(8))), purpose="fine-tune")
    other = clients(bo)

    for ask in (other.files.retrieve, other.files.content, other.files.delete):
        with pytest.raises(openai.PermissionDeniedError):
            ask(made.id)
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        other.jobs.create(model="builtin:minilm", training_file=made.id)
    assert refusal.value.param == "training_file"
    mine_again = {"model": "builtin:minilm", "training_file": made.id}
    with pytest.raises(openai.UnprocessableEntityError):
        other.jobs.create(**{**mine_again, "validation_file": made.id})
    assert other.files.list().data == []
    assert made.id in [one.id for one in clients(admin).files.list()]
    with pytest.raises(openai.AuthenticationError):
        clients(None).files.create(file=("rows.jsonl", b"{}"), purpose="fine-tune")


def test_a_file_that_a_job_needs_is_kept(mine: Client) -> None:
    train = mine.files.create(file=("rows.jsonl", plain(tiny.rows(64))), purpose="fine-tune")
    validation = mine.files.create(file=("few.jsonl", plain(tiny.rows(8, seed=9))), purpose="fine-tune")
    job = mine.checked(mine.jobs.create(model="builtin:minilm", training_file=train.id, validation_file=validation.id))

    assert (job.training_file, job.validation_file) == (train.id, validation.id)
    for file in (train, validation):
        with pytest.raises(openai.ConflictError):
            mine.files.delete(file.id)
    mine.jobs.cancel(job.id)
    for file in (train, validation):
        assert mine.files.delete(file.id).deleted


def test_a_job_may_be_asked_for_before_its_file_was_checked(service: Service, mine: Client) -> None:
    made = mine.files.create(file=("rows.jsonl", plain(tiny.rows(64))), purpose="fine-tune")

    job = mine.checked(mine.jobs.create(model="builtin:minilm", training_file=made.id))

    assert job.training_file == made.id


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.jsonl", b'{"text": "a", "text_pair": "b", "label": "yes"}\n'),
        ("pairs.csv", b"\xef\xbb\xbftext;text_pair;label\na;b;yes\n"),
    ],
)
def test_two_texts_a_row_are_noticed(service: Service, mine: Client, name: str, content: bytes) -> None:
    made = mine.files.create(file=(name, content), purpose="fine-tune")

    upload = service.services.checks.uploads.find(made.id.replace("file-", "ds-"))
    assert upload is not None
    assert upload.options == {"text_pair_column": "text_pair"}


def test_the_figures_of_a_run_are_a_file(service: Service, mine: Client, clients: Clients, bo: Person) -> None:
    from tests.api.test_openai_jobs import leave_a_run

    jobs = [mine.jobs.create(**JOB) for _ in range(3)]
    for job in jobs:
        leave_a_run(service, job.id.removeprefix("ftjob-"))
    (result,) = mine.jobs.retrieve(jobs[0].id).result_files

    found = mine.checked(mine.files.retrieve(result))
    content = mine.files.content(result).read()

    assert (found.purpose, found.filename, found.bytes) == ("fine-tune-results", "step_metrics.csv", len(content))
    header, *lines = content.decode().splitlines()
    assert header == "step,train_loss,train_accuracy,valid_loss,valid_accuracy,valid_f1_macro,learning_rate"
    assert [line.split(",")[0] for line in lines] == ["1", "2", "3", "4", "6"]
    assert lines[-1] == "6,0.25,,0.3,0.9,0.8,0.0001"
    listed = mine.files.list(purpose="fine-tune-results", limit=2)
    assert [one.id for one in mine.checked(listed).data] == [f"file-results-{job.id[6:]}" for job in jobs[:0:-1]]
    assert len(list(listed)) == 3
    with pytest.raises(openai.ConflictError):
        mine.files.delete(result)
    with pytest.raises(openai.PermissionDeniedError):
        clients(bo).files.content(result)
    waiting = mine.jobs.create(**JOB)
    with pytest.raises(openai.NotFoundError):
        mine.files.retrieve(f"file-results-{waiting.id[6:]}")
    with pytest.raises(openai.NotFoundError):
        mine.files.retrieve("file-nothing")


def wait_for(client: Client, job: Any, *states: str) -> Any:
    """The job in one of these states, as a program that polls meets it."""
    until = time.monotonic() + 120
    while (found := client.checked(client.jobs.retrieve(job.id))).status not in states:
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found


@contextmanager
def at_work(kind: str, home: Path, servers: Servers, **changes: object) -> Iterator[tuple[Plant, Service, Client]]:
    """Workers and an API over the same database, and a client of it."""
    with (
        plant(kind, home, servers, **changes) as site,
        serving(home, site.env) as service,
        closing(Client(service, service.person())) as client,
    ):
        yield site, service, client


def test_a_classifier_is_trained_by_the_client_alone(
    redis_server: RedisServer, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    rows = tiny.rows(128)
    with at_work("P", tmp_path, Servers(redis_server, postgres_server), **UNHURRIED) as (site, service, client):
        site.worker(1, real=True)
        train = client.files.create(file=("train.jsonl", conversations(rows[:96])), purpose="fine-tune")
        validation = client.files.create(file=("valid.jsonl", plain(rows[96:])), purpose="fine-tune")

        job = client.checked(
            client.jobs.create(
                model="builtin:minilm",
                training_file=train.id,
                validation_file=validation.id,
                suffix="by client",
                method={
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 16, "learning_rate_multiplier": 2}},
                },
                metadata={"run": "real"},
            )
        )
        done = wait_for(client, job, "succeeded", "failed", "cancelled")

        assert done.status == "succeeded", (done.error, site.story())
        assert (done.training_file, done.validation_file, done.metadata) == (train.id, validation.id, {"run": "real"})
        assert done.fine_tuned_model.startswith("ft:")
        assert done.trained_tokens > 0
        assert client.checked(client.models.retrieve(done.fine_tuned_model)).id == done.fine_tuned_model
        measured = [event for event in client.jobs.list_events(job.id, limit=3) if event.type == "metrics"]
        assert len(measured) == 2
        assert 0 <= measured[0].data["valid_accuracy"] <= 1
        checkpoints = client.checked(client.jobs.checkpoints.list(job.id)).data
        assert [one.step_number for one in checkpoints] == [12, 6]
        assert checkpoints[0].metrics.full_valid_loss == measured[0].data["valid_loss"]
        table = client.files.content(done.result_files[0]).text.splitlines()
        assert table[-1].startswith("12,")
        row = service.services.jobs.store.get(job.id.removeprefix("ftjob-"))
        assert row.status is Status.SUCCESS
        assert (row.metrics or {})["data"]["validation"]["read"] == 32


@pytest.mark.parametrize("kind", ["E", "P"])
def test_a_running_job_is_paused_resumed_and_cancelled_by_the_client(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    names = ("redis_server", "postgres_server") if kind == "P" else ()
    with at_work(kind, tmp_path, Servers(*map(request.getfixturevalue, names))) as (site, _, client):
        site.worker(2)
        long = client.jobs.create(**JOB, suffix="long steps.400 ms.20")
        wait_for(client, long, "running")

        client.jobs.pause(long.id)
        wait_for(client, long, "paused")
        client.jobs.resume(long.id)
        wait_for(client, long, "running")
        client.jobs.cancel(long.id)
        assert wait_for(client, long, "cancelled").finished_at is not None
        wrong = client.jobs.create(**JOB, suffix="wrong fail_at.2")
        failed = wait_for(client, wrong, "failed")
        assert (failed.error.code, failed.error.param) == ("data_invalid", "training_file")
        assert next(event.level for event in client.jobs.list_events(wrong.id)) == "error"


def test_content_is_sent_from_memory_as_well(mine: Client) -> None:
    file = io.BytesIO(plain(tiny.rows(16)))
    file.name = "memory.jsonl"

    assert mine.checked(mine.files.create(file=file, purpose="fine-tune")).filename == "memory.jsonl"
