"""A training room without pipeline: base, splits and fit, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from finetune30 import data, modeling
from finetune30.config import ExperimentConfig
from finetune30.training import Event, TrainedAdapter, fit


@dataclass
class Bench:
    """Runs ``fit`` and keeps what it said."""

    events: list[Event] = field(default_factory=list)
    compute: modeling.Compute = field(default_factory=lambda: modeling.choose("cpu", False))

    def fit(
        self, config: ExperimentConfig, artifacts: Path, splits: data.Splits | None = None, **rest: Any
    ) -> TrainedAdapter:
        artifacts.mkdir(parents=True, exist_ok=True)
        return fit(
            modeling.inspect(config.model.name),
            splits or data.load(config),
            config,
            self.events.append,
            artifacts=artifacts,
            compute=self.compute,
            **rest,
        )

    def notes(self) -> str:
        return "\n".join(e.message for e in self.events if e.kind != "step")

    def metrics(self) -> dict[str, float]:
        """Of the last evaluation."""
        return [e.metrics for e in self.events if e.kind == "evaluation"][-1]

    def losses(self) -> list[float | None]:
        return [e.loss for e in self.events if e.kind == "step"]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def weights_of() -> Callable[[Path], bytes]:
    return lambda folder: (folder / "adapter_model.safetensors").read_bytes()
