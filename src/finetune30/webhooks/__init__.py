"""Webhooks: whoever started a run is told of its end, so that nobody watches a screen.

    change of state ──trigger──> deliveries ──> outbox ──> postman ──> places (may it?) ──> carrying ──> receiver

``store`` is what owners see, ``messages`` what receivers get, ``backoff`` when something is sent again. Nobody here
answers who may do what, and nothing here knows torch.
"""

from finetune30.webhooks.postman import Postman
from finetune30.webhooks.record import ENDS, Delivery, Kind, State, Webhook
from finetune30.webhooks.store import Webhooks

__all__ = ["ENDS", "Delivery", "Kind", "Postman", "State", "Webhook", "Webhooks"]
