"""Where an alias has been, and where a rollback takes it.

The trail is what a person remembers: each move adds to it, a rollback takes away what came after the place it went
back to. So one rollback after another leads ever further back, and none leads forward again.
Values in, values out. Neighbours: ``moving`` reads the history and writes it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from finetune30.registry.record import Kind


def trail_of(moves: Iterable[tuple[str, int | None]]) -> list[int | None]:
    """The places an alias was at, the present one last; None stands for "it was dropped".

    Args:
        moves: Kind and destination, the oldest first.
    """
    trail: list[int | None] = []
    for kind, to in moves:
        if kind == Kind.ROLLBACK:
            while trail and trail[-1] != to:
                trail.pop()
        else:
            trail.append(to)
    return trail


def before(trail: Sequence[int | None], existing: Container[int]) -> int | None:
    """The last version it was at before the present one, of those that still exist; None where there is none."""
    for one in reversed(trail[:-1]):
        if one is not None and one != trail[-1] and one in existing:
            return one
    return None
