"""Submitting: durable before it is answered, one job for one key, turns for owners, names that last."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import finetune30
from finetune30.errors import BadInput, DataError, IdempotencyConflict, ModelError, NotFound, QuotaExceeded, StateError
from finetune30.experiments import ExperimentFolder, Status, Wish
from finetune30.jobs import Jobs
from tests.jobs.plant import Plant, config
from tests.proxy import Proxy
from tests.servers import RedisServer

MakePlant = Callable[..., Plant]
SUBMIT = [sys.executable, "-m", "finetune30", "jobs", "submit", "--json"]


@pytest.fixture(params=["E", "P"])
def site(make_plant: MakePlant, request: pytest.FixtureRequest) -> Plant:
    """A plant on each database; no worker is started."""
    return make_plant(request.param)


def surroundings(plant: Plant) -> dict[str, str]:
    """The environment of a person on another terminal."""
    package = str(Path(finetune30.__file__).parents[1])
    return {**os.environ, **{name: str(value) for name, value in plant.env.items()}, "PYTHONPATH": package}


def submit_elsewhere(plant: Plant, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``finetune30 jobs submit`` as a process of its own."""
    return subprocess.run(
        [*SUBMIT, *arguments], env=surroundings(plant), cwd=plant.home, capture_output=True, text=True, check=False
    )


# G8: durable before it is answered ------------------------------------------------------------------


