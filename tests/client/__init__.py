"""``finetune30.client`` and the verbs for a server, against real ones."""
