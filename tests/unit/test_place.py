"""When a waiting job will start: an estimate that promises nothing it cannot know."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from finetune30.jobs.place import starts_in


@pytest.mark.parametrize(
    ("ahead", "slots", "running", "usual_s", "wanted"),
    [
        (0, 0, [], 60.0, None),  # nobody serves the queue
        (0, 1, [], None, 0.0),  # a free place needs no history
        (0, 1, [30.0], None, 30.0),
        (0, 1, [None], None, None),  # the running one cannot say, and nothing ended yet
        (0, 1, [None], 60.0, 60.0),
        (1, 1, [30.0], None, None),
        (1, 1, [30.0], 60.0, 90.0),
        (3, 2, [30.0, 10.0], 60.0, 90.0),  # 10 → 70, 30 → 90, 70 → 130: the next is free at 90
        (1, 3, [30.0], 60.0, 0.0),
        (2, 3, [30.0], 60.0, 30.0),
        (0, 1, [50.0, 30.0], 60.0, 30.0),  # a worker has just gone
        (0, 1, [-5.0], 60.0, 0.0),
        (500, 1, [], 10.0, 5000.0),
    ],
)
def test_a_place_comes_free_when_those_ahead_are_through(
    ahead: int, slots: int, running: Sequence[float | None], usual_s: float | None, wanted: float | None
) -> None:
    assert starts_in(ahead, slots, running, usual_s) == wanted
