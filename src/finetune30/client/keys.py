"""API keys: one's own, for programs that predict. The API itself takes none of them.

Neighbours: ``logins`` is for who asks the API.
"""

from __future__ import annotations

from finetune30.client.address import segment
from finetune30.client.answers import shaped
from finetune30.client.answers_more import Key
from finetune30.client.asking import Asking
from finetune30.client.wire import Request


class Keys(Asking):
    """``/keys``."""

    def api_keys(self) -> list[Key]:
        """One's own, the newest first, those that are revoked too."""
        return self._page("/keys", "keys", Key, {}).items

    def add_key(self, name: str, expires_days: int | None = None) -> Key:
        """Make a key; only this answer holds the ``key``.

        Args:
            expires_days: How long it is good; None: until it is revoked.
        """
        return self._post("/keys", Key, {"name": name, "expires_days": expires_days})

    def revoke_key(self, key_id: str) -> Key:
        """End it for good; within a second nobody predicts with it."""
        answer = self._send(Request("DELETE", f"/keys/{segment(key_id)}", safe=True))  # a second time is the same
        return shaped(Key, answer.json(), answer.server)
