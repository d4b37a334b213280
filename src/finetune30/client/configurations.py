"""Configurations: which keys there are, which names this server takes, what is wrong with one before it is submitted.

Neighbours: ``tasks`` submits; ``config`` reads a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from finetune30.client.answers import Shape, shaped
from finetune30.client.asking import Asking
from finetune30.client.wire import Request


class Choices(Shape):
    """Names of models, data and queues a server takes; one's own data comes beside it."""

    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    max_runtime_s: float | None = None


class CheckedConfig(Shape):
    """A configuration that would be taken: with every key, and the same as YAML."""

    config: dict[str, Any]
    text: str
    notes: tuple[str, ...] = Field(default=())


class Configurations(Asking):
    """``/config``."""

    def config_schema(self) -> dict[str, Any]:
        """JSON schema of a configuration: every key, what it takes and means."""
        return self._object("/config/schema")

    def config_defaults(self) -> dict[str, Any]:
        """What an empty configuration means at this server."""
        return self._object("/config/defaults")

    def config_choices(self) -> Choices:
        """Names of models, data and queues that this server takes."""
        return self._get("/config/choices", Choices)

    def check(self, config: Mapping[str, Any]) -> CheckedConfig:
        """What ``train`` would train, whole and as YAML; nothing is made.

        Raises: Refused with the ``faults`` that ``train`` would tell.
        """
        answer = self._send(Request("POST", "/config/check", body=dict(config), safe=True))
        return shaped(CheckedConfig, answer.json(), answer.server)


def read_configuration(text: str, source: str = "the text") -> dict[str, Any]:
    """The keys and values of a YAML text as they are written there, unchecked; another file is not looked at.

    Raises: ConfigError for what is no strict YAML mapping, and for a key given twice.
    """
    from finetune30.config.faults import refuse
    from finetune30.config.reading import read_text

    document = read_text(text, source)
    if document.faults:
        refuse(document.faults, source)
    return dict(document.values)
