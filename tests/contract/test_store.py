"""The store of experiments: the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from finetune30 import access, database, registry, webhooks
from finetune30.config import ExperimentConfig
from finetune30.errors import AlreadyClaimed, BadInput, LeaseLost, NotFound, StateError, StorageError
from finetune30.experiments import LEGAL_MOVES, ExperimentStore, Outcome, Status, indexes

W1, W2 = "w1", "w2"
TERMINAL = [status for status in Status if status.is_terminal]


def config(name: str = "reviews") -> ExperimentConfig:
    return ExperimentConfig(experiment_name=name)


def create(store: ExperimentStore, name: str = "reviews") -> str:
    return store.create(config(name), owner="ana", tz="UTC").id


def expire(store: ExperimentStore, experiment_id: str) -> None:
    """Let the lease run out now instead of waiting for it."""
    _set(store, experiment_id, "lease_expires_at = lease_expires_at - 1000")


def _set(store: ExperimentStore, experiment_id: str, assignment: str) -> None:
    with database.write(store._engine) as connection:
        statement = text(f"UPDATE experiments SET {assignment} WHERE id = :id")  # noqa: S608  # our own words
        connection.execute(statement, {"id": experiment_id})


def history(store: ExperimentStore, experiment_id: str) -> list[tuple[int, str, Outcome | None]]:
    return [(line.attempt, line.worker, line.outcome) for line in store.attempts(experiment_id)]


# Making ----------------------------------------------------------------------------------------


def test_a_new_experiment_is_pending_and_keeps_what_it_was_asked(store: ExperimentStore) -> None:
    asked = config("Café 情感")

    made = store.create(asked, owner="ana", tz="Asia/Taipei", resumed_from="old_20260101_000000")

    assert made == store.get(made.id)
    assert (made.status, made.attempt, made.paused, made.cancel_requested) == (
        Status.PENDING,
        0,
        False,
        False,
    )
    assert (made.name, made.owner, made.resumed_from) == ("Café 情感", "ana", "old_20260101_000000")
    assert made.config == asked.model_dump(mode="json")
    assert (made.base_model, made.dataset) == (asked.model.name, asked.data.dataset_name)
    assert (made.fingerprint, made.progress, made.error) == (asked.fingerprint, None, None)


def test_an_id_is_slug_date_and_time_in_the_zone_asked_for(store: ExperimentStore) -> None:
    utc = store.create(config("My Run"), owner="ana", tz="UTC")
    _set(store, utc.id, "created_at = created_at")
    taipei = store.create(config("情感"), owner="ana", tz="Asia/Taipei")

    assert utc.id.startswith("my-run_20")
    assert taipei.id.startswith("run_20")
    hours = (int(taipei.id.split("_")[2][:2]) - int(utc.id.split("_")[2][:2])) % 24
    assert hours in (8, 9)


def test_experiments_made_in_one_second_get_different_ids(store: ExperimentStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: create(store), range(40)))

    assert len(set(ids)) == 40 == len(store.find())


def test_processes_that_open_a_new_database_at_once_all_succeed(url: str) -> None:
    program = (
        "import sys; from finetune30 import database; from finetune30.config import ExperimentConfig\n"
        "from finetune30.experiments import ExperimentStore\n"
        "engine = database.open_engine(sys.argv[1]); database.upgrade(engine)\n"
        "store = ExperimentStore(engine, 60)\n"
        "for _ in range(5): print(store.create(ExperimentConfig(), owner='ana', tz='UTC').id)\n"
    )
    command = [sys.executable, "-c", program, url]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    ids = [line for racer in racers for line in racer.communicate(timeout=120)[0].split()]

    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(set(ids)) == 20


# Claiming --------------------------------------------------------------------------------------


def test_second_worker_cannot_claim_a_running_experiment(store: ExperimentStore) -> None:
    id = create(store)
    assert store.claim(id, W1) == 1

    with pytest.raises(AlreadyClaimed, match="running on w1"):
        store.claim(id, W2)
    assert store.get(id).lease_owner == W1


def test_eight_threads_claim_fifty_experiments_and_none_twice(store: ExperimentStore) -> None:
    ids = [create(store) for _ in range(50)]
    start = Barrier(8)

    def claim_all(number: int) -> list[str]:
        start.wait()
        won = []
        for id in ids:
            try:
                store.claim(id, f"w{number}")
            except AlreadyClaimed:
                continue
            won.append(id)
        return won

    with ThreadPoolExecutor(8) as pool:
        won = [id for claimed in pool.map(claim_all, range(8)) for id in claimed]

    assert Counter(won) == Counter(ids)
    assert all(store.get(id).attempt == 1 for id in ids)


def test_an_expired_lease_can_be_taken_over_and_a_live_one_cannot(store: ExperimentStore) -> None:
    id = create(store)
    store.claim(id, W1)
    assert store.get(id).lease_live

    expire(store, id)

    orphaned = store.get(id)
    assert not orphaned.lease_live
    assert store.claim(id, W2) == 2
    assert store.get(id).started_at == orphaned.started_at  # of the experiment, not of the attempt
    assert history(store, id) == [(1, W1, Outcome.LOST), (2, W2, None)]


def test_a_row_that_never_got_a_lease_counts_as_expired(store: ExperimentStore) -> None:
    id = create(store)
    store.claim(id, W1)
    _set(store, id, "lease_expires_at = NULL, started_at = NULL")

    assert store.claim(id, W2) == 2


def test_a_dead_owners_lease_is_not_waited_for(store: ExperimentStore) -> None:
    id = create(store)
    store.claim(id, W1)

    with pytest.raises(AlreadyClaimed):
        store.claim(id, W2, dead_owner="somebody else")
    assert store.claim(id, W2, dead_owner=W1) == 2


def test_eight_threads_take_over_one_dead_run_and_one_wins(store: ExperimentStore) -> None:
    id = create(store)
    store.claim(id, "dead")
    start = Barrier(8)

    def take(number: int) -> bool:
        start.wait()
        try:
            store.claim(id, f"w{number}", dead_owner="dead")
        except AlreadyClaimed:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1
    assert store.get(id).attempt == 2


def test_a_paused_experiment_is_resumed_by_a_person_not_by_a_looking_worker(store: ExperimentStore) -> None:
    id = create(store)
    paused = store.pause(id, store.claim(id, W1), W1)
    assert (paused.status, paused.paused, paused.lease_owner) == (Status.PENDING, True, None)

    with pytest.raises(StateError, match="is paused"):
        store.claim(id, W2, take_paused=False)
    assert store.claim(id, W2) == 2
    assert not store.get(id).paused
    assert history(store, id) == [(1, W1, Outcome.PAUSED), (2, W2, None)]


# Running ---------------------------------------------------------------------------------------


def test_a_heartbeat_prolongs_the_lease_and_notes_the_progress(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)
    _set(store, id, "lease_expires_at = lease_expires_at - 30")
    before = store.get(id)

    assert (
        store.heartbeat(id, attempt, W1, {"step": 3, "total": 10, "loss": math.nan, "eta_s": 7.0}).cancel_requested
        is False
    )
    assert store.heartbeat(id, attempt, W1).cancel_requested is False

    after = store.get(id)
    assert (after.lease_expires_at or 0) > (before.lease_expires_at or 0) + 20
    assert after.progress == {"step": 3, "total": 10, "loss": None, "eta_s": 7.0}


def test_a_finished_experiment_keeps_its_figures_and_frees_its_lease(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)
    store.record_plan(id, attempt, W1, config={"seed": 7}, fingerprint="f" * 64, dataset_hash="abc")
    planned = store.get(id)
    assert (planned.dataset_hash, planned.config, planned.fingerprint) == ("abc", {"seed": 7}, "f" * 64)

    metrics = {"train": {"runtime_s": 12.5}, "eval": {"accuracy": 0.9}}
    done = store.finish(id, attempt, W1, Status.SUCCESS, metrics=metrics, dataset_hash="def")

    assert done == store.get(id)
    assert (done.status, done.train_runtime, done.eval_accuracy) == (Status.SUCCESS, 12.5, 0.9)
    assert (done.metrics, done.dataset_hash, done.lease_owner, done.lease_live) == (
        metrics,
        "def",
        None,
        False,
    )
    assert done.created_at <= (done.started_at or 0) <= (done.finished_at or 0)
    assert history(store, id) == [(1, W1, Outcome.SUCCESS)]


def test_nan_and_infinity_become_null_in_strict_json(store: ExperimentStore) -> None:
    id = create(store)
    metrics = {
        "train": {"loss": math.inf, "runtime_s": math.nan},
        "eval": {"accuracy": -math.inf, "list": [math.nan, 1]},
    }
    store.finish(
        id,
        store.claim(id, W1),
        W1,
        Status.FAILURE,
        metrics=metrics,
        error={"code": "x", "message": "a\0b\ud800"},
    )

    read = store.get(id)

    assert read.metrics == {
        "train": {"loss": None, "runtime_s": None},
        "eval": {"accuracy": None, "list": [None, 1]},
    }
    assert (read.train_runtime, read.eval_accuracy) == (None, None)
    json.dumps(read.to_dict(), allow_nan=False)
    assert read.error == {"code": "x", "message": "a\ufffdb?"}


@pytest.mark.parametrize("verb", ["heartbeat", "record_plan", "finish", "pause"])
def test_who_lost_the_lease_changes_nothing(store: ExperimentStore, verb: str) -> None:
    id = create(store)
    stale = store.claim(id, W1)
    expire(store, id)
    store.claim(id, W2)
    before, lines = store.get(id), store.attempts(id)

    acts = {
        "heartbeat": lambda: store.heartbeat(id, stale, W1, {"step": 1}),
        "record_plan": lambda: store.record_plan(id, stale, W1, config={}, fingerprint="", dataset_hash="stale"),
        "finish": lambda: store.finish(id, stale, W1, Status.SUCCESS, metrics={"eval": {"accuracy": 1.0}}),
        "pause": lambda: store.pause(id, stale, W1),
    }
    with pytest.raises(LeaseLost, match="attempt 2 on w2 has it"):
        acts[verb]()

    assert (store.get(id), store.attempts(id)) == (before, lines)


def test_the_same_worker_with_an_older_attempt_is_a_stranger(store: ExperimentStore) -> None:
    id = create(store)
    stale = store.claim(id, W1)
    store.claim(id, W1, dead_owner=W1)

    with pytest.raises(LeaseLost):
        store.finish(id, stale, W1, Status.SUCCESS)
    assert store.get(id).status is Status.STARTED


def test_another_worker_with_the_right_attempt_is_a_stranger(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)

    with pytest.raises(LeaseLost):
        store.finish(id, attempt, W2, Status.SUCCESS)
    assert store.get(id).status is Status.STARTED


def test_a_terminal_row_stays_so_even_if_a_lease_was_left_on_it(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)
    store.finish(id, attempt, W1, Status.REVOKED)
    _set(store, id, f"lease_owner = '{W1}', lease_expires_at = created_at + 10000")

    with pytest.raises(LeaseLost):
        store.finish(id, attempt, W1, Status.SUCCESS)
    assert store.get(id).status is Status.REVOKED


def test_a_stale_finish_after_the_takeover_finished_changes_nothing(store: ExperimentStore) -> None:
    id = create(store)
    stale = store.claim(id, W1)
    expire(store, id)
    done = store.finish(id, store.claim(id, W2), W2, Status.SUCCESS, metrics={"eval": {"accuracy": 0.8}})

    with pytest.raises(LeaseLost, match="it is SUCCESS"):
        store.finish(id, stale, W1, Status.FAILURE, error={"code": "late"})
    assert store.get(id) == done


def test_writing_to_a_deleted_experiment_is_a_lost_lease(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)
    expire(store, id)
    store.delete(id)

    with pytest.raises(LeaseLost, match="it was deleted"):
        store.heartbeat(id, attempt, W1)


# States ----------------------------------------------------------------------------------------


def ended(store: ExperimentStore, status: Status) -> str:
    id = create(store)
    store.finish(id, store.claim(id, W1), W1, status)
    return id


def test_terminal_states_lead_nowhere() -> None:
    assert {status for status, moves in LEGAL_MOVES.items() if not moves} == set(TERMINAL)
    assert set(LEGAL_MOVES) == set(Status)


@pytest.mark.parametrize("status", TERMINAL)
def test_a_terminal_state_is_final(store: ExperimentStore, status: Status) -> None:
    id = ended(store, status)
    before = store.get(id)

    with pytest.raises(StateError, match=f"is {status}"):
        store.claim(id, W2, dead_owner=W1)
    with pytest.raises(StateError, match=f"is {status}"):
        store.cancel(id)
    for change in (store.heartbeat, store.pause):
        with pytest.raises(LeaseLost):
            change(id, 1, W1)
    with pytest.raises(LeaseLost):
        store.finish(id, 1, W1, Status.SUCCESS)
    assert store.get(id) == before


@pytest.mark.parametrize("status", [Status.PENDING, Status.STARTED])
def test_an_experiment_cannot_end_in_a_state_that_is_no_end(store: ExperimentStore, status: Status) -> None:
    id = create(store)
    attempt = store.claim(id, W1)

    with pytest.raises(StateError, match="cannot end as"):
        store.finish(id, attempt, W1, status)


def test_an_experiment_that_nobody_claimed_cannot_be_finished(store: ExperimentStore) -> None:
    id = create(store)

    with pytest.raises(LeaseLost):
        store.finish(id, 0, W1, Status.SUCCESS)
    assert store.get(id).status is Status.PENDING


def test_a_waiting_experiment_is_cancelled_at_once(store: ExperimentStore) -> None:
    id = create(store)

    assert store.cancel(id).status is Status.REVOKED
    assert store.get(id).finished_at is not None
    with pytest.raises(StateError, match="is REVOKED"):
        store.claim(id, W1)


def test_a_running_experiment_hears_of_the_cancel_at_its_heartbeat(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)

    asked = store.cancel(id)

    assert (asked.status, asked.cancel_requested, asked.lease_owner) == (Status.STARTED, True, W1)
    assert store.heartbeat(id, attempt, W1).cancel_requested is True
    assert store.finish(id, attempt, W1, Status.REVOKED).status is Status.REVOKED
    assert history(store, id) == [(1, W1, Outcome.REVOKED)]


def test_a_run_whose_process_is_gone_is_cancelled_at_once(store: ExperimentStore) -> None:
    id = create(store)
    store.claim(id, W1)
    expire(store, id)

    assert store.cancel(id).status is Status.REVOKED
    assert history(store, id) == [(1, W1, Outcome.LOST)]


def test_g10_what_is_being_cancelled_does_not_end_in_success(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)
    store.cancel(id)

    assert store.finish(id, attempt, W1, Status.SUCCESS).status is Status.REVOKED
    assert history(store, id) == [(1, W1, Outcome.REVOKED)]


def test_a_run_asked_to_stop_is_not_taken_over(store: ExperimentStore) -> None:
    id = create(store)
    store.claim(id, W1)
    store.cancel(id)
    expire(store, id)

    with pytest.raises(StateError, match="being cancelled"):
        store.claim(id, W2)
    assert store.cancel(id).status is Status.REVOKED


def test_pausing_what_was_cancelled_meanwhile_revokes_it(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)
    store.cancel(id)

    ended = store.pause(id, attempt, W1)

    assert (ended.status, ended.paused, ended.finished_at is not None) == (Status.REVOKED, False, True)


# Finding and deleting --------------------------------------------------------------------------


def test_an_unknown_id_is_not_found_and_near_ones_are_named(store: ExperimentStore) -> None:
    id = create(store)

    with pytest.raises(NotFound) as caught:
        store.get(id[:-1] + "x")
    assert id in (caught.value.hint or "")


@pytest.mark.parametrize("odd", ["", "../x", "a\0b", "\ud800", "x" * 1000, "%", "'; DROP TABLE experiments; --"])
def test_a_string_that_is_no_id_is_not_found(store: ExperimentStore, odd: str) -> None:
    create(store)

    for ask in (store.get, store.match, store.cancel, store.delete, lambda id: store.claim(id, W1)):
        with pytest.raises(NotFound):
            ask(odd)
    assert store.attempts(odd) == []
    assert len(store.find()) == 1


def test_the_beginning_of_an_id_finds_it_when_it_is_the_only_one(store: ExperimentStore) -> None:
    first, second = create(store, "first_a"), create(store, "firstXa")

    assert store.match(first).id == first
    assert store.match("first_").id == first
    assert store.match("FIRSTX").id == second
    with pytest.raises(NotFound, match="2 experiments begin with 'first'"):
        store.match("first")


def test_an_id_that_also_begins_another_finds_itself(store: ExperimentStore) -> None:
    ids = [create(store) for _ in range(30)]
    short = next(id for id in ids if any(other.startswith(id + "_") for other in ids))

    assert store.match(short).id == short


def finished(store: ExperimentStore, name: str, accuracy: float | None, runtime: float | None) -> str:
    id = create(store, name)
    metrics = {"train": {"runtime_s": runtime}, "eval": {"accuracy": accuracy}}
    store.finish(id, store.claim(id, W1), W1, Status.SUCCESS, metrics=metrics)
    return id


def names(store: ExperimentStore, **filters: object) -> list[str]:
    return [found.name for found in store.find(**filters)]  # type: ignore[arg-type]  # any filter


def test_filters_narrow_and_sorting_orders_alike_everywhere(store: ExperimentStore) -> None:
    finished(store, "alpha", 0.9, 10.0)
    finished(store, "Beta 1.0", 0.7, 30.0)
    finished(store, "gamma_x", None, None)
    create(store, "ÄPFEL")

    assert names(store) == ["ÄPFEL", "gamma_x", "Beta 1.0", "alpha"]
    assert names(store, desc=False) == ["alpha", "Beta 1.0", "gamma_x", "ÄPFEL"]
    assert names(store, sort_by="name", desc=False) == ["alpha", "Beta 1.0", "gamma_x", "ÄPFEL"]
    assert names(store, sort_by="eval_accuracy") == ["alpha", "Beta 1.0", "ÄPFEL", "gamma_x"]
    assert names(store, sort_by="eval_accuracy", desc=False)[:2] == ["Beta 1.0", "alpha"]
    assert names(store, sort_by="train_runtime", limit=1) == ["Beta 1.0"]
    assert names(store, min_accuracy=0.8) == ["alpha"]
    assert names(store, max_runtime=10) == ["alpha"]
    assert names(store, status=Status.PENDING) == ["ÄPFEL"]
    assert names(store, ended=False) == ["ÄPFEL"]
    assert names(store, ended=True, sort_by="finished_at", limit=2) == ["gamma_x", "Beta 1.0"]
    assert (store.count(), store.count(ended=True, limit=1), store.count(status=Status.FAILURE)) == (4, 3, 0)
    assert names(store, name="BETA") == ["Beta 1.0"]
    assert names(store, name="äpf") == ["ÄPFEL"]
    assert names(store, name="%") == []
    assert names(store, name="_") == ["gamma_x"]
    assert names(store, name="\0") == []


def test_a_time_window_holds_what_was_made_within(store: ExperimentStore) -> None:
    first = store.create(config("first"), owner="ana", tz="UTC")
    second = store.create(config("second"), owner="ana", tz="UTC")

    assert names(store, start=second.created_at) == ["second"]
    assert names(store, end=first.created_at) == ["first"]


@pytest.mark.parametrize("filters", [{"sort_by": "owner; DROP TABLE x"}, {"limit": 0}, {"limit": 2**63}])
def test_a_wrong_filter_is_bad_input(store: ExperimentStore, filters: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="expected"):
        names(store, **filters)


def test_the_newest_is_the_one_made_last(store: ExperimentStore) -> None:
    with pytest.raises(NotFound, match="no experiment yet"):
        store.newest()
    done = finished(store, "done", 0.5, 1.0)
    waiting = create(store, "waiting")

    assert store.newest().id == waiting
    assert store.newest(Status.SUCCESS).id == done
    with pytest.raises(NotFound, match="in FAILURE"):
        store.newest(Status.FAILURE)


def test_a_running_experiment_cannot_be_deleted(store: ExperimentStore) -> None:
    id = create(store)
    store.claim(id, W1)

    with pytest.raises(StateError, match="running on w1"):
        store.delete(id)
    assert store.get(id).status is Status.STARTED


def test_deleting_forgets_the_experiment_and_its_history(store: ExperimentStore) -> None:
    id, other = ended(store, Status.SUCCESS), ended(store, Status.FAILURE)

    store.delete(id)

    with pytest.raises(NotFound):
        store.get(id)
    assert (store.attempts(id), len(store.attempts(other))) == ([], 1)
    with pytest.raises(NotFound):
        store.delete(id)


# Schema and database ---------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_the_code(store: ExperimentStore) -> None:
    assert access.Users  # brings its tables, too
    assert indexes  # and those the indexes
    assert registry.Models
    assert webhooks.Webhooks
    with database.read(store._engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, database.metadata) == []
        assert database.revision(connection) == database.newest_revision()


def test_the_migrations_make_exactly_the_indexes_of_the_code(store: ExperimentStore) -> None:
    """Order of columns and conditions, too, which Alembic's comparison passes over."""
    ours = store._engine
    wanted = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
    if ours.dialect.name == "sqlite":
        wanted = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"

    def indexes() -> set[str]:
        with database.read(ours) as connection:
            found = connection.scalars(text(wanted)).all()
        return {" ".join(one.split()) for one in found if "alembic" not in one}

    migrated = indexes()
    with database.write(ours) as connection:
        database.metadata.drop_all(connection)
        database.metadata.create_all(connection)

    assert indexes() == migrated


