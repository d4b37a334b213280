"""Which adapters exist and what is known of them. Today: their model cards."""

from finetune30.registry.cards import ModelCard, render

__all__ = ["ModelCard", "render"]