def test_g8_the_row_is_flushed_to_the_disk_before_the_answer_is_written(make_plant: MakePlant, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if (
        strace is None
        or subprocess.run([strace, "-o", os.devnull, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("strace is not here or may not trace")
    plant = make_plant("E")
    assert plant.store.find() == []  # makes the database, so that only the submission writes
    calls = "trace=fdatasync,fsync,write,pwrite64"

    done = subprocess.run(
        [strace, "-f", "-y", "-s", "4096", "-e", calls, "-o", str(tmp_path / "calls"), *SUBMIT],
        env=surroundings(plant),
        cwd=plant.home,
        capture_output=True,
        text=True,
        check=True,
    )

    job = json.loads(done.stdout)["task_id"]
    lines = (tmp_path / "calls").read_text(errors="replace").splitlines()
    answered = next(n for n, line in enumerate(lines) if re.search(r" write\(1<.*task_id", line))
    written = [n for n, line in enumerate(lines[:answered]) if "pwrite64(" in line and "experiments.db-wal>" in line]
    flushed = [n for n, line in enumerate(lines[:answered]) if "fdatasync(" in line and "experiments.db-wal>" in line]
    assert any(job in lines[n] for n in written)
    assert flushed
    assert written[-1] < flushed[-1]


def test_g8_who_saw_the_answer_finds_the_row_though_the_submitter_was_killed(site: Plant) -> None:
    process = subprocess.Popen(
        SUBMIT, env=surroundings(site), cwd=site.home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        answer = json.loads(process.stdout.readline())
        process.kill()
        process.wait()

    assert site.get(answer["task_id"]).status is Status.PENDING


# G9: one key, one job ---------------------------------------------------------------------------------


def test_g9_thirty_submissions_with_one_key_at_once_make_one_job(site: Plant) -> None:
    def submit(number: int) -> str:
        jobs = Jobs(site.make_settings())  # a pool of connections each, as processes have
        try:
            return jobs.submit(config("plain"), "ana", Wish(idempotency_key="k")).id
        finally:
            jobs.close()

    with ThreadPoolExecutor(30) as pool:
        made = set(pool.map(submit, range(30)))

    assert len(made) == 1
    assert [row.id for row in site.store.find()] == list(made)


def test_g9_processes_that_submit_with_one_key_make_one_job(site: Plant) -> None:
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: submit_elsewhere(site, "--idempotency-key", "k"), range(3)))

    assert len({json.loads(one.stdout)["task_id"] for one in done}) == 1
    assert len(site.store.find()) == 1


@pytest.mark.parametrize(
    ("name", "wish"),
    [("other", {}), ("plain", {"priority": 1}), ("plain", {"max_runtime_s": 60.0})],
    ids=["configuration", "priority", "runtime"],
)
def test_g9_a_key_that_made_something_else_is_refused(site: Plant, name: str, wish: dict[str, Any]) -> None:
    made = site.submit(idempotency_key="k")

    with pytest.raises(IdempotencyConflict, match=made):
        site.submit(name, idempotency_key="k", **wish)

    assert [row.id for row in site.store.find()] == [made]


def test_g9_a_key_belongs_to_its_owner_and_outlives_its_job(site: Plant) -> None:
    made = site.submit(idempotency_key="k")
    assert site.submit(owner="bob", idempotency_key="k") != made

    site.jobs.cancel(made)

    assert site.submit(idempotency_key="k") == made
    assert site.get(made).status is Status.REVOKED


# G17: without the broker ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["refused", "blackhole", "mute"])
def test_g17_a_submission_is_accepted_whatever_the_broker_does(
    make_plant: MakePlant, redis_server: RedisServer, free_port: int, fault: str
) -> None:
    wire = Proxy(redis_server.port)
    address = f"redis://127.0.0.1:{free_port if fault == 'refused' else wire.port}/0"
    if fault != "refused":
        wire.become(fault)
    jobs = Jobs(make_plant("E", BROKER_URL=address).settings)

    try:
        made = jobs.submit(config("plain"), "ana")

        assert jobs.store.get(made.id).status is Status.PENDING
        assert jobs.queue.due(10, 60) == [(made.id, "train")]  # to be rung again by any keeper
    finally:
        jobs.close()
        wire.close()


def test_the_message_of_a_submission_holds_its_id_and_nothing_of_its_configuration(make_plant: MakePlant) -> None:
    plant = make_plant("R", QUEUES="train,large")
    job = plant.submit(queue="large")

    assert plant.servers.redis is not None
    with plant.servers.redis.client() as client:
        (message,) = client.lrange("finetune30:large", 0, -1)

    assert job.encode() in message
    assert b"minilm" not in message
    assert plant.queue.due(10, 60) == []


# G20: turns and quotas --------------------------------------------------------------------------------


def test_g20_five_hundred_jobs_of_one_delay_the_first_of_another_by_one_slot(site: Plant) -> None:
    def next_owner() -> str:
        taken = site.queue.claim_next("w1", queues=("train",), free=1, total=2)
        assert taken is not None
        return taken.experiment.owner

    for _ in range(500):  # straight into the table: what is asked is the order
        site.queue.submit(config("plain"), "ana", tz="UTC")
    assert next_owner() == "ana"
    first_of_bob = site.submit(owner="bob", priority=-100)

    place = site.jobs.place(first_of_bob)

    assert place is not None
    assert place.position == 1
    assert site.jobs.waiting()[0].id == first_of_bob
    assert [next_owner(), next_owner(), next_owner()] == ["bob", "ana", "ana"]


def test_g20_owners_take_turns_in_the_order_the_list_says(site: Plant) -> None:
    for owner in ("ana", "ana", "ana", "bob", "bob", "cy"):
        site.submit(owner=owner)
    foreseen = [row.id for row in site.jobs.waiting()]

    taken = []
    while (one := site.queue.claim_next("w1", queues=("train",), free=1, total=1)) is not None:
        taken.append(one.experiment.id)

    assert [site.get(one).owner for one in taken] == ["ana", "bob", "cy", "ana", "bob", "ana"]
    assert taken == foreseen


def test_g20_a_priority_orders_the_jobs_of_its_owner_only(site: Plant) -> None:
    low, high = site.submit(priority=1), site.submit(priority=2)
    site.submit(owner="bob", priority=-5)

    order = [row.id for row in site.jobs.waiting()]

    assert order.index(high) < order.index(low)
    assert [site.get(one).owner for one in order] == ["ana", "bob", "ana"]


def test_g20_a_quota_bounds_the_unfinished_jobs_of_one_owner(make_plant: MakePlant) -> None:
    plant = make_plant("E", MAX_JOBS_PER_USER=2)
    first = plant.submit(idempotency_key="k")
    plant.submit()

    with pytest.raises(QuotaExceeded, match="ana has 2 unfinished jobs"):
        plant.submit()
    assert plant.submit(idempotency_key="k") == first  # nothing new
    plant.submit(owner="bob")
    plant.jobs.cancel(first)
    plant.submit()


def test_g20_a_quota_holds_for_submissions_at_once(make_plant: MakePlant) -> None:
    plant = make_plant("P", MAX_JOBS_PER_USER=5)

    def submit(_: int) -> bool:
        try:
            plant.submit()
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(submit, range(16))) == 5


# Names and wishes ---------------------------------------------------------------------------------------


def told(**values: object) -> Any:
    """A configuration with these values of ``data.dataset_name`` and ``model.name``."""
    from finetune30.config import from_mapping

    named = {"model": {"name": values.get("model", "builtin:minilm")}}
    return from_mapping({**named, "data": {"dataset_name": values.get("data", "builtin:reviews")}})


def test_names_mean_the_same_in_any_working_directory(
    make_plant: MakePlant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Callable[[str], Path]
) -> None:
    plant = make_plant("E")
    (tmp_path / "rows.csv").write_text("text,label\n", encoding="utf-8")
    (tmp_path / "model").symlink_to(tiny_model("bert"))
    monkeypatch.chdir(tmp_path)

    kept = plant.jobs.submit(told(data="rows.csv", model="./model"), "ana").config

    assert kept["data"]["dataset_name"] == str(tmp_path / "rows.csv")
    assert Path(kept["model"]["name"]).is_absolute()
    assert Path(kept["model"]["name"]).samefile(tiny_model("bert"))
    hub = plant.jobs.submit(told(data="stanfordnlp/sst2", model="distilbert-base-uncased"), "ana").config
    assert (hub["data"]["dataset_name"], hub["model"]["name"]) == ("stanfordnlp/sst2", "distilbert-base-uncased")


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"data": "./none.csv"}, DataError),
        ({"data": "builtin:review"}, DataError),
        ({"data": "version:none"}, NotFound),
        ({"model": "./none"}, ModelError),
        ({"model": "builtin:none"}, ModelError),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_refused_before_there_is_a_row(
    make_plant: MakePlant, values: dict[str, str], error: type[BadInput]
) -> None:
    plant = make_plant("E")

    with pytest.raises(error):
        plant.jobs.submit(told(**values), "ana")

    assert plant.store.find() == []


