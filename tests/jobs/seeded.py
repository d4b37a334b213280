"""The seeded bugs of ``mutants``: what people get wrong in queues, in the words of our code.

Many are bugs that other systems had (docs/jobs.md names them). Neighbour: ``mutants`` tries them.
"""

from __future__ import annotations

from dataclasses import dataclass

_ROWS = "tests/jobs/test_guarantees_rows.py"
_WORKER = "tests/jobs/test_guarantees_worker.py"
_OUTAGE = "tests/jobs/test_guarantees_outage.py"
_SLEEPS = f"{_OUTAGE}::test_g3_g4_who_sleeps_past_the_lease_does_nothing_when_it_wakes"


@dataclass(frozen=True)
class Mutant:
    """A bug: (file, text, text instead) for each edit, and the tests that must notice.

    Attributes:
        needs: A program without which those tests are skipped.
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]
    needs: str | None = None


def _mutant(
    name: str, path: str, old: str, new: str, *tests: str, more: tuple[tuple[str, str, str], ...] = ()
) -> Mutant:
    return Mutant(name, ((path, old, new), *more), tests)


_MOVES = "experiments/moves.py"
_QUEUE = "experiments/queue.py"
_LINE = "worker/line.py"
_SUPERVISOR = "worker/supervisor.py"

MUTANTS = (
    _mutant(
        "the fencing token is not checked",
        _MOVES,
        ".where(row.attempt == attempt, row.lease_owner == worker)",
        ".where(row.lease_owner == worker)",
        f"{_ROWS}::test_g4_who_lost_the_lease_changes_nothing",
    ),
    _mutant(
        "the reaper does not look at the state",
        _MOVES,
        "return and_(row.status == Status.STARTED, lease_expired)",
        "return lease_expired",
        f"{_ROWS}::test_g4_an_ended_job_is_changed_by_nobody",
    ),
    _mutant(
        "a claim is select-then-update",
        _MOVES,
        ".where(this(experiment_id), ready())\n        .values(started_by",
        ".where(this(experiment_id))\n        .values(started_by",
        f"{_ROWS}::test_g3_a_claimed_job_is_not_claimed_again",
        more=((_QUEUE, "chosen = chosen.with_for_update(of=experiments, skip_locked=True)", "pass"),),
    ),
    _mutant(
        "a lease that is NULL never expires",
        "experiments/tables.py",
        "_lease_end = func.coalesce(row.lease_expires_at, row.started_at, row.created_at)",
        "_lease_end = row.lease_expires_at",
        f"{_ROWS}::test_g16_a_started_job_without_a_lease_is_found",
    ),
    _mutant(
        "heartbeats do not prolong the lease",
        "experiments/store.py",
        'values: dict[str, Any] = {"lease_expires_at": database.now() + self.lease_s}',
        'values: dict[str, Any] = {"lease_expires_at": row.lease_expires_at}',
        f"{_ROWS}::test_g3_a_living_lease_is_not_reaped",
    ),
    _mutant(
        "failures are not counted",
        _MOVES,
        "failures = row.failures + case((and_(counts, ~row.cancel_requested), 1), else_=0)",
        "failures = row.failures + case((and_(counts, ~row.cancel_requested), 0), else_=0)",
        f"{_ROWS}::test_g6_the_last_try_is_the_last",
    ),
    _mutant(
        "one try too many",
        _MOVES,
        "and_(counts, failures >= max_attempts)",
        "and_(counts, failures > max_attempts)",
        f"{_ROWS}::test_g6_the_last_try_is_the_last",
    ),
    _mutant(
        "a drain counts as a failure",
        _MOVES,
        "counts = literal(False) if counts is None else counts",
        "counts = literal(True) if counts is None else counts",
        f"{_ROWS}::test_g6_what_a_worker_gives_back_calmly_does_not_count",
    ),
    _mutant(
        "what is given back forgets that it was cancelled",
        _MOVES,
        '"status": case(\n            (row.cancel_requested, Status.REVOKED.value), (last,',
        '"status": case(\n            (last,',
        f"{_ROWS}::test_g10_a_job_to_be_cancelled_never_waits_again",
    ),
    _mutant(
        "a cancel changes what has ended",
        _MOVES,
        ".where(this(experiment_id), may_become(Status.REVOKED))",
        ".where(this(experiment_id))",
        f"{_ROWS}::test_g4_an_ended_job_is_changed_by_nobody",
    ),
    _mutant(
        "a waiting job is cancelled only by a worker",
        _MOVES,
        "idle = or_(row.status == Status.PENDING, lease_expired)",
        "idle = and_(row.status == Status.STARTED, lease_expired)",
        f"{_ROWS}::test_g10_a_job_that_waits_is_cancelled_at_once",
    ),
    _mutant(
        "workers take paused jobs",
        _MOVES,
        "return and_(row.status == Status.PENDING, ~row.paused, ~row.cancel_requested, due)",
        "return and_(row.status == Status.PENDING, ~row.cancel_requested, due)",
        f"{_WORKER}::test_a_paused_job_waits_and_goes_on_where_it_stopped",
    ),
    _mutant(
        "lost messages are not sent again",
        "jobs/keeper.py",
        "due, silent = self._queue.due(_AT_ONCE, self._ring_again_s), False",
        "due, silent = [], False",
        f"{_OUTAGE}::test_g17_an_idle_worker_hears_of_a_job_whose_message_was_lost",
        more=(
            (
                "worker/serve.py",
                "poll(shop, orders, settings.poll_s if settings.broker_url is None else settings.ring_again_s)",
                "poll(shop, orders, 600)",
            ),
        ),
    ),
    Mutant(
        "the lease is judged by a worker's own clock",
        (
            (
                "experiments/tables.py",
                "lease_expired: ColumnElement[bool] = _lease_end < now()",
                "import time\n\nfrom sqlalchemy import bindparam\n\n"
                "lease_expired: ColumnElement[bool] = _lease_end < bindparam('at', callable_=time.time, unique=True)",
            ),
        ),
        (f"{_OUTAGE}::test_g3_a_worker_whose_clock_is_wrong_takes_no_job_from_another",),
        needs="faketime",
    ),
    _mutant(
        "nobody reaps",
        "jobs/keeper.py",
        "None if self._stood_still() else self._queue.reap",
        "None",
        f"{_SLEEPS}[E-both]",
    ),
    _mutant(
        "an attempt does not fence itself",
        _LINE,
        "GIVE_UP = 0.75",
        "GIVE_UP = 75",
        f"{_OUTAGE}::test_g3_g18_without_its_database_an_attempt_ends_before_another_begins",
        f"{_SLEEPS}[E-worker]",
    ),
    _mutant(
        "attempts outlive their worker",
        _LINE,
        "        self._die()  # nobody holds the lease any more",
        "        pass",
        f"{_WORKER}::test_g16_no_process_survives_its_worker",
        more=((_LINE, "            _end_with(guard)", "            pass"),),
    ),
    _mutant(
        "only the attempt itself is killed, not what it started",
        "worker/process.py",
        "        self.kill()\n        code = self._child.wait()",
        "        self._child.kill()\n        return self._child.wait()",
        f"{_WORKER}::test_g16_an_attempt_that_is_killed_leaves_no_child",
    ),
    _mutant(
        "a wish to cancel is not passed on",
        _SUPERVISOR,
        "if beat.cancel_requested:",
        "if False:",
        f"{_WORKER}::test_g10_a_running_job_is_stopped_and_its_place_is_free_again",
    ),
    _mutant(
        "a deaf attempt is waited for",
        "worker/stopping.py",
        "return self.reason is not None and time.monotonic() >= self._deadline",
        "return False",
        f"{_WORKER}::test_a_job_that_runs_too_long_is_ended_even_if_it_is_deaf",
    ),
    _mutant(
        "a drained attempt is killed instead of asked",
        _SUPERVISOR,
        'self._stop("drained", settings.drain_s)',
        'self._stopping.at_once("drained")',
        f"{_WORKER}::test_g19_sigterm_lets_attempts_stop_at_a_checkpoint_and_another_worker_goes_on",
    ),
    _mutant(
        "a killed attempt is final",
        "worker/verdict.py",
        "    return Verdict(error, again=True)",
        "    return Verdict(error, again=False)",
        f"{_WORKER}::test_g14_a_crash_costs_one_interval_at_most",
    ),
    _mutant(
        "bad data is tried again",
        _SUPERVISOR,
        'end = {"error": message["error"]}\n',
        'raise KeyError("an error")\n',
        f"{_WORKER}::test_g6_what_will_not_pass_is_not_tried_again",
    ),
    _mutant(
        "the row moves on while the process still runs",
        _SUPERVISOR,
        '                self._desk.send("ok")\n            case "planned":',
        '                self._office.queue.drain(*self._key)\n                self._desk.send("ok")\n'
        '            case "planned":',
        f"{_WORKER}::test_g19_an_attempt_that_lingers_is_gone_before_the_next_begins",
    ),
    _mutant(
        "a message that is none ends the listener",
        "worker/celery_worker.py",
        'handlers["BRPOP"] = _dropping(handlers["BRPOP"], channel, self._teller)',
        "pass",
        f"{_OUTAGE}::test_g11_a_poisoned_queue_does_not_stop_the_worker",
    ),
)
