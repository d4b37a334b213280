"""Opening the registry that the settings point to; ``experiments.opening`` makes the database ready."""

from __future__ import annotations

from finetune30.experiments import open_store
from finetune30.registry.models import Models
from finetune30.settings import Settings


def open_models(settings: Settings, *, create: bool = False) -> Models:
    """The registry beside the experiments.

    Args:
        create: Make results folder, database and tables where they are missing. Without it, what is not there
            reads as a registry without models.
    Raises: StorageError if the database cannot be used.
    """
    return Models(open_store(settings, create=create).engine, settings.results_dir)
