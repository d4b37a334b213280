"""What an attempt needs of whoever holds its row: word of the outside, and a place for its own words.

Neighbours: ``pipeline`` asks; ``lease`` answers for a run in this process, the ``worker`` for one that
it supervises.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from finetune30.errors import LeaseLost


class Hold(Protocol):
    """A claimed experiment, while its ``with`` block runs."""

    @property
    def experiment_id(self) -> str:
        """Whose row it is."""

    @property
    def attempt(self) -> int:
        """The token of this attempt, 1 for the first."""

    @property
    def loss(self) -> LeaseLost | None:
        """Why the experiment is no longer ours, None while it is: write nothing more."""

    @property
    def stop_reason(self) -> str | None:
        """Why to stop at the next checkpoint: ``cancelled``, ``paused``, ``drained``, ``timed out``; or None."""

    def update(self, progress: Mapping[str, object]) -> None:
        """``step``, ``total``, ``loss``, ``eta_s`` for the row. Never waits."""

    def event(self, kind: str, message: str, step: int | None = None) -> None:
        """A ``checkpoint``, an ``evaluation`` or a ``warning`` for the history. Never waits."""

    def planned(self, config: Mapping[str, object], fingerprint: str, dataset_hash: str) -> None:
        """The configuration as it runs here, and the rows it trains on; a later attempt goes on with these.

        Raises: LeaseLost.
        """

    def check(self) -> None:
        """Ask once more, before something is published. Raises: LeaseLost."""

    def succeeded(self, metrics: Mapping[str, object]) -> None:
        """The row says SUCCESS. Raises: LeaseLost."""

    def failed(self, error: Mapping[str, object]) -> None:
        """The row says FAILURE and why. Raises: LeaseLost."""

    def stopped(self, reason: str) -> None:
        """The attempt ended at a checkpoint, for a ``stop_reason`` or because it was ``interrupted``.

        Raises: LeaseLost.
        """

    def __enter__(self) -> Hold: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
