"""Curves and logs are asked for once for all who look at the same training."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from finetune30.errors import Denied, Unreachable
from finetune30.ui.seats import Seat
from finetune30.ui.watching import look as looking
from finetune30.ui.watching.look import Look
from finetune30.ui.watching.near import FRESH_S, Near
from tests.api.service import Person, Service


def test_of_many_who_ask_at_once_one_asks() -> None:
    near, asked, together = Near(lambda: 0.0), [], threading.Barrier(8)

    def ask() -> int:
        asked.append(1)
        return 7

    found: list[int] = []

    def look() -> None:
        together.wait()
        found.append(near("curves", ask))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert found == [7] * 8
    assert len(asked) == 1


def test_nothing_is_older_than_it_may_be_and_nothing_is_kept_for_ever() -> None:
    now = [0.0]
    near = Near(lambda: now[0])
    assert near("a", lambda: 1) == 1
    now[0] = FRESH_S - 0.1
    assert near("a", lambda: 2) == 1
    assert near("b", lambda: 3) == 3
    now[0] += 0.2
    assert near("a", lambda: 2) == 2
    assert near("b", lambda: 4) == 3
    now[0] += 10
    near("c", lambda: 5)
    assert len(near) == 1


def test_a_fault_is_that_ones_alone() -> None:
    near = Near(lambda: 0.0)

    def away() -> int:
        raise Unreachable("away")

    with pytest.raises(Unreachable):
        near("a", away)

    assert near("a", lambda: 1) == 1


def test_what_was_told_slowly_is_told_to_all_who_waited_for_it() -> None:
    now, asked = [0.0], []
    near = Near(lambda: now[0])

    def ask() -> int:
        time.sleep(0.3)  # the others have come meanwhile
        now[0] += 2 * FRESH_S
        asked.append(1)
        return 7

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: near("curves", ask), range(4))) == [7] * 4

    assert len(asked) == 1
    assert near("curves", lambda: 8) == 8  # but not to who comes later


def test_nobody_waits_long_for_another_one_whose_server_hangs() -> None:
    near, hangs = Near(), threading.Event()

    def ask() -> int:
        assert hangs.wait(60)
        return 1

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(near, "log", ask)
        while not near._told:
            time.sleep(0.01)
        assert near("log", lambda: 2) == 2
        assert not first.done()
        hangs.set()
        assert first.result() == 1


def test_two_who_look_at_one_run_ask_for_its_curves_once_and_each_for_the_task(
    service: Service, seat_of: Callable[..., Seat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "NEAR", Near(lambda: 0.0))
    person = service.person()
    run = _ran(service, person)
    looks = [Look(seat_of(person).client, run) for _ in range(2)]
    asked = [_counted(one) for one in looks]
    for one in looks:
        one.refresh()
        one.refresh_more(log=False)

    assert [[path.rpartition("/")[2] for path in some] for some in asked] == [[run, "curves"], [run]]
    assert looks[0].curves == looks[1].curves is not None


def test_who_may_not_see_a_run_is_not_shown_what_others_were_told_of_it(
    service: Service, seat_of: Callable[..., Seat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "NEAR", Near(lambda: 0.0))
    person = service.person()
    run = _ran(service, person)
    hers, other = Look(seat_of(person).client, run), Look(seat_of(service.person()).client, run)
    hers.refresh()
    hers.refresh_more(log=False)

    with pytest.raises(Denied):
        other.refresh()
    other.refresh_more(log=False)

    assert hers.curves
    assert other.curves is None


def _ran(service: Service, person: Person) -> str:
    run: str = person.post("/train", {}).json()["task_id"]
    service.ended(run)
    return run


def _counted(look: Look) -> list[str]:
    paths: list[str] = []
    wire: Any = look.client._wire
    send = wire.send
    wire.send = lambda request: (paths.append(request.path), send(request))[1]
    return paths
