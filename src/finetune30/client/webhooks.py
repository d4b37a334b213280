"""Webhooks: where the end of one's runs is told, so that nobody watches a screen.

Neighbours: ``watching`` is for who does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from finetune30.client.address import segment
from finetune30.client.answers import Page
from finetune30.client.answers_more import Delivery, Webhook
from finetune30.client.asking import Asking, every

_PAGE = 100


class Webhooks(Asking):
    """``/webhooks``."""

    def webhooks(self, owner: str | None = None) -> list[Webhook]:
        """One's own (an admin's: all), the oldest first."""
        return self._page("/webhooks", "webhooks", Webhook, {"owner": owner}).items

    def webhook(self, webhook_id: str) -> Webhook:
        """One, and how it fares."""
        return self._get(_at(webhook_id), Webhook)

    def add_webhook(self, url: str, kinds: Sequence[str] | None = None) -> Webhook:
        """Have the end of one's runs told to an address; only this answer holds the ``secret``.

        Args:
            kinds: ``run.succeeded``, ``run.failed``, ``run.cancelled``, ``run.started``, ``run.paused``.
        """
        return self._post("/webhooks", Webhook, {"url": url, **({} if kinds is None else {"kinds": list(kinds)})})

    def delete_webhook(self, webhook_id: str) -> None:
        """Forget it; what waits is not sent."""
        self._delete(_at(webhook_id))

    def disable_webhook(self, webhook_id: str) -> Webhook:
        """Tell it nothing more."""
        return self._post(f"{_at(webhook_id)}/disable", Webhook)

    def enable_webhook(self, webhook_id: str) -> Webhook:
        """Tell it again."""
        return self._post(f"{_at(webhook_id)}/enable", Webhook)

    def test_webhook(self, webhook_id: str) -> Delivery:
        """Send it a ``ping``, on the way of all others."""
        return self._post(f"{_at(webhook_id)}/test", Delivery)

    def deliveries(self, webhook_id: str, limit: int | None = None) -> Iterator[Delivery]:
        """What was and is to be sent, the newest first."""
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(before: int | None) -> Page[Delivery]:
            query = {"limit": size, "before": before}
            return self._page(f"{_at(webhook_id)}/deliveries", "deliveries", Delivery, query)

        return every(page, limit)

    def retry_delivery(self, webhook_id: str, number: int) -> Delivery:
        """Send it again now, with the same id."""
        return self._post(f"{_at(webhook_id)}/deliveries/{number:d}/retry", Delivery)


def _at(webhook_id: str) -> str:
    return f"/webhooks/{segment(webhook_id)}"
