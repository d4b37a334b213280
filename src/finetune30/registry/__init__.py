"""Which adapters exist, what they are called, and what is known of them.

A successful experiment becomes a numbered version of a model; an alias (``spam@champion``) points at one version and
can be moved and rolled back. ``models`` is the door, ``catalogue`` its reading half; ``reading``, ``moving`` and
``resolving`` are the statements, ``trail`` is what "back" means, ``addresses`` how a model is named, ``manifest`` which
files belong to it, ``refusals`` the words of a no, ``cards`` the model card. Nobody here knows HTTP or torch.
"""

from finetune30.registry.addresses import is_of_model
from finetune30.registry.cards import ModelCard, render
from finetune30.registry.manifest import seal
from finetune30.registry.models import Models
from finetune30.registry.opening import open_models
from finetune30.registry.record import Actor, Alias, Candidate, Kind, Model, Move, Resolved, Version, Visibility
from finetune30.registry.refusals import RegistryConflict

__all__ = [
    "Actor",
    "Alias",
    "Candidate",
    "Kind",
    "Model",
    "ModelCard",
    "Models",
    "Move",
    "RegistryConflict",
    "Resolved",
    "Version",
    "Visibility",
    "is_of_model",
    "open_models",
    "render",
    "seal",
]
