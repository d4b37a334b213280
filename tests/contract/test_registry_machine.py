"""Any order of registering, moving, dropping, rolling back and unregistering: the registry does what a list does.

The model beside the real statements is a list of places for each alias: a move adds to it, a rollback cuts it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import insert

from finetune30 import database
from finetune30.errors import NotFound, StateError
from finetune30.experiments import ExperimentStore
from finetune30.registry import Actor, Candidate, Models, moving
from finetune30.registry.tables import registry_head
from tests.registered import trained

ANA = Actor("ana")
ALIASES = st.sampled_from(["champion", "champion", "staging"])
NUMBERS = st.integers(1, 4)
EXPECTED = st.sampled_from(["whatever", "right", "whatever", "wrong"])

engine = database.open_engine("sqlite://")
database.metadata.create_all(engine)
with database.write(engine) as connection:
    connection.execute(insert(registry_head).values(id=1, changes=0))
_names = itertools.count()


@cache
def candidates() -> list[Candidate]:
    """Enough runs for one model; made once, every model may use them."""
    results = Path(tempfile.mkdtemp())
    store, registry = ExperimentStore(engine, 60.0), Models(engine, results)
    return [registry.candidate(trained(store, results)) for _ in range(6)]


class Registry(RuleBasedStateMachine):
    """One model with two aliases."""

    runs: list[Candidate]

    def __init__(self) -> None:
        super().__init__()
        self.real = Models(engine, Path())
        self.name = f"m{next(_names)}"
        self.versions: set[int] = set()
        self.given = 0
        self.trails: dict[str, list[int | None]] = {}
        self.lines = 0
        self.changes = self.real.changes()

    def at(self, alias: str) -> int | None:
        return self.trails.get(alias, [None])[-1]

    def refused(self, kind: type[Exception], deed: Callable[[], Any]) -> None:
        before = self.real.changes()
        with pytest.raises(kind):
            deed()
        assert self.real.changes() == before

    @initialize()
    def register_three(self) -> None:
        for _ in range(3):
            self.register()

    @precondition(lambda self: self.given < 6)
    @rule()
    def register(self) -> None:
        made = self.real.register(self.name, self.runs[self.given], ANA)
        self.given += 1
        assert made.number == self.given
        self.versions.add(self.given)

    @rule(alias=ALIASES, number=NUMBERS, guess=EXPECTED)
    def point(self, alias: str, number: int, guess: str) -> None:
        at = self.at(alias) or 0
        expected = {"whatever": None, "right": at, "wrong": at + 1}[guess]

        def deed() -> object:
            return self.real.point(self.name, alias, number, ANA, expected=expected)

        if number not in self.versions:
            self.refused(NotFound, deed)
            return
        if guess == "wrong":
            self.refused(StateError, deed)
            return
        deed()
        if self.at(alias) != number:
            self.trails.setdefault(alias, []).append(number)
            self.lines += 1

    @rule(alias=ALIASES)
    def roll_back(self, alias: str) -> None:
        def deed() -> Any:
            return self.real.rollback(self.name, alias, ANA)

        trail = self.trails.get(alias, [])
        if not trail:
            self.refused(NotFound, deed)
            return
        places = [index for index, place in enumerate(trail[:-1]) if place in self.versions and place != trail[-1]]
        if not places:
            self.refused(StateError, deed)
            return
        assert deed().number == trail[places[-1]]
        self.trails[alias] = trail[: places[-1] + 1]
        self.lines += 1

    @rule(alias=ALIASES)
    def drop(self, alias: str) -> None:
        def deed() -> None:
            self.real.drop(self.name, alias, ANA)

        if self.at(alias) is None:
            self.refused(NotFound, deed)
            return
        deed()
        self.trails[alias].append(None)
        self.lines += 1

    @rule(number=NUMBERS)
    def unregister(self, number: int) -> None:
        def deed() -> None:
            self.real.unregister(self.name, number, ANA)

        if number not in self.versions:
            self.refused(NotFound, deed)
            return
        if number in map(self.at, self.trails):
            self.refused(StateError, deed)
            return
        deed()
        self.versions.discard(number)

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        if not self.given:
            return
        model = self.real.show(self.name)
        assert dict(model.aliases) == {a: at for a in self.trails if (at := self.at(a)) is not None}
        assert {one.number for one in self.real.versions(self.name)} == self.versions
        assert model.latest == max(self.versions, default=None)
        history = self.real.history(self.name)
        assert len(history) == self.lines
        for alias, trail in self.trails.items():
            mine = [one for one in reversed(history) if one.alias == alias]
            assert [one.from_number for one in mine] == [None, *(one.to_number for one in mine[:-1])]
            assert mine[-1].to_number == trail[-1]

    @invariant()
    def the_counter_never_goes_back(self) -> None:
        now = self.real.changes()
        assert now >= self.changes
        self.changes = now


def test_any_order_of_moves_and_rollbacks_does_what_a_list_does() -> None:
    Registry.runs = candidates()

    run_state_machine_as_test(
        Registry,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_the_machine_sees_a_rollback_that_only_goes_to_the_line_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake that is easily made: back and forth between two versions instead of ever further back.

    The steps are given: which ones Hypothesis comes to depends on what else this process has imported.
    """
    Registry.runs = candidates()

    def further_back() -> None:
        machine = Registry()
        machine.register_three()
        for number in (1, 2, 3):
            machine.point("champion", number, "whatever")
        for _ in range(2):
            machine.roll_back("champion")
            machine.all_is_as_the_model_says()
            machine.the_counter_never_goes_back()

    further_back()

    def before(connection: Any, model: Any, name: str) -> int | None:
        lines = moving.reading.moves(connection, model, name, before=None, limit=1)
        number = lines[0].from_number if lines else None
        return number if number in moving.reading.numbers(connection, model) else None

    monkeypatch.setattr(moving.reading, "before", before)

    with pytest.raises(AssertionError):
        further_back()
