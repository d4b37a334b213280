"""G21: the same transcript on SQLite and on PostgreSQL, word by word; only times and addresses may differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finetune30.errors import Finetune30Error
from finetune30.experiments import Status, Wish
from tests.jobs.plant import Plant, Servers, config, plant
from tests.servers import PostgresServer, RedisServer

NAMES = [
    "Zeta",
    "alpha",
    "Ärger",
    "100%",
    "a_b",
    "a\\b",
    "it's",
    "emoji 🦊",
    "Ｗide",
    "null",
    "\u2028line",
    "ALPHA",
    "é",
    "e\u0301",
]
OWNERS = ["ana", "Ana", "bo%", "ana\x00", "österreich"]
KILLED = {"code": "killed", "message": "50 % of it was \x00 'killed'", "where": None, "hint": float("nan")}
LEASE_S = 3600


def test_g21_both_databases_tell_the_same_story(
    tmp_path: Path, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    servers = Servers(redis_server, postgres_server)
    told: dict[str, list[str]] = {}
    for kind in ("E", "P"):
        with plant(kind, tmp_path / kind, servers, LEASE_S=LEASE_S, MAX_JOBS_PER_USER=9) as site:
            told[kind] = Transcript(site).tell()

    assert len(told["E"]) > 150
    assert told["E"] == told["P"]


class Transcript:
    """A fixed story, and what the queue answers to each sentence of it."""

    def __init__(self, site: Plant) -> None:
        self.site = site
        self.lines: list[str] = []
        self.ids: list[str] = []

    def tell(self) -> list[str]:
        for chapter in (self.submissions, self.claims, self.changes, self.searches, self.histories, self.refusals):
            self.lines.append(f"== {chapter.__name__}")
            chapter()
        return [self._anonymous(line) for line in self.lines]

    def ask(self, act: Callable[..., Any], *words: Any, **more: Any) -> Any:
        """Do it, and note the answer or the refusal."""
        try:
            answer = act(*words, **more)
        except Finetune30Error as refusal:
            self._note(f"{type(refusal).__name__}: {refusal}")
            return None
        self._note(answer)
        return answer

    def submissions(self) -> None:
        for number, name in enumerate(NAMES):
            wish = Wish(priority=number % 3 - 1, queue="train", idempotency_key=f"key {number % 9}")
            made = self.ask(self._submit, name, OWNERS[number % len(OWNERS)], wish)
            self.ids += [made.id] if made and made.id not in self.ids else []
        for _ in range(10):  # beyond the quota
            made = self.ask(self._submit, "many", "cy", None)
            self.ids += [made.id] if made else []

    def claims(self) -> None:
        self.ask(lambda: [one.id for one in self.site.queue.line()])
        for number in range(12):
            self.ask(self._claim, f"w{number}")

    def changes(self) -> None:
        store, queue = self.site.store, self.site.queue
        started = [row.id for row in store.find(status=Status.STARTED, sort_by="name", order="asc")]
        owner = {row.id: row.lease_owner for row in store.find()}
        acts: list[Callable[[str], Any]] = [
            lambda job: store.heartbeat(job, 1, owner[job], {"step": 3, "loss": float("nan"), "total": 2**40}),
            lambda job: store.heartbeat(job, 1, "somebody else"),
            lambda job: store.finish(job, 1, owner[job], Status.SUCCESS, metrics={"eval": {"accuracy": float("inf")}}),
            lambda job: store.finish(job, 1, owner[job], Status.FAILURE, error=KILLED),
            lambda job: queue.release(job, 1, owner[job], error=KILLED, delay_s=0),
            lambda job: queue.release(job, 1, owner[job], error=KILLED, delay_s=900),
            lambda job: queue.drain(job, 1, owner[job]),
            lambda job: store.pause(job, 1, owner[job]),
            lambda job: self.site.jobs.cancel(job),
            lambda job: self.site.jobs.pause(job),
            lambda job: self.site.jobs.resume(job),
        ]
        for number, job in enumerate(started):
            self.ask(acts[number % len(acts)], job)
            self.ask(acts[(number + 3) % len(acts)], job)
        for number, job in enumerate(self.ids):
            self.ask(acts[8 + number % 3], job)
        for number in range(8):
            self.ask(self._claim, f"v{number}", max_running=2)
        self.ask(queue.reap)
        self.ask(lambda: [one.id for one in queue.line()])

    def searches(self) -> None:
        find = self.site.store.find
        for text in [*NAMES, "%", "_", "\\", "A", "\x00", "nothing like it"]:
            self.ask(lambda text=text: sorted(self.ids.index(row.id) for row in find(search=text)))
        for column in ("name", "status", "eval_accuracy", "train_runtime"):
            for order in ("asc", "desc"):
                self.ask(lambda c=column, o=order: [row.id for row in find(sort_by=c, order=o)])
        self.ask(lambda: [row.id for row in find(status=Status.PENDING, limit=3)])

    def histories(self) -> None:
        for job in self.ids:
            self.ask(self.site.store.get, job)
            self.ask(self.site.store.attempts, job)
            self.ask(lambda job=job: [(e.attempt, e.kind, e.status, e.message) for e in self.site.queue.events(job)])

    def refusals(self) -> None:
        for job in (*self.ids[:4], "qqqq-qqqq", "", "a\x00b", "%", "x" * 500):
            for act in (self.site.store.get, self.site.jobs.cancel, self.site.jobs.pause, self.site.jobs.resume):
                self.ask(act, job)
            again = self.ask(self.site.jobs.retry, job, "ana")
            self.ids += [again.id] if again and again.id not in self.ids else []
            self.ask(self.site.store.delete, job)

    def _submit(self, name: str, owner: str, wish: Wish | None) -> Any:
        return self.site.jobs.submit(config(name), owner, wish)

    def _claim(self, worker: str, **changes: Any) -> object:
        words = {"queues": ("train",), "free": 1, "total": 1, **changes}
        taken = self.site.queue.claim_next(worker, **words)
        return taken and (taken.experiment.id, taken.attempt, taken.worker)

    def _note(self, answer: object) -> None:
        told = answer.to_dict() if hasattr(answer, "to_dict") else answer
        self.lines.append(json.dumps(told, default=_plain, ensure_ascii=False, sort_keys=True))

    def _anonymous(self, line: str) -> str:
        """Ids hold the second they were made in; the rest of them is the same on both."""
        for number, job in sorted(enumerate(self.ids), key=lambda pair: -len(pair[1])):
            line = line.replace(job, f"<job {number}>")
        return re.sub(r"_\d{8}_\d{6}", "_<date>", re.sub(r"\b1[78]\d{8}\.\d+", "<time>", line))


def _plain(value: Any) -> object:
    return {name: getattr(value, name) for name in getattr(value, "__dataclass_fields__", {})} or str(value)


def test_transcripts_differ_where_answers_differ() -> None:
    """The comparison above is not blind: an answer stands in it."""
    transcript = Transcript.__new__(Transcript)
    transcript.lines, transcript.ids = [], []
    transcript.ask(lambda: {"a": 1})
    transcript.ask(lambda: {"a": 2})
    assert transcript.lines[0] != transcript.lines[1]
