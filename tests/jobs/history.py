"""What became of many jobs under faults, and whether every promise was kept.

The definitions are those of RabbitMQ's Jepsen tests: lost, unexpected, doubled; to them come overlap,
illegal moves, too many tries, progress thrown away. ``violations`` reads only what submitters were told,
what pollers saw, what the database says and what attempts did: nothing of the code under test.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

TERMINAL = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
# Written down here once more: the code under test must not tell its own law. PENDING to PENDING is a
# pause or its end, STARTED to STARTED a wish to stop.
NEXT = {
    "PENDING": {"PENDING", "STARTED", "REVOKED"},
    "STARTED": {"PENDING", "STARTED", *TERMINAL},
    **{ended: set[str]() for ended in TERMINAL},
}


@dataclass(frozen=True)
class Job:
    """One row at the end, and its history."""

    id: str
    key: str
    status: str
    failures: int
    attempt: int
    error: Mapping[str, Any] | None
    attempts: tuple[tuple[int, str | None], ...]  # number, outcome
    states: tuple[tuple[int, str], ...]  # attempt, status; as the events tell it
    metrics: Mapping[str, Any] | None = None


@dataclass
class History:
    """Everything that was seen.

    Attributes:
        acked: Key of a submission -> the id its submitter was told.
        maybe: Keys whose submitter never got an answer.
        seen: For each poller, (job, status) in the order it saw them.
        effects: The log of effects.
        interval: Steps between two checkpoints.
        total: Steps of a job.
    """

    acked: dict[str, str] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    seen: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    max_attempts: int = 3
    interval: int = 5
    total: int = 20


def violations(history: History) -> list[str]:
    """Each broken promise in a sentence; empty when all were kept."""
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in history.effects:
        by_task[line["task"]].append(line)
    found = [*_lost_and_doubled(history), *_seen_wrong(history)]
    for job in history.jobs:
        found += _illegal(job)
        found += _tries(job, history.max_attempts)
        found += _overlap(job, by_task[job.id])
        found += _work(job, by_task[job.id], history)
    return found


def _lost_and_doubled(history: History) -> Iterator[str]:
    final = {job.id: job.status for job in history.jobs}
    for key, job in history.acked.items():
        if final.get(job) not in TERMINAL:
            yield f"lost: {job} (key {key}) was acknowledged and is {final.get(job, 'nowhere')}"
    keys = Counter(job.key for job in history.jobs)
    yield from (f"doubled: key {key} made {count} jobs" for key, count in keys.items() if count > 1)
    expected = set(history.acked) | history.maybe
    yield from (
        f"unexpected: {job.id}, nobody submitted key {job.key}" for job in history.jobs if job.key not in expected
    )
    yield from (f"not read: {job} was acknowledged and then not found" for job in history.missing)


def _seen_wrong(history: History) -> Iterator[str]:
    for poller, sightings in history.seen.items():
        last: dict[str, str] = {}
        for job, status in sightings:
            before = last.get(job)
            if before in TERMINAL and status != before:
                yield f"changed: poller {poller} saw {job} {before}, then {status}"
            last[job] = status
    final = {job.id: job.status for job in history.jobs}
    for poller, sightings in history.seen.items():
        for job, status in sightings:
            if status in TERMINAL and final.get(job) != status:
                yield f"changed: poller {poller} saw {job} {status}, in the end it is {final.get(job)}"


def _illegal(job: Job) -> Iterator[str]:
    states = [status for _, status in job.states]
    if states[:1] != ["PENDING"]:
        yield f"illegal: {job.id} begins as {states[:1]}"
    for before, after in pairwise(states):
        if after not in NEXT[before]:
            yield f"illegal: {job.id} went from {before} to {after} in {states}"
    if states and states[-1] != job.status:
        yield f"illegal: {job.id} is {job.status}, its events end with {states[-1]}"
    numbers = [attempt for attempt, _ in job.states]
    if numbers != sorted(numbers):
        yield f"illegal: the attempts of {job.id} go back in its events: {numbers}"


def _tries(job: Job, max_attempts: int) -> Iterator[str]:
    numbers = [number for number, _ in job.attempts]
    outcomes = Counter(outcome for _, outcome in job.attempts)
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) != job.attempt:
        yield f"attempts: {job.id} has {numbers}, its row says {job.attempt}"
    if outcomes[None]:
        yield f"attempts: {job.id} has ended and an attempt is open"
    if job.failures > max_attempts:
        yield f"tries: {job.id} failed {job.failures} times, at most {max_attempts} are allowed"
    given_up = job.status == "FAILURE" and (job.error or {}).get("code") in ("killed", "lost", "crashed")
    if given_up and job.failures != max_attempts:
        yield f"tries: {job.id} was given up after {job.failures} failures, expected {max_attempts}"
    counted = outcomes["FAILURE"] + outcomes["LOST"]
    if job.failures > counted:
        yield f"tries: {job.id} counts {job.failures} failures, its attempts tell of {counted}"
    if job.status == "SUCCESS" and outcomes["SUCCESS"] != 1:
        yield f"doubled: {job.id} has {outcomes['SUCCESS']} successful attempts"


def _overlap(job: Job, effects: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """An attempt did something although a later one had begun."""
    starts: dict[int, float] = {}
    last: dict[int, Mapping[str, Any]] = {}
    for line in effects:
        number = line["attempt"]
        if line["what"] == "start":
            if number in starts:
                yield f"overlap: attempt {number} of {job.id} was started twice"
            starts[number] = line["at"]
        if line["what"] in ("start", "step", "checkpoint", "end") and line["at"] >= last.get(number, line)["at"]:
            last[number] = line
    for number, line in last.items():
        for later, start in starts.items():
            if later > number and line["at"] > start:
                late = line["at"] - start
                yield f"overlap: attempt {number} of {job.id}: {line['what']} {late:.3f} s after attempt {later} began"


def _work(job: Job, effects: list[dict[str, Any]], history: History) -> Iterator[str]:
    steps = [line["step"] for line in effects if line["what"] == "step"]
    ends = [line for line in effects if line["what"] == "end"]
    # A cancel that came between the last question and the last word: the row keeps what was promised first.
    asked = job.states.count((job.attempt, "STARTED")) > 1  # once when it began, once when it was to be cancelled
    cancelled_late = job.status == "REVOKED" and asked and [line["attempt"] for line in ends] == [job.attempt]
    if len(ends) > 1 or (ends and job.status != "SUCCESS" and not cancelled_late):
        yield f"doubled: {job.id} is {job.status} and was completed by {len(ends)} attempts"
    if job.status == "SUCCESS" and history.total not in steps:
        yield f"untrue: {job.id} is SUCCESS and never did its last step"
    attempts = {line["attempt"] for line in effects if line["what"] == "start"}
    most = history.total + max(0, len(attempts) - 1) * history.interval
    if len(steps) > most:
        yield f"progress: {job.id} did {len(steps)} steps in {len(attempts)} attempts, expected at most {most}"


def timeline(job: Job, effects: Iterable[Mapping[str, Any]]) -> str:
    """What happened to one job, for whoever reads a failure."""
    mine = [line for line in effects if line["task"] == job.id]
    done = [
        f"  {line['at']:.3f} attempt {line['attempt']} pid {line['pid']} {line['what']} {line.get('step', '')}"
        for line in mine
    ]
    head = f"{job.id} {job.status} failures {job.failures} error {job.error}"
    return "\n".join([head, f"  attempts {job.attempts}", f"  states {job.states}", *done])
