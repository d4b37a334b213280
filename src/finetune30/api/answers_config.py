"""The shapes of answers about configurations: what one means, and what this server lets it say.

Neighbours: ``routes.config`` answers them.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from finetune30.api.shape import Shape


class CheckedConfig(Shape):
    """A configuration that would be taken: whole, and as it is written to a file."""

    config: dict[str, Any] = Field(description="Every key with its value")
    text: str = Field(description="The same as YAML; `finetune30 train` reads it")
    notes: list[str] = Field(description="Keys that were read under another name, or passed over")


class Choices(Shape):
    """What may be asked for by its name here; one's own data comes beside it."""

    models: list[str] = Field(description="Base models: built in, the default, those of MODEL_ALLOWLIST")
    datasets: list[str] = Field(description="Data: built in, the default, that of DATASET_ALLOWLIST")
    queues: list[str] = Field(description="The first is where a training goes unless it says otherwise")
    max_runtime_s: float | None = Field(description="Longest time of an attempt; null: any")