def test_the_longest_runtime_is_what_the_operator_allows_unless_less_is_asked(make_plant: MakePlant) -> None:
    plant = make_plant("E", MAX_RUNTIME_S=600)

    assert plant.get(plant.submit()).max_runtime_s == 600
    assert plant.get(plant.submit(max_runtime_s=60.0)).max_runtime_s == 60
    with pytest.raises(BadInput, match="at most 600"):
        plant.submit(max_runtime_s=601.0)
    with pytest.raises(BadInput, match="at least 10"):
        plant.submit(max_runtime_s=9.0)


# Again --------------------------------------------------------------------------------------------------


def ended(plant: Plant, status: Status, *, checkpoint: bool = True) -> str:
    """A job that a worker has run to this end."""
    return end(plant, plant.submit(priority=4, max_runtime_s=99.0), status, checkpoint=checkpoint)


def end(plant: Plant, job: str, status: Status, *, checkpoint: bool = True) -> str:
    """Run the only job that waits to this end, with a checkpoint or without."""
    taken = plant.queue.claim_next("w1", queues=("train",), free=1, total=1)
    assert taken is not None
    assert taken.experiment.id == job
    folder = ExperimentFolder.create(plant.settings.results_dir, job)
    if checkpoint:
        (folder.artifacts / "checkpoint-8").mkdir()
    plant.store.finish(job, taken.attempt, "w1", status)
    return job


@pytest.mark.parametrize("status", [Status.FAILURE, Status.REVOKED])
def test_a_failed_job_goes_on_as_a_new_one_which_others_may_not_do_at_once(site: Plant, status: Status) -> None:
    job = ended(site, status)

    again = site.jobs.retry(job, "ana")

    assert (again.resumed_from, again.continues, again.status) == (job, True, Status.PENDING)
    assert (again.priority, again.max_runtime_s, again.config) == (4, 99, site.get(job).config)
    with pytest.raises(StateError, match=f"already continued by {again.id}"):
        site.jobs.retry(job, "bob")
    assert not site.jobs.retry(job, "ana", fresh=True).continues

    site.jobs.cancel(again.id)
    assert site.get(job).status is status  # as it was
    for row in site.store.find(resumed_from=job, status=Status.PENDING):
        site.jobs.cancel(row.id)
    assert site.jobs.retry(job, "ana").id != again.id


def test_a_retry_of_a_retry_goes_on_from_where_the_checkpoints_are(site: Plant) -> None:
    first = ended(site, Status.FAILURE)
    second = end(site, site.jobs.retry(first, "ana").id, Status.FAILURE, checkpoint=False)
    third = end(site, site.jobs.retry(second, "ana").id, Status.FAILURE, checkpoint=False)

    again = site.jobs.retry(second, "ana")

    assert (site.get(third).resumed_from, site.get(third).continues) == (first, True)
    assert (again.resumed_from, again.continues, again.status) == (first, True, Status.PENDING)
    for one in (first, second, third):  # they share their checkpoints
        with pytest.raises(StateError, match=f"{one} is already continued by {again.id}"):
            site.jobs.retry(one, "bob")


