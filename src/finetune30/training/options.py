"""Training options that depend on the labels or on what is installed, checked before anything is made.

Neighbours: the pipeline's plan checks, ``sitting`` uses the weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from finetune30.config import ExperimentConfig
from finetune30.errors import ConfigError
from finetune30.training.callbacks import trackers


def check_options(config: ExperimentConfig, label_names: Sequence[str]) -> None:
    """Refuse, before anything is made, training options that this machine or these labels rule out.

    Raises: ConfigError.
    """
    class_weights(config, [], label_names)
    trackers(config, lambda _: None)


def class_weights(config: ExperimentConfig, labels: Sequence[int], names: Sequence[str]) -> list[float] | None:
    """One weight a label: None, given by name, or rows / (labels x rows of the label) (scikit-learn's "balanced")."""
    asked = config.training.class_weights
    if asked is None:
        return None
    if asked == "balanced":
        counts = Counter(labels)
        return [len(labels) / (len(counts) * counts[i]) if counts[i] else 0.0 for i in range(len(names))]
    if unknown := sorted(set(asked) - set(names)):
        raise ConfigError(
            f"there is no label {unknown[0]!r}; the labels are {', '.join(names[:20])}",
            where="training.class_weights",
        )
    return [float(asked.get(name, 1.0)) for name in names]