def test_the_newest_migration_can_be_taken_back(store: ExperimentStore) -> None:
    with database.write(store._engine) as connection:
        config = Config()
        config.set_main_option("script_location", str(database.MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        assert database.revision(connection) == "0003"
    database.upgrade(store._engine)

    assert create(store) == store.find()[0].id


def test_upgrading_twice_changes_nothing(store: ExperimentStore) -> None:
    id = create(store)

    database.upgrade(store._engine)

    assert store.get(id).id == id


def test_a_database_of_a_newer_program_is_refused(store: ExperimentStore) -> None:
    with database.write(store._engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StorageError, match="schema 9999"):
        database.upgrade(store._engine)


def test_the_databases_clock_moves_within_a_transaction(store: ExperimentStore) -> None:
    with database.write(store._engine) as connection:
        times = {connection.scalar(text(f"SELECT {database.now().compile(connection)}")) for _ in range(200)}

    assert len(times) > 1
    assert max(times) - min(times) < 60


def test_eight_writers_never_meet_a_locked_database(store: ExperimentStore) -> None:
    id = create(store)
    attempt = store.claim(id, W1)

    def beat(number: int) -> None:
        for step in range(25):
            store.heartbeat(id, attempt, W1, {"step": step, "writer": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(beat, range(8)))

    progress = store.get(id).progress
    assert progress
    assert progress["step"] == 24
