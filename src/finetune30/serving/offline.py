"""The service's own host and lane, without HTTP: one adapter answers as many rows as there are.

So the command line answers what the service would. Always in float32, as the run was evaluated.
Neighbours: ``finetune30 predict`` brings rows, ``host`` loads, the lane computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune30.modeling.device import choose
from finetune30.modeling.predict import probabilities_of
from finetune30.serving.catalog import Found
from finetune30.serving.crew import crew_for
from finetune30.serving.host import AdapterHost, Live
from finetune30.serving.lane import Lane

AT_ONCE = 1024
"""Rows that are computed together: enough that texts of one length find each other."""


@dataclass(frozen=True)
class Answers:
    """Of some rows, in their order.

    Attributes:
        probabilities: Shape (rows, labels).
        truncated: Whether each row was read up to the adapter's ``max_length`` only.
    """

    probabilities: NDArray[np.float64]
    truncated: Sequence[bool]


class Oracle:
    """An adapter in memory that answers rows."""

    def __init__(self, host: AdapterHost, live: Live) -> None:
        self._host = host
        self.live = live

    def answers(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Answers:
        """The answer to each row.

        Raises: BadInput for pairs where there should be none, or none where there should be.
        """
        self.live.task.check_texts(texts, pairs)
        parts = [self._some(texts, pairs, start) for start in range(0, len(texts), AT_ONCE)]
        return Answers(
            np.concatenate([part.probabilities for part in parts]), [cut for part in parts for cut in part.truncated]
        )

    def _some(self, texts: Sequence[str], pairs: Sequence[str] | None, start: int) -> Answers:
        rows = range(start, min(start + AT_ONCE, len(texts)))
        # The lane takes rows as they come: neighbours of one length waste no padding.
        order = sorted(rows, key=lambda row: len(texts[row]) + (0 if pairs is None else len(pairs[row])))
        asking = self._host.ask(
            self.live, [texts[row] for row in order], None if pairs is None else [pairs[row] for row in order]
        )
        try:
            logits = np.stack(asking.future.result())
        except BaseException:
            asking.future.cancel()  # nobody waits for the rest
            raise
        back = np.argsort(np.array(order), kind="stable")
        probabilities = probabilities_of(logits[back], multi_label=self.live.task.multi_label)
        return Answers(probabilities, [asking.read[at].truncated for at in back.tolist()])


@contextmanager
def oracle(found: Found, device: str) -> Iterator[Oracle]:
    """Load an adapter for the length of the block.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    Raises: ModelError, ConfigError.
    """
    compute = choose(device, False)
    lane = Lane(crew=crew_for(compute.device, beside=0))
    try:
        host = AdapterHost(compute, lane, 1 << 40)
        yield Oracle(host, host.live(found))
    finally:
        lane.close()
