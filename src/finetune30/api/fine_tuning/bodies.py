"""What ``POST /v1/fine_tuning/jobs`` takes, strictly, and what comes as ``metadata[k]=v`` in a query.

Neighbours: ``jobs`` makes a configuration of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from starlette.requests import Request

from finetune30.web.bodies import Body
from finetune30.web.problems import Problem

Auto = Literal["auto"]
Epochs = Annotated[int, Field(ge=1, le=1000)]
Batch = Annotated[int, Field(ge=1, le=4096)]
Multiplier = Annotated[float, Field(gt=0, le=2000)]
Key = Annotated[str, Field(min_length=1, max_length=64)]
Value = Annotated[str, Field(max_length=512)]
_KEYS = re.compile(r"metadata\[(.{1,64})\]", re.DOTALL)


class Hyperparameters(Body):
    """How it is trained; ``auto`` is what the server's defaults say."""

    n_epochs: Auto | Epochs = "auto"
    batch_size: Auto | Batch = "auto"
    learning_rate_multiplier: Auto | Multiplier = Field("auto", description="Times 5e-4")


class Supervised(Body):
    """How the method is set."""

    hyperparameters: Hyperparameters | None = None


class Method(Body):
    """The method; there is one."""

    type: Literal["supervised"]
    supervised: Supervised | None = None


class NewJob(Body):
    """A fine-tuning job to be made."""

    model: str = Field(min_length=1, max_length=300, description="A base model; GET /v1/models lists them")
    training_file: str = Field(
        min_length=1, max_length=300, description="The id of an uploaded file, or a dataset as in data.dataset_name"
    )
    validation_file: str | None = Field(None, min_length=1, max_length=300, description="The id of an uploaded file")
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    suffix: str | None = Field(None, min_length=1, max_length=64, description="The name of the experiment")
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    metadata: Annotated[dict[Key, Value], Field(max_length=16)] | None = None
    integrations: list[Any] | None = Field(None, description="None are offered: null or empty")

    @field_validator("integrations")
    @classmethod
    def _none_are_offered(cls, value: list[Any] | None) -> list[Any] | None:
        if value:
            raise ValueError(
                "expected none: there are no integrations here; training.report_to of POST /train has trackers"
            )
        return value

    @model_validator(mode="after")
    def _told_once(self) -> NewJob:
        within = self.method.supervised if self.method else None
        if within and within.hyperparameters and self.hyperparameters not in (None, within.hyperparameters):
            raise ValueError("hyperparameters stand at the top and in method, and differ; expected them in method")
        return self

    @property
    def asked(self) -> Hyperparameters:
        """The hyperparameters, wherever they were told."""
        within = self.method.supervised if self.method else None
        return (within.hyperparameters if within else None) or self.hyperparameters or Hyperparameters()


def metadata_filter(request: Request) -> dict[str, str]:
    """What ``metadata[k]=v`` asks for: jobs on which all of these are written.

    Raises: Problem 422.
    """
    found = {
        match[1]: value for name, value in request.query_params.items() if (match := _KEYS.fullmatch(name)) is not None
    }
    for text in (*found, *found.values()):
        if len(text) > 512 or "\0" in text or "\ufffd" in text:
            raise Problem(422, "query_invalid", "expected at most 512 characters of text", where="query.metadata")
    return found


metadata_filter.family = _KEYS  # type: ignore[attr-defined]
