"""How many threads compute a lone row: those that were the fastest when they were last tried."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from finetune30.serving.timing import Chosen, Timing


def _chosen(seconds: Callable[[int], float], rows: int, chosen: Chosen | None = None) -> tuple[Chosen, list[int]]:
    """What was chosen for so many rows, of a machine where a number of threads takes so long."""
    chosen = chosen or Chosen((1, 2, 4))
    numbers = []
    for _ in range(rows):
        numbers.append(chosen.next())
        chosen.took(numbers[-1], seconds(numbers[-1]))
    return chosen, numbers


def test_the_fastest_number_is_taken_once_all_were_tried() -> None:
    _, numbers = _chosen(lambda number: {1: 3.0, 2: 2.0, 4: 2.5}[number], 200)

    assert sorted(numbers[:24]) == [1] * 8 + [2] * 8 + [4] * 8
    later = numbers[24:]
    assert later.count(2) > 0.95 * len(later)
    assert {1, 4} <= set(later), "others are tried again"


def test_another_core_is_not_taken_for_next_to_nothing() -> None:
    _, numbers = _chosen(lambda number: {1: 1.0, 2: 0.95, 4: 0.93}[number], 100)

    assert numbers[24:].count(1) > 70


def test_what_changes_is_noticed() -> None:
    """Somebody begins to train on the other core, then ends."""
    chosen, _ = _chosen(lambda number: 1 / number, 100)
    chosen, beside = _chosen(lambda number: float(number), 1000, chosen)
    _, alone = _chosen(lambda number: 1 / number, 1000, chosen)

    assert beside[-31:].count(1) >= 30
    assert alone[-31:].count(4) >= 30


def test_rows_that_made_their_kernels_decide_nothing() -> None:
    first = iter([9.0, 9.0, 9.0])

    _, numbers = _chosen(lambda number: next(first, 1.0) if number == 4 else 4.0 / number, 100)

    assert numbers[24:].count(4) > 70


def test_the_caller_has_its_own_threads_again_also_after_a_fault() -> None:
    timing, engine, before = Timing((2,)), object(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with timing.lone(engine, 5):
            assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError), timing.lone(engine, 5):
            raise RuntimeError
        assert torch.get_num_threads() == 1
        with Timing().lone(engine, 5):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_bases_have_times_of_their_own() -> None:
    timing, quick, slow = Timing(), object(), object()
    for engine, took_s in ((quick, 0.001), (slow, 1.0)):
        timing.note(engine, 16, took_s)

    assert timing.is_short(quick, 16)
    assert not timing.is_short(quick, 300)
    assert not timing.is_short(slow, 16)
    assert not timing.is_short(object(), 1), "nothing of it was timed"
