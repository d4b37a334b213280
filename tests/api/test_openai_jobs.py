"""Fine-tuning jobs by OpenAI's own client: submitted, found, followed, paused, resumed, cancelled, refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from finetune30.errors import DataError
from finetune30.experiments import ExperimentFolder, Status
from tests.api.openai_client import JOB, Client, Clients, strictly
from tests.api.service import Person, Service, serving


def experiment_of(job: Any) -> str:
    return str(job.id).removeprefix("ftjob-")


def test_a_job_is_made_and_found_as_the_client_expects_it(service: Service, mine: Client, ana: Person) -> None:
    made = mine.checked(
        mine.jobs.create(
            **JOB,
            suffix="my reviews",
            seed=7,
            hyperparameters={"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 0.5},
            metadata={"team": "support"},
        )
    )

    assert (made.status, made.object, made.organization_id) == ("queued", "fine_tuning.job", ana.name)
    assert (made.model, made.training_file, made.validation_file) == ("builtin:minilm", "builtin:reviews", None)
    assert (made.seed, made.metadata, made.result_files, made.fine_tuned_model) == (7, {"team": "support"}, [], None)
    row = service.services.jobs.store.get(experiment_of(made))
    assert row.name == "my reviews"
    training = row.config["training"]
    assert (training["num_train_epochs"], training["per_device_train_batch_size"]) == (2.0, 8)
    assert training["learning_rate"] == pytest.approx(2.5e-4)
    told = {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 0.5}
    assert made.hyperparameters.to_dict() == told
    assert made.method.supervised.hyperparameters.to_dict() == told
    again = mine.checked(mine.jobs.retrieve(made.id))
    assert again == made
    (audited,) = service.audit(user_id=ana.user.id, action="task.submit")
    assert (audited.target, audited.outcome) == (row.id, "ok")


def test_auto_and_nothing_are_what_the_server_says(mine: Client) -> None:
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    method = {"type": "supervised", "supervised": {"hyperparameters": auto}}

    by_word = mine.checked(mine.jobs.create(**JOB, method=method, integrations=None, metadata=None, seed=None))
    by_silence = mine.checked(mine.jobs.create(**JOB))

    told = {"n_epochs": 3, "batch_size": 16, "learning_rate_multiplier": 1.0}
    assert by_word.hyperparameters.to_dict() == by_silence.hyperparameters.to_dict() == told
    assert (by_word.metadata, by_word.seed) == (None, 42)


def test_a_method_brings_its_hyperparameters(mine: Client) -> None:
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 5}}}

    made = mine.checked(mine.jobs.create(**JOB, method=method))

    assert made.hyperparameters.n_epochs == 5
    with pytest.raises(openai.UnprocessableEntityError, match="differ"):
        mine.jobs.create(**JOB, method=method, hyperparameters={"n_epochs": 4})


def test_one_key_makes_one_job(service: Service, mine: Client) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {**JOB, "metadata": {"a": "1"}}

    made = [mine.checked(mine.jobs.create(**body, extra_headers=headers)).id for _ in range(2)]

    assert made[0] == made[1]
    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        mine.jobs.create(**{**body, "metadata": {"a": "2"}}, extra_headers=headers)
    assert refusal.value.code == "idempotency_conflict"


def test_pages_follow_each_other_until_the_end(mine: Client) -> None:
    made = [mine.jobs.create(**JOB, suffix=f"page {number}").id for number in range(5)]

    first = mine.checked(mine.jobs.list(limit=2))

    assert ([one.id for one in first.data], first.has_more) == (made[:2:-1], True)
    second = mine.checked(first.get_next_page())
    assert [one.id for one in second.data] == made[2:0:-1]
    assert [one.id for one in mine.jobs.list(limit=2)] == made[::-1]
    assert mine.checked(mine.jobs.list(after=made[0])).data == []
    with pytest.raises(openai.NotFoundError):
        mine.jobs.list(after="ftjob-nobody_20260101_000000")


def test_jobs_are_found_by_what_is_written_on_them(mine: Client) -> None:
    odd = {"a key": 'with "quotes", % and \\', "名前": "值"}
    one = mine.jobs.create(**JOB, metadata={"team": "a", "stage": "x"}).id
    two = mine.jobs.create(**JOB, metadata={"team": "a", "stage": "y"}).id
    three = mine.jobs.create(**JOB, metadata=odd).id
    bare = mine.jobs.create(**JOB).id

    def found(**query: Any) -> list[str]:
        return [job.id for job in mine.checked(mine.jobs.list(**query)).data]

    assert found(metadata={"team": "a"}) == [two, one]
    assert found(metadata={"team": "a", "stage": "x"}) == [one]
    assert found(metadata={"team": "b"}) == []
    assert found(metadata={"team": "%"}) == []
    assert found(metadata=odd) == [three]
    assert found(metadata={}) == [bare, three, two, one]
    assert found(extra_query={"metadata": "null"}) == [bare]
    for name in ("metadata[team", "metadata[]", "metadata.team", "metadata", "team"):
        with pytest.raises(openai.UnprocessableEntityError):
            found(extra_query={name: "a"})
    with pytest.raises(openai.UnprocessableEntityError, match="does not go with"):
        found(extra_query={"metadata": "null", "metadata[a]": "b"})


def test_only_the_list_of_jobs_takes_metadata(mine: Client) -> None:
    made = mine.jobs.create(**JOB).id

    with pytest.raises(openai.UnprocessableEntityError, match="no such parameter"):
        mine.jobs.retrieve(made, extra_query={"metadata[a]": "b"})


def test_a_job_is_cancelled_paused_and_resumed(service: Service, mine: Client, ana: Person) -> None:
    made = mine.jobs.create(**JOB)

    assert mine.checked(mine.jobs.pause(made.id)).status == "paused"
    assert mine.checked(mine.jobs.retrieve(made.id)).status == "paused"
    assert mine.checked(mine.jobs.resume(made.id)).status == "queued"
    assert mine.checked(mine.jobs.cancel(made.id)).status == "cancelled"
    for verb in (mine.jobs.cancel, mine.jobs.pause, mine.jobs.resume):
        with pytest.raises(openai.ConflictError) as refusal:
            verb(made.id)
        assert refusal.value.code == "state_conflict"
        assert refusal.value.response.headers["x-should-retry"] == "false"
    done = [(row.action, row.outcome) for row in service.audit(user_id=ana.user.id)][::-1]
    assert done[:4] == [(f"task.{verb}", "ok") for verb in ("submit", "pause", "resume", "cancel")]
    assert done[4:] == [(f"task.{verb}", "failed") for verb in ("cancel", "pause", "resume")]
    messages = [event.message for event in mine.checked(mine.jobs.list_events(made.id)).data]
    assert messages == ["cancelled", "resumed", "paused", "submitted"]


def test_events_are_paged_from_the_newest_back(service: Service, mine: Client) -> None:
    made = mine.jobs.create(**JOB)
    for _ in range(3):
        mine.jobs.pause(made.id)
        mine.jobs.resume(made.id)

    first = mine.checked(mine.jobs.list_events(made.id, limit=3))
    everything = [event.message for event in mine.jobs.list_events(made.id, limit=2)]

    assert ([event.message for event in first.data], first.has_more) == (["resumed", "paused", "resumed"], True)
    assert everything == ["resumed", "paused"] * 3 + ["submitted"]
    assert {(event.level, event.type, event.object) for event in first.data} == {
        ("info", "message", "fine_tuning.job.event")
    }


def test_a_job_that_runs_validates_its_files_first(service: Service, mine: Client) -> None:
    made = mine.jobs.create(**JOB)
    store, task = service.services.jobs.store, experiment_of(made)
    attempt = store.claim(task, "test")

    assert mine.checked(mine.jobs.retrieve(made.id)).status == "validating_files"

    config = store.get(task).config
    store.record_plan(task, attempt, "test", config=config, fingerprint="0" * 64, dataset_hash="1" * 64)
    store.heartbeat(task, attempt, "test", {"step": 1, "total": 9, "loss": 0.5, "eta_s": 3600.0})
    running = mine.checked(mine.jobs.retrieve(made.id))
    assert running.status == "running"
    assert running.estimated_finish > running.created_at + 3000
    assert mine.checked(mine.jobs.cancel(made.id)).status == "running"  # until its next heartbeat
    store.finish(task, attempt, "test", Status.REVOKED)
    ended = mine.checked(mine.jobs.retrieve(made.id))
    assert (ended.status, ended.estimated_finish, ended.error) == ("cancelled", None, None)


def test_a_job_that_failed_says_why(service: Service, mine: Client) -> None:
    made = mine.jobs.create(**JOB)
    store, task = service.services.jobs.store, experiment_of(made)
    attempt = store.claim(task, "test")
    why = DataError("row 3 has no label", where="train.csv", hint="add one").to_dict()
    store.finish(task, attempt, "test", Status.FAILURE, error=why)

    failed = mine.checked(mine.jobs.retrieve(made.id))

    assert failed.status == "failed"
    assert failed.error.to_dict() == {
        "code": "data_invalid",
        "message": "row 3 has no label. add one",
        "param": "training_file",
    }
    (event, *_) = mine.checked(mine.jobs.list_events(made.id)).data
    assert event.level == "error"


def test_a_job_that_succeeded_names_its_model_its_results_and_its_checkpoints(
    service: Service, mine: Client, ana: Person, clients: Clients, bo: Person
) -> None:
    made = mine.jobs.create(**JOB, suffix="Größe 2")
    task = experiment_of(made)
    leave_a_run(service, task)

    done = mine.checked(mine.jobs.retrieve(made.id))

    assert (done.status, done.trained_tokens) == ("succeeded", 250)
    assert done.fine_tuned_model == f"ft:minilm:{ana.name}:groe-2:{task}"
    assert done.result_files == [f"file-results-{task}"]
    kept = mine.checked(mine.jobs.checkpoints.list(made.id))
    assert [one.step_number for one in kept.data] == [6, 4]
    newest = kept.data[0]
    assert newest.fine_tuned_model_checkpoint == f"{done.fine_tuned_model}:ckpt-step-6"
    assert newest.metrics.to_dict() == {
        "step": 6.0,
        "train_loss": 0.25,
        "valid_loss": 0.3,
        "valid_mean_token_accuracy": 0.9,
        "full_valid_loss": 0.3,
        "full_valid_mean_token_accuracy": 0.9,
    }
    assert [one.step_number for one in mine.jobs.checkpoints.list(made.id, limit=1)] == [6, 4]
    own = mine.checked(mine.models.retrieve(done.fine_tuned_model))
    assert (own.id, own.owned_by) == (done.fine_tuned_model, ana.name)
    listed = [one.id for one in mine.checked(mine.models.list()).data]
    assert (listed[0], listed[-1]) == ("builtin:minilm", done.fine_tuned_model)
    with pytest.raises(openai.PermissionDeniedError):
        clients(bo).models.retrieve(done.fine_tuned_model)
    with pytest.raises(openai.NotFoundError):
        mine.models.retrieve(f"ft:other:{ana.name}:groe-2:{task}")
    measured = [one for one in mine.jobs.list_events(made.id) if one.type == "metrics"]
    assert measured[0].data == {
        "step": 6,
        "train_loss": 0.25,
        "valid_loss": 0.3,
        "valid_accuracy": 0.9,
        "valid_f1_macro": 0.8,
    }


def leave_a_run(service: Service, task: str) -> None:
    """What a training leaves behind: its journal, two checkpoints and one that is not whole; begun again at step 4."""
    store = service.services.jobs.store
    attempt = store.claim(task, "test")
    folder = ExperimentFolder.create(service.settings.results_dir, task)
    lines: list[dict[str, Any]] = [
        *({"kind": "step", "step": step, "loss": 1 / step, "learning_rate": 1e-3} for step in range(1, 6)),
        {"kind": "step", "step": 4, "loss": 0.3},
        {"kind": "evaluation", "step": 4, "metrics": {"loss": 0.4, "accuracy": 0.8, "f1_macro": 0.7}},
        {"kind": "step", "step": 6, "loss": 0.25, "learning_rate": 1e-4},
        {"kind": "evaluation", "step": 6, "metrics": {"loss": 0.3, "accuracy": 0.9, "f1_macro": 0.8}},
    ]
    for line in lines:
        folder.append_json(folder.progress_jsonl, line)
    with folder.progress_jsonl.open("a") as file:
        file.write('{"kind": "step", "st')  # being written
    for step in (4, 6):
        (folder.artifacts / f"checkpoint-{step}").mkdir()
        (folder.artifacts / f"checkpoint-{step}" / "manifest.json").write_text("{}")
    (folder.artifacts / "checkpoint-8").mkdir()
    store.heartbeat(task, attempt, "test", None, [("evaluation", "step 6: accuracy 0.9", 6), ("warning", "slow", 6)])
    metrics = {"train": {"tokens_per_s": 100.0, "runtime_s": 2.5}, "eval": {"accuracy": 0.9}}
    store.finish(task, attempt, "test", Status.SUCCESS, metrics=metrics)


def test_models_are_those_that_may_be_trained(service: Service, mine: Client) -> None:
    base, *hub = mine.checked(mine.models.list()).data

    assert (base.id, base.owned_by) == ("builtin:minilm", "finetune30")
    assert [one.id for one in hub] == list(service.settings.model_allowlist)
    assert mine.checked(mine.models.retrieve(base.id)) == base
    for name in ("gpt-4o-mini", "ft:minilm:ana:x:nobody_20260101_000000", "ft:a:b", "org/name"):
        with pytest.raises(openai.NotFoundError) as refusal:
            mine.models.retrieve(name)
        assert refusal.value.code == "model_not_found"


def test_a_hub_model_that_is_allowed_is_found_by_its_name(tmp_path: Path) -> None:
    with serving(tmp_path, {"MODEL_ALLOWLIST": "org/name,plain"}) as service:
        client = Client(service, service.person())
        assert [one.id for one in client.models.list()] == ["builtin:minilm", "org/name", "plain"]
        assert client.checked(client.models.retrieve("org/name")).owned_by == "org"
        made = client.checked(client.jobs.create(model="org/name", training_file="builtin:reviews"))
        assert made.model == "org/name"
        client.close()


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": "gpt-4o-mini"}, "model"),
        ({"training_file": "/etc/passwd"}, "training_file"),
        ({"training_file": "file-0123456789abcdef"}, "training_file"),
        ({"validation_file": "file-0123456789abcdef"}, "validation_file"),
        ({"suffix": "../up"}, "suffix"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"seed": -1}, "seed"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": 1.5}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": "many"}}, "hyperparameters.batch_size"),
        ({"hyperparameters": {"learning_rate_multiplier": 0}}, "hyperparameters.learning_rate_multiplier"),
        ({"method": {"type": "dpo", "dpo": {}}}, "method.type"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "x"}}]}, "integrations"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {"k" * 65: "v"}}, "metadata."),
        ({"metadata": {str(number): "v" for number in range(17)}}, "metadata"),
        ({"extra_body": {"nobody": "knows"}}, "nobody"),
    ],
)
def test_what_is_wrong_is_named_by_its_parameter(
    service: Service, mine: Client, changes: dict[str, Any], param: str
) -> None:
    before = service.count()

    with pytest.raises(openai.UnprocessableEntityError) as refusal:
        mine.jobs.create(**{**JOB, **changes})

    body = mine.heard.bodies[-1]
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert str(refusal.value.param).startswith(param)
    assert refusal.value.type == "invalid_request_error"
    assert refusal.value.request_id == mine.heard.headers["x-request-id"]
    assert "passwd" not in json.dumps(body)
    assert service.count() == before


def test_refusals_become_the_errors_of_the_client(
    service: Service, clients: Clients, mine: Client, bo: Person, admin: Person
) -> None:
    made, other = mine.jobs.create(**JOB), clients(bo)

    with pytest.raises(openai.AuthenticationError) as anonymous:
        clients(None).jobs.list()
    assert (anonymous.value.type, anonymous.value.code) == ("authentication_error", "token_refused")
    assert anonymous.value.response.headers["www-authenticate"].startswith("Bearer")
    for ask in (other.jobs.retrieve, other.jobs.cancel, other.jobs.list_events, other.jobs.checkpoints.list):
        with pytest.raises(openai.PermissionDeniedError) as foreign:
            ask(made.id)
        assert foreign.value.type == "permission_error"
    with pytest.raises(openai.NotFoundError) as unknown:
        mine.jobs.retrieve("ftjob-nobody_20260101_000000")
    assert (unknown.value.type, unknown.value.code) == ("not_found_error", "not_found")
    with pytest.raises(openai.UnprocessableEntityError):
        mine.jobs.retrieve("ftjob-ABC")
    with pytest.raises(openai.NotFoundError):
        mine.api.get("/nothing", cast_to=httpx2.Response)
    with pytest.raises(openai.APIStatusError, match="does not take this method"):
        mine.api.delete("/fine_tuning/jobs", cast_to=httpx2.Response)
    assert made.id in [one.id for one in clients(admin).jobs.list()]
    assert [one.id for one in other.jobs.list()] == []


def test_too_many_requests_and_too_many_jobs_are_rate_limits(tmp_path: Path) -> None:
    with serving(tmp_path, {"WRITES_PER_MINUTE": 4, "MAX_JOBS_PER_USER": 1}) as service:
        client = Client(service, service.person())
        client.jobs.create(**JOB)
        with pytest.raises(openai.RateLimitError) as quota:
            client.jobs.create(**JOB)
        assert (quota.value.code, quota.value.response.headers["x-should-retry"]) == ("quota_exceeded", "false")
        often = quota
        while often.value.code == "quota_exceeded":
            with pytest.raises(openai.RateLimitError) as often:
                client.jobs.create(**JOB)
        assert (often.value.code, often.value.type) == ("too_many_requests", "rate_limit_error")
        assert int(often.value.response.headers["retry-after"]) >= 1
        client.close()


def test_the_client_for_async_programs_does_the_same(service: Service, ana: Person) -> None:
    asyncio.run(_go_through_asynchronously(service, ana))


async def _go_through_asynchronously(service: Service, ana: Person) -> None:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=ana.token, **options) as client:
        jobs = client.fine_tuning.jobs
        made = await jobs.create(**JOB, suffix="async")
        assert (await jobs.retrieve(made.id)).id == made.id
        assert [one.id async for one in jobs.list(limit=1)] == [made.id]
        assert [one.message async for one in jobs.list_events(made.id)] == ["submitted"]
        assert (await jobs.cancel(made.id)).status == "cancelled"
        with pytest.raises(openai.NotFoundError):
            await jobs.retrieve("ftjob-nobody_20260101_000000")
        strictly(type(made), made.to_dict(mode="json"))


_QUERIES = (
    *("limit=0", "limit=1001", "limit=٣", "after=", "after=ftjob-x", "after=ftevent-0", "after=ftevent-9999999999"),
    *("after=ftckpt-a-999999999999", "metadata=null&metadata=null", "metadata[a]=b&metadata[a]=c", "metadata[%00]=b"),
    *("metadata[a]=%00", "metadata[a]=%ff", "metadata[a]=" + "x" * 600, "metadata[" + "x" * 70 + "]=1"),
    *("metadata[a][b]=c", "purpose=fine-tune-results&after=file-results-nobody", "order=up", "after=file-results-x"),
)
_PATHS = (
    *("/v1/models/%2F", "/v1/models/", "/v1/models/ft:a:b:c:", "/v1/models/ft:a:b:c:%00", "/v1/models/..%2f.."),
    *("/v1/files/file-results-", "/v1/files/FILE", "/v1/fine_tuning/jobs/ftjob-", "/v1/", "/v1/nothing"),
)


def test_nothing_that_is_asked_for_is_a_fault_of_the_server(ana: Person, mine: Client) -> None:
    job = mine.jobs.create(**JOB).id
    jobs = "/v1/fine_tuning/jobs"
    lists = ("/v1/files", jobs, f"{jobs}/{job}/events", f"{jobs}/{job}/checkpoints")

    for asked in (*(f"{path}?{query}" for path in lists for query in _QUERIES), *_PATHS):
        answer = ana.get(asked)
        assert answer.status_code in (200, 404, 422), (asked, answer.text)
        assert answer.status_code == 200 or set(answer.json()) == {"error"}, asked