def test_who_goes_on_is_held_to_the_rows_that_the_checkpoints_were_trained_on(site: Plant) -> None:
    first = site.submit()
    taken = site.queue.claim_next("w1", queues=("train",), free=1, total=1)
    assert taken is not None
    plan = {"config": taken.experiment.config, "fingerprint": taken.experiment.fingerprint, "dataset_hash": "f" * 64}
    site.store.record_plan(first, 1, "w1", **plan)
    (ExperimentFolder.create(site.settings.results_dir, first).artifacts / "checkpoint-8").mkdir()
    site.store.finish(first, 1, "w1", Status.FAILURE)
    second = end(site, site.jobs.retry(first, "ana").id, Status.FAILURE, checkpoint=False)

    assert site.get(second).dataset_hash == "f" * 64
    assert site.jobs.retry(second, "ana").dataset_hash == "f" * 64
    assert site.jobs.retry(second, "ana", fresh=True).dataset_hash is None


def test_what_left_no_checkpoint_begins_anew_and_says_so(site: Plant) -> None:
    job = ended(site, Status.FAILURE, checkpoint=False)

    again = site.jobs.retry(job, "ana")

    assert (again.resumed_from, again.continues) == (job, False)
    with pytest.raises(StateError, match=f"{job} is already run again by {again.id}"):
        site.jobs.retry(job, "bob")
    end(site, again.id, Status.FAILURE, checkpoint=False)
    assert site.jobs.retry(again.id, "ana").resumed_from == again.id


def test_a_retry_outlives_the_job_whose_checkpoints_are_deleted(site: Plant) -> None:
    first = ended(site, Status.FAILURE)
    second = end(site, site.jobs.retry(first, "ana").id, Status.FAILURE, checkpoint=False)
    site.store.delete(first)
    ExperimentFolder(site.settings.results_dir, first).delete()

    assert not site.jobs.retry(second, "ana").continues


def test_a_job_that_succeeded_runs_anew(site: Plant) -> None:
    job = ended(site, Status.SUCCESS)

    again, more = site.jobs.retry(job, "ana"), site.jobs.retry(job, "ana")

    assert {again.id, more.id, job} == {row.id for row in site.store.find()}
    assert (again.resumed_from, again.continues) == (job, False)


def test_a_job_runs_anew_though_some_who_ran_it_before_are_forgotten(site: Plant) -> None:
    job = ended(site, Status.SUCCESS)
    first, second = site.jobs.retry(job, "ana"), site.jobs.retry(job, "ana")
    site.store.cancel(first.id)
    site.store.delete(first.id)

    third = site.jobs.retry(job, "ana")
    site.store.cancel(third.id)
    site.store.delete(third.id)
    fourth = site.jobs.retry(job, "ana")

    assert third.id != second.id
    assert fourth.id != second.id
    assert fourth.status is Status.PENDING


def test_a_retry_may_ask_for_more_time_another_priority_and_another_queue(make_plant: MakePlant) -> None:
    plant = make_plant("E", QUEUES="train,large")
    job = ended(plant, Status.FAILURE)

    again = plant.jobs.retry(job, "ana", max_runtime_s=7200.0, priority=-3, queue="large")

    assert (again.max_runtime_s, again.priority, again.queue, again.continues) == (7200, -3, "large", True)
    with pytest.raises(BadInput, match="there is no queue 'huge'"):
        plant.jobs.retry(job, "ana", fresh=True, queue="huge")


def test_two_who_retry_at_the_same_moment_with_other_wishes_do_not_both_go_on(site: Plant) -> None:
    job = ended(site, Status.FAILURE)

    def retry(number: int) -> str:
        try:
            return site.jobs.retry(job, "ana", priority=number).id
        except StateError:  # and no IdempotencyConflict: nobody gave a key
            return ""

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(retry, range(8)))

    assert len(made - {""}) == 1
    assert len(site.store.find(resumed_from=job)) == 1


def test_two_who_retry_at_the_same_moment_get_one_job(site: Plant) -> None:
    job = ended(site, Status.FAILURE)

    def retry(_: int) -> str:
        try:
            return site.jobs.retry(job, "ana").id
        except StateError:  # it saw the other's
            return ""

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(retry, range(8)))

    assert len(made - {""}) == 1
    assert len(site.store.find(resumed_from=job)) == 1
