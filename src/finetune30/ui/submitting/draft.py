"""A training that is not submitted yet: where it began, what was changed, what the server says of it.

It lives in the session; what was changed stands in the address as well, so that a refresh, or a link to a colleague,
has it again. Submitting one twice makes one training: the key that is sent with it changes only with what is sent.
Neighbours: ``fields`` changes values, ``pages.submit`` shows it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune30.client import Client
from finetune30.client.configurations import CheckedConfig, Choices
from finetune30.errors import Finetune30Error, Refused, RemoteError, UsageError
from finetune30.ui.submitting.keys import Field, Values, fields_of, flat, nested
from finetune30.ui.submitting.sendable import sendable

DATASET = "data.dataset_name"
ON_FAIL = "data.on_quality_fail"
OF_THE_DATA = (
    "data.dataset_config",
    "data.revision",
    "data.text_column",
    "data.text_pair_column",
    "data.label_column",
    "data.label_separator",
    "data.label_columns",
    "data.encoding",
    "data.train_split",
    "data.validation_split",
    "data.test_split",
    "model.num_labels",
)
"""Keys that say something of one dataset only; without them it is found out."""
_MOST_IN_AN_ADDRESS = 3000


@dataclass(frozen=True)
class Form:
    """What this server takes."""

    fields: Mapping[str, Field]
    defaults: Values
    choices: Choices

    @classmethod
    def of(cls, client: Client) -> Form:
        """Ask for it. Raises: RemoteError."""
        fields = fields_of(client.config_schema())
        return cls(fields, flat(client.config_defaults(), fields), client.config_choices())


@dataclass
class Wish:
    """How it waits for a worker."""

    queue: str | None = None
    priority: int = 0
    max_runtime_s: float | None = None


@dataclass
class Verdict:
    """What the server says of the values: it would take them, or not; or it did not say.

    Attributes:
        faults: By path; of the wish below ``query.``.
    """

    checked: CheckedConfig | None = None
    faults: dict[str, str] = field(default_factory=dict)
    silence: Finetune30Error | None = None


@dataclass
class Draft:
    """One training in the making.

    Attributes:
        base: Where it began; ``base_run`` what is told of the run, where it was one: name, id, status.
        values: By path, all keys.
        made: The task it has become.
        called: The name it was given after its data.
    """

    base: Values
    base_run: dict[str, str] = field(default_factory=dict)
    values: Values = field(default_factory=dict)
    wish: Wish = field(default_factory=Wish)
    made: str | None = None
    notes: tuple[str, ...] = ()
    called: str | None = None
    _nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    _judged: tuple[str, Verdict] | None = None

    def __post_init__(self) -> None:
        self.values = self.values or dict(self.base)

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """Before and now, of what differs from where it began."""
        return changes(self.base, self.values)

    @property
    def config(self) -> dict[str, Any]:
        """As it is sent."""
        return nested(self.values)

    @property
    def key(self) -> str:
        """The same for the same content of this draft."""
        content = json.dumps([self.config, vars(self.wish)], sort_keys=True, default=str)
        return f"page-{hashlib.sha256(f'{self._nonce}{content}'.encode()).hexdigest()[:40]}"

    def judge(self, client: Client) -> Verdict:
        """What the server says; asked once for the same values.

        Raises: RemoteError where the login has ended, or is not enough.
        """
        asked = json.dumps(self.config, sort_keys=True, default=str)
        if self._judged is None or self._judged[0] != asked:
            verdict = _verdict(client, self.config)
            if verdict.silence is not None:
                return verdict
            self._judged = (asked, verdict)
        return self._judged[1]

    def refused(self, refusal: Refused) -> bool:
        """Take over what was found wrong when it was submitted; False where that names no value."""
        faults = faults_of(refusal)
        if faults:
            self._judged = (json.dumps(self.config, sort_keys=True, default=str), Verdict(faults=faults))
        return bool(faults)

    def doubt(self) -> None:
        """Ask the server again: something it knows has changed."""
        self._judged = None

    def choose_data(self, name: str) -> None:
        """Other data: what was said of the one before does not hold for it."""
        if self.values.get(DATASET) and self.values[DATASET] != name:
            self.values |= dict.fromkeys(path for path in OF_THE_DATA if path in self.values)
            if isinstance(self.values.get("training.class_weights"), dict):
                self.put("training.class_weights", None)
        self.put(DATASET, name)

    def call(self, name: str) -> None:
        """Name it after its data, unless somebody has named it."""
        if name and self.values.get("experiment_name") in (self.base.get("experiment_name"), self.called):
            self.put("experiment_name", name)
            self.called = name

    def go_on_whatever(self) -> None:
        """Train on data even where a check of it fails."""
        self.put(ON_FAIL, "warn")

    def put(self, path: str, value: Any) -> None:
        """Change a value."""
        self.values[path] = sendable(value)


def changes(before: Values, now: Values) -> dict[str, tuple[Any, Any]]:
    """Before and now, of each key that differs."""
    paths = dict.fromkeys((*before, *now))
    return {one: (before.get(one), now.get(one)) for one in paths if before.get(one) != now.get(one)}


def faults_of(refusal: RemoteError) -> dict[str, str]:
    """Faults by path: ``body.lora.r`` is ``lora.r``."""
    told = refusal.faults or (((refusal.where, refusal.message),) if refusal.where else ())
    return {where.removeprefix("body."): text for where, text in told if where}


def written(values: Values, base: Values) -> list[str]:
    """What differs, for the address: ``lora.r=16``; nothing where it would be too long."""
    told = [f"{path}={json.dumps(now, ensure_ascii=False)}" for path, (_, now) in changes(base, values).items()]
    return told if sum(map(len, told)) < _MOST_IN_AN_ADDRESS else []


def read(told: Sequence[str], fields: Mapping[str, Field]) -> Values:
    """What an address says; what is no value of a key is passed over."""
    found: Values = {}
    for one in told:
        path, _, text = one.partition("=")
        if path in fields and len(text) < _MOST_IN_AN_ADDRESS:
            try:
                found[path] = sendable(json.loads(text, parse_constant=str))
            except (ValueError, RecursionError):
                continue
    return found


def _verdict(client: Client, config: dict[str, Any]) -> Verdict:
    try:
        return Verdict(client.check(config))
    except Refused as refusal:
        faults = faults_of(refusal)
        if refusal.status == 422 and faults:
            return Verdict(faults=faults)
        if refusal.status in (401, 403):
            raise
        return Verdict(silence=refusal)
    except RemoteError as fault:
        return Verdict(silence=fault)
    except UsageError as fault:  # what the client does not send
        return Verdict(faults={fault.where or "experiment_name": fault.message})
