"""OpenAI's own Python client against a service, and each answer against the client's own types, strictly.

The client builds its objects without looking; here what came over the wire is validated by pydantic in strict
mode, so a number that is a string, or a missing field, is found.
Neighbours: ``test_openai_jobs`` and ``test_openai_files``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
from openai.types.fine_tuning import FineTuningJob
from pydantic import BaseModel

from tests.api.service import Person, Service

JOB = {"model": "builtin:minilm", "training_file": "builtin:reviews"}


class Heard:
    """The JSON answers that came, the newest last."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.headers: dict[str, str] = {}

    def hear(self, response: httpx2.Response) -> None:
        """Keep one."""
        self.headers = dict(response.headers)
        if response.headers.get("content-type", "").startswith("application/json"):
            self.bodies.append(json.loads(response.read(), parse_constant=lambda _: 1 / 0))


class Client:
    """A client of one person; ``checked`` validates what it was answered last."""

    def __init__(self, service: Service, person: Person | None, **options: Any) -> None:
        self.heard = Heard()
        transport = httpx2.Client(event_hooks={"response": [self.heard.hear]}, trust_env=False)
        self.api = openai.OpenAI(
            base_url=f"{service.url}/v1",
            api_key=person.token if person else "nobody",
            http_client=transport,
            **{"max_retries": 0, **options},
        )
        self.files, self.models, self.jobs = self.api.files, self.api.models, self.api.fine_tuning.jobs

    def close(self) -> None:
        """Give its connections back."""
        self.api.close()

    def checked(self, found: Any) -> Any:
        """What the client made of the last answer, after a look at the answer itself."""
        body = self.heard.bodies[-1]
        if isinstance(body, dict) and body.get("object") == "list":
            for item, told in zip(found.data, body["data"], strict=True):
                strictly(type(item), told)
        else:
            strictly(type(found), body)
        return found


Clients = Callable[..., Client]


def strictly(model: type[BaseModel], told: dict[str, Any]) -> None:
    """Raises: ValidationError; and AssertionError for a field that the client does not know or that is missing."""
    if model is FineTuningJob and told["status"] == "paused":
        told = {**told, "status": "queued"}  # OpenAI pauses, but its client's type has no word for it
    model.model_validate_json(json.dumps(told), strict=True)
    assert set(told) <= set(model.model_fields), set(told) - set(model.model_fields)
    assert {name for name, field in model.model_fields.items() if field.is_required()} <= set(told)
