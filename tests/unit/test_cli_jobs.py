"""``finetune30 jobs``: fixed shapes for scripts, one clear sentence for people, and a mere look makes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli_cases import Cli, run_here

from finetune30.cli.user import local_user
from finetune30.config import ExperimentConfig
from finetune30.experiments import ExperimentFolder, Status
from finetune30.jobs import Jobs
from finetune30.settings import Settings, get_settings


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TZ", "UTC")
    return run_here(monkeypatch, capsys, tmp_path)


@pytest.fixture
def queue(cli: Cli) -> Iterator[Jobs]:
    """The same queue from inside."""
    jobs = Jobs(get_settings())
    yield jobs
    jobs.close()


def submitted(cli: Cli, *arguments: str) -> str:
    done = cli("jobs", "submit", *arguments, "--json")
    assert done.code == 0, done.err
    return str(done.json["task_id"])


def test_submit_show_and_list_have_the_shapes_scripts_read(cli: Cli) -> None:
    made = cli("jobs", "submit", "--set", "lora.r=4", "--priority", "7", "--max-runtime", "30m", "--json").json
    assert (made["status"], made["owner"], made["queue"], made["priority"]) == ("PENDING", local_user(), "train", 7)
    assert (made["max_runtime_s"], made["position"], made["starts_in_s"]) == (1800, 1, None)

    shown = cli("jobs", "show", made["task_id"][:-3], "--json").json
    assert {"task_id", "status", "attempt", "progress", "error", "paused", "attempts", "events"} <= shown.keys()
    assert (shown["task_id"], shown["status"], shown["attempt"]) == (made["task_id"], "PENDING", 0)
    assert (shown["progress"], shown["error"], shown["attempts"]) == (None, None, [])
    assert [event["status"] for event in shown["events"]] == ["PENDING"]
    assert shown["config"]["lora"]["r"] == 4

    (listed,) = cli("jobs", "list", "--json").json["jobs"]
    assert (listed["task_id"], listed["status"], listed["owner"]) == (made["task_id"], "PENDING", local_user())


def test_progress_and_errors_have_the_shapes_scripts_read(cli: Cli, queue: Jobs) -> None:
    job = submitted(cli)
    claimed = queue.queue.claim_next("w1", queues=("train",), free=1, total=1)
    assert claimed is not None
    queue.store.heartbeat(job, claimed.attempt, "w1", {"step": 3, "total": 12, "loss": 0.5, "eta_s": 90.0})

    shown = cli("jobs", "show", job, "--json").json
    assert shown["progress"] == {"step": 3, "total": 12, "loss": 0.5, "eta_s": 90.0}
    assert (shown["worker"], shown["attempt"], shown["position"]) == ("w1", 1, None)
    assert "STARTED 25%" in cli("jobs", "list").out
    assert "ends in about 1m 30s" in cli("jobs", "list").out
    assert "step 3 of 12, loss 0.5000" in cli("jobs", "show", job).out

    error = {"code": "diverged", "message": "the loss is NaN", "where": None, "hint": "lower it"}
    queue.store.finish(job, claimed.attempt, "w1", Status.FAILURE, error=error)
    assert cli("jobs", "show", job, "--json").json["error"] == error
    assert "the loss is NaN" in cli("jobs", "show", job).out


def test_a_person_is_told_the_place_and_that_no_worker_runs(cli: Cli) -> None:
    first = cli("jobs", "submit")
    assert "next in the queue" in first.out
    assert first.err == "no worker is running; start one with: finetune30 worker\n"
    assert "place 2 in the queue" in cli("jobs", "submit").out
    assert "no worker is running" in cli("jobs", "list").err


def test_a_person_is_told_when_a_job_will_start(cli: Cli, queue: Jobs) -> None:
    queue.queue.seen("w1", host="here", slots=1, busy=0, queues=["train"])
    first = cli("jobs", "submit")
    assert "next in the queue, starts as soon as a worker looks" in first.out
    assert first.err == ""

    job = first.out.split()[0]
    assert queue.queue.claim_next("w1", queues=("train",), free=1, total=1) is not None
    metrics = {"train": {"runtime_s": 600.0}, "eval": {"accuracy": 0.9}}
    queue.store.finish(job, 1, "w1", Status.SUCCESS, metrics=metrics)
    cli("jobs", "submit")
    assert "place 2 in the queue, starts in about 10m 00s" in cli("jobs", "submit").out


def test_a_job_that_is_tried_again_in_a_while_says_so(cli: Cli, queue: Jobs) -> None:
    queue.queue.seen("w1", host="here", slots=1, busy=0, queues=["train"])
    job = submitted(cli)
    queue.queue.claim_next("w1", queues=("train",), free=1, total=1)
    error = {"code": "killed", "message": "ended by signal 9", "where": None, "hint": None}
    queue.queue.release(job, 1, "w1", error=error, delay_s=600)

    assert "is tried again in about" in cli("jobs", "show", job).out
    listed = cli("jobs", "list").out
    assert "tried again in about" in listed
    assert "as soon as a worker looks" not in listed
    shown = cli("jobs", "show", job, "--json").json
    assert shown["position"] == 1
    assert shown["starts_in_s"] > 60
    other = cli("jobs", "submit")  # it need not wait for that
    assert "next in the queue, starts as soon as a worker looks" in other.out
    assert [one["position"] for one in cli("jobs", "list", "--json").json["jobs"]] == [1, 2]
    assert cli("jobs", "list", "--json").json["jobs"][1]["task_id"] == job


def test_a_job_that_no_worker_has_the_devices_for_says_so(cli: Cli, queue: Jobs) -> None:
    queue.queue.seen("w1", host="here", slots=1, busy=0, queues=["train"])
    told = cli("jobs", "submit", "--set", "training.num_processes=2")

    assert "no worker has 2 devices" in told.out
    assert "as soon as a worker looks" not in told.out
    assert "no worker has 2 devices" in told.err
    job = told.out.split()[0]
    assert cli("jobs", "show", job, "--json").json["starts_in_s"] is None
    assert "no worker has 2 devices" in cli("jobs", "list").err

    queue.queue.seen("w2", host="there", slots=2, busy=0, queues=["train"])
    assert "next in the queue, starts as soon as a worker looks" in cli("jobs", "show", job).out
    assert cli("jobs", "list").err == ""


def test_the_list_shows_what_runs_then_what_waits_in_its_order(cli: Cli, queue: Jobs) -> None:
    running = submitted(cli)
    queue.queue.claim_next("w1", queues=("train",), free=1, total=1)
    ended, low, high, paused = submitted(cli), submitted(cli), submitted(cli, "--priority", "9"), submitted(cli)
    cli("jobs", "cancel", ended)
    cli("jobs", "pause", paused)

    jobs = cli("jobs", "list", "--json").json["jobs"]

    assert [job["task_id"] for job in jobs] == [running, high, low, paused, ended]
    assert [job["position"] for job in jobs] == [None, 1, 2, None, None]
    assert len(cli("jobs", "list", "--limit", "2", "--json").json["jobs"]) == 2
    revoked = cli("jobs", "list", "--status", "revoked", "--json").json["jobs"]
    assert [job["task_id"] for job in revoked] == [ended]


def test_the_list_for_people_ends_with_the_newest_that_ended(cli: Cli, queue: Jobs) -> None:
    def make() -> str:
        return queue.submit(ExperimentConfig(), "ana").id

    ended = [make() for _ in range(23)]
    for one in [*ended[1:], ended[0]]:  # the first one made is the last one to end
        queue.cancel(one)
    waiting = [make() for _ in range(2)]

    listed = cli("jobs", "list")
    shown = [line.split()[0] for line in listed.out.splitlines()[1:]]
    newest = [one.id for one in queue.store.find(ended=True, sort_by="finished_at")]
    assert shown == [*waiting, *newest[:20]]
    assert ended[0] in shown
    last = "3 older ones are not shown; see all with: finetune30 jobs list --all, or some with --limit N\n"
    assert listed.err.endswith(last)

    assert len(cli("jobs", "list", "--all").out.splitlines()) == 26
    assert "not shown" not in cli("jobs", "list", "--all").err + cli("jobs", "list", "--limit", "25").err
    assert len(cli("jobs", "list", "--json").json["jobs"]) == 25
    few = cli("jobs", "list", "--status", "revoked", "--limit", "2")
    assert [line.split()[0] for line in few.out.splitlines()[1:]] == newest[:2]
    assert few.err.startswith("21 more are not shown")
    assert "--all and --limit" in cli("jobs", "list", "--all", "--limit", "3").err


def test_pause_resume_cancel_and_retry_say_what_happens_next(cli: Cli) -> None:
    job = submitted(cli)
    paused = cli("jobs", "pause", job)
    assert f"is paused; go on with: finetune30 jobs resume {job}" in paused.out
    assert "(paused)" in cli("jobs", "list").out
    assert "next in the queue" in cli("jobs", "resume", job).out
    assert cli("jobs", "cancel", job).out == f"{job} is REVOKED\n"

    again = cli("jobs", "retry", job, "--json").json
    assert (again["resumed_from"], again["continues"], again["status"]) == (job, False, "PENDING")
    twice = cli("jobs", "retry", job)
    assert twice.code == 2
    assert f"already run again by {again['task_id']}" in twice.err
    assert cli("jobs", "retry", job, "--fresh", "--json").json["continues"] is False


def test_a_retry_says_from_where_it_begins(cli: Cli) -> None:
    first = submitted(cli)
    cli("jobs", "cancel", first)
    anew = cli("jobs", "retry", first).out
    assert f"; begins at step 0: {first} left no checkpoint to go on from" in anew
    second = anew.split()[0]
    cli("jobs", "cancel", second)

    (ExperimentFolder.create(get_settings().results_dir, second).artifacts / "checkpoint-3").mkdir()

    on = cli("jobs", "retry", second).out
    assert f"; goes on from the checkpoints of {second}" in on
    cli("jobs", "cancel", on.split()[0])
    assert cli("jobs", "retry", second, "--fresh").out.endswith("; begins at step 0\n")


def test_a_job_that_timed_out_can_be_given_more_time(cli: Cli, queue: Jobs) -> None:
    job = submitted(cli, "--max-runtime", "10m")
    queue.queue.claim_next("w1", queues=("train",), free=1, total=1)
    queue.store.finish(job, 1, "w1", Status.FAILURE)

    again = cli("jobs", "retry", job, "--max-runtime", "2h", "--priority", "5", "--queue", "train", "--json").json

    assert (again["max_runtime_s"], again["priority"], again["resumed_from"]) == (7200, 5, job)
    assert "--max-runtime is 'long'" in cli("jobs", "retry", job, "--max-runtime", "long").err


def test_a_running_job_is_paused_at_its_next_checkpoint_and_goes_on_if_resumed_before(cli: Cli, queue: Jobs) -> None:
    job = submitted(cli)
    queue.queue.claim_next("w1", queues=("train",), free=1, total=1)

    assert "is paused at its next checkpoint" in cli("jobs", "pause", job).out
    assert cli("jobs", "show", job, "--json").json["pause_requested"] is True
    assert "is to be paused at a checkpoint" in cli("jobs", "show", job).out
    assert cli("jobs", "resume", job).out == f"{job}  runs\n"
    assert "stops at its next heartbeat" in cli("jobs", "cancel", job).out


def test_the_same_key_answers_the_same_job(cli: Cli) -> None:
    first, second = (submitted(cli, "--idempotency-key", "k") for _ in range(2))
    assert first == second

    other = cli("jobs", "submit", "--idempotency-key", "k", "--set", "lora.r=2", "--json")
    assert (other.code, other.json["error"]["code"]) == (2, "idempotency_conflict")
    assert len(cli("jobs", "list", "--json").json["jobs"]) == 1


def test_a_users_quota_is_an_error_that_says_what_to_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_JOBS_PER_USER", "1")
    submitted(cli)

    refused = cli("jobs", "submit", "--json")

    assert (refused.code, refused.json["error"]["code"]) == (2, "quota_exceeded")
    assert "cancel some" in refused.err


def test_the_log_of_a_job_is_that_of_its_run(cli: Cli) -> None:
    job = submitted(cli)
    assert "has no log yet" in cli("jobs", "logs", job).err

    ExperimentFolder.create(get_settings().results_dir, job).logs_txt.write_text("began\n", encoding="utf-8")
    assert cli("jobs", "logs", job).out == "began\n"

    cli("jobs", "cancel", job)
    assert cli("jobs", "logs", job, "-f").out == "began\n"


def test_a_job_that_ended_without_a_log_says_so_and_why(cli: Cli, queue: Jobs) -> None:
    cancelled, failed = submitted(cli), submitted(cli)
    cli("jobs", "cancel", cancelled)
    queue.queue.claim_next("w1", queues=("train",), free=1, total=1)
    error = {"code": "crashed", "message": "no such program", "where": "python9", "hint": "install it"}
    queue.store.finish(failed, 1, "w1", Status.FAILURE, error=error)

    for more in ((), ("-f",)):
        told = cli("jobs", "logs", failed, *more)
        assert (told.code, told.out) == (0, "")
        assert told.err == f"{failed} ended as FAILURE without a log: python9: no such program; install it\n"
        assert cli("jobs", "logs", cancelled, *more).err == f"{cancelled} ended as REVOKED before it began: no log\n"


def test_who_would_resume_what_a_worker_runs_is_told_of_the_queue(cli: Cli, queue: Jobs) -> None:
    job = submitted(cli)
    queue.queue.claim_next("w1", queues=("train",), free=1, total=1)

    refused = cli("train", "--resume", job, "--json")

    assert (refused.code, refused.json["error"]["code"]) == (2, "already_claimed")
    assert f"finetune30 jobs pause {job}" in refused.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["submit", "--priority", "101"], "the priority is 101, expected -100 to 100"),
        (["submit", "--priority", "high"], "--priority"),
        (["submit", "--queue", "large"], "there is no queue 'large'; there is train"),
        (["submit", "--max-runtime", "soon"], "--max-runtime is 'soon', expected seconds"),
        (["submit", "--max-runtime", "0"], "--max-runtime is '0'"),
        (["submit", "--max-runtime", "5s"], "the longest runtime is 5 s, expected at least 10"),
        (["submit", "--idempotency-key", ""], "has 0 characters, expected 1 to 200"),
        (["submit", "--idempotency-key", "x" * 201], "has 201 characters"),
        (["submit", "--set", "lora.rr=2"], "did you mean lora.r?"),
        (["submit", "--learning-rate", "fast"], "training.learning_rate"),
        (["submit", "--set", "data.dataset_name=./none.csv"], "no such file or folder"),
        (["submit", "--set", "data.dataset_name=version:none"], "none"),
        (["submit", "--set", "model.name=./none"], "no such folder"),
        (["submit", "--set", "model.name=builtin:minilmm"], "did you mean builtin:minilm?"),
        (["submit", "none.yaml"], "none.yaml"),
        (["submit", "a.yaml", "--config", "b.yaml"], "two configurations"),
        (["list", "--status", "running"], "expected one of PENDING, STARTED"),
        (["list", "--limit", "0"], "--limit is 0, expected at least 1"),
        *(([verb, "nobody"], "there is no experiment 'nobody'") for verb in ("show", "cancel", "pause", "resume")),
        (["retry", "nobody"], "there is no experiment 'nobody'"),
        (["logs", "nobody"], "there is no experiment 'nobody'"),
        (["lst"], "Did you mean 'list'?"),
    ],
)
def test_bad_input_is_one_sentence_and_makes_nothing(cli: Cli, arguments: list[str], told: str) -> None:
    done = cli("jobs", *arguments)

    assert done.code == 2
    assert told in done.err
    assert not Path("results").exists()


def test_a_mere_look_at_an_empty_queue_makes_nothing(cli: Cli) -> None:
    assert cli("jobs", "list", "--json").json == {"jobs": []}
    assert cli("jobs", "list").err == "no jobs\n"
    assert cli("db", "status", "--json").json["revision"] is None
    assert not Path("results").exists()


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_an_ended_job_is_never_changed(cli: Cli, verb: str) -> None:
    job = submitted(cli)
    cli("jobs", "cancel", job)

    refused = cli("jobs", verb, job, "--json")

    assert (refused.code, refused.json["error"]["code"]) == (2, "state_conflict")
    assert cli("jobs", "show", job, "--json").json["status"] == "REVOKED"


def test_a_job_that_has_not_ended_is_not_run_again(cli: Cli) -> None:
    job = submitted(cli)
    refused = cli("jobs", "retry", job)
    assert refused.code == 2
    assert f"{job} is waiting, expected a job that has ended" in refused.err

    cli("jobs", "pause", job)
    assert f"finetune30 jobs resume {job}" in cli("jobs", "retry", job).err


def test_a_job_waits_in_the_queue_it_was_sent_to(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUES", "small,large")
    assert cli("jobs", "submit", "--json").json["queue"] == "small"

    sent = cli("jobs", "submit", "--queue", "large")

    assert "next in the queue" in sent.out  # of its own queue
    assert sent.err == "no worker that serves large is running; start one with: finetune30 worker --queues large\n"
    refused = cli("worker", "--queues", "small,huge")
    assert (refused.code, "huge, expected some of small, large" in refused.err) == (2, True)


def test_the_database_says_its_schema_and_is_brought_up_to_date(cli: Cli) -> None:
    assert "not made yet" in cli("db", "status").out

    made = cli("db", "upgrade", "--json").json

    assert (made["before"], made["revision"] >= "0002") == (None, True)
    assert "up to date" in cli("db", "status").out
    assert "already" in cli("db", "upgrade").out
    assert cli("db", "status", "--json").json == {
        "database": str(Path("results").absolute() / "experiments.db"),
        "revision": made["revision"],
        "newest": made["revision"],
        "up_to_date": True,
    }


@pytest.mark.parametrize(("text", "wanted"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1 d", 86400)])
def test_spans_of_time_are_written_as_people_do(cli: Callable[..., object], text: str, wanted: float) -> None:
    made = cli("jobs", "submit", "--max-runtime", text, "--json")
    assert made.json["max_runtime_s"] == wanted  # type: ignore[attr-defined]
