"""What a receiver gets: a small JSON body, and a signature by Standard Webhooks.

Promises: the body is the same at every attempt, byte for byte, and so is its id; a receiver that knows the secret
can tell that it comes from here, is whole and is not old. The secret is derived from the server's key and the
webhook's salt: the database holds nothing with which one could sign. Neighbours: ``outbox`` brings the rows.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook as Signer

from finetune30 import __version__
from finetune30.webhooks.record import Kind

_PREFIX = "whsec_"
_AGENT = f"finetune30/{__version__}"


def secret_of(key: bytes, webhook_id: str, salt: str) -> str:
    """The secret of a webhook, as its owner was told it."""
    derived = hmac.new(key, f"finetune30 webhook {webhook_id} {salt}".encode(), hashlib.sha256).digest()
    return _PREFIX + base64.b64encode(derived).decode()


def check_of(secret: str) -> str:
    """What may be kept of a secret, to see later that it is still the same: it is random, so nobody can go back."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def body_of(told: Mapping[str, Any]) -> bytes:
    """The body of a delivery from the columns of its row."""
    kind = Kind(told["kind"])
    at = datetime.fromtimestamp(told["happened_at"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data: dict[str, Any] = {"webhook_id": told["webhook_id"]} if kind is Kind.PING else _run(told)
    message = {"type": kind, "timestamp": at, "data": data}
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode()


def headers_of(message_id: str, body: bytes, secret: str, at: datetime) -> dict[str, str]:
    """The headers of one attempt.

    Args:
        at: This moment, UTC: receivers refuse what is older than some minutes.
    """
    return {
        "User-Agent": _AGENT,
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(secret).sign(message_id, at, body.decode()),
    }


def _run(told: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "status", "attempt", "eval_accuracy", "train_runtime", "error_code")
    task_id = told["experiment_id"]
    links = {"task": f"/task/{task_id}", "experiment": f"/experiments/{task_id}"}
    return {"task_id": task_id, **{name: told[name] for name in names}, "links": links}
