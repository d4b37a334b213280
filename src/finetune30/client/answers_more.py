"""The shapes of answers about what lies beside runs: files, data, models, webhooks.

Neighbours: ``answers`` has those of runs, and says what a shape promises.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from finetune30.client.answers import Failure, Shape


class StoredFile(Shape):
    """A file inside an archive."""

    name: str
    bytes: int
    sha256: str | None = None


class Artifact(StoredFile):
    """A file of a run that can be fetched."""

    media_type: str = ""
    files: tuple[StoredFile, ...] = ()


class Checkpoint(Shape):
    """A checkpoint that is kept; ``archive`` is the name it is fetched by."""

    step: int
    roles: tuple[str, ...] = ()
    accuracy: float | None = None
    train_seconds: float | None = None
    bytes: int = 0
    archive: str = ""
    files: tuple[StoredFile, ...] = ()


class Prediction(Shape):
    """A row of the validation split and what was answered."""

    position: int
    row: int
    text: str | None = None
    pair: str | None = None
    label: str | list[str]
    predicted: str | list[str]
    right: bool
    certainty: float | None = None
    probabilities: dict[str, float | None] = Field(default_factory=dict)


class Dataset(Shape):
    """A file somebody sent. ``dataset_name`` is what a configuration calls it; ``report`` is what the checks say."""

    dataset_id: str
    dataset_name: str
    owner: str
    name: str
    format: str = ""
    bytes: int = 0
    sha256: str = ""
    created_at: float
    purpose: str = "dataset"
    state: str
    options: dict[str, Any] = Field(default_factory=dict)
    version: str | None = None
    error: Failure | None = None
    report: dict[str, Any] | None = None

    @property
    def is_checking(self) -> bool:
        """Whether its checks are still going on."""
        return self.state == "checking"


class Repaired(Shape):
    """A repaired copy; ``fixes`` are the rows that each fix touched, by the check's name."""

    dataset: Dataset
    fixes: dict[str, int] = Field(default_factory=dict)
    rows: dict[str, int] = Field(default_factory=dict)


class DataVersion(Shape):
    """A version of data: exact rows, stored once."""

    version: str
    dataset_name: str
    created_at: float
    source: str = ""
    rows: int
    splits: dict[str, int] = Field(default_factory=dict)
    label_names: tuple[str, ...] = ()
    bytes: int = 0
    tags: tuple[str, ...] = ()


class Model(Shape):
    """A name under which versions are kept; ``aliases`` point at numbers of them."""

    name: str
    owner: str
    visibility: str
    description: str = ""
    created_at: float
    versions: int = 0
    latest: int | None = None
    aliases: dict[str, int] = Field(default_factory=dict)


class ModelVersion(Shape):
    """One experiment's adapter under a number of its own."""

    model: str
    version: int
    address: str
    experiment_id: str
    sha256: str
    registered_at: float
    registered_by: str = ""
    note: str = ""
    aliases: tuple[str, ...] = ()
    base_model: str = ""
    base_revision: str | None = None
    dataset: str = ""
    dataset_hash: str | None = None
    eval_accuracy: float | None = None


class WholeModelVersion(Shape):
    """A version and the files it consists of."""

    version: ModelVersion
    files: tuple[StoredFile, ...] = ()


class Alias(Shape):
    """Where an alias points, and where a rollback would move it."""

    model: str
    alias: str
    version: int
    moved_at: float
    moved_by: str = ""
    previous: int | None = None


class Move(Shape):
    """One move of an alias; ``to_version`` None: it was dropped."""

    seq: int
    model: str
    alias: str
    kind: str
    from_version: int | None = None
    to_version: int | None = None
    moved_at: float
    moved_by: str = ""
    note: str = ""


class Resolved(Shape):
    """What an address means just now."""

    model: str | None = None
    version: int | None = None
    alias: str | None = None
    experiment_id: str
    sha256: str
    owner: str
    visibility: str = ""
    base_model: str = ""
    base_revision: str | None = None
    label_names: tuple[str, ...] = ()
    dataset: str = ""
    dataset_hash: str | None = None
    eval_accuracy: float | None = None


class Webhook(Shape):
    """Where the end of runs is told. ``secret`` stands only in the answer that made it."""

    webhook_id: str
    owner: str
    url: str
    kinds: tuple[str, ...] = ()
    created_at: float
    disabled_at: float | None = None
    disabled_why: str | None = None
    failing_since: float | None = None
    last_at: float | None = None
    last_status: int | None = None
    last_error: str | None = None
    secret: str | None = None

    def __repr_args__(self) -> Any:
        """Without the secret."""
        return [(name, value) for name, value in super().__repr_args__() if name != "secret"]


class Delivery(Shape):
    """A message to a webhook, sent or to be sent."""

    number: int
    webhook_id: str
    message_id: str = ""
    kind: str
    task_id: str | None = None
    happened_at: float
    state: str
    attempts: int = 0
    next_at: float | None = None
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: float | None = None


class Key(Shape):
    """A key for predictions. ``key`` itself stands only in the answer that made it."""

    key_id: str
    name: str
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    key: str | None = None

    def __repr_args__(self) -> Any:
        """Without the key."""
        return [(name, value) for name, value in super().__repr_args__() if name != "key"]
