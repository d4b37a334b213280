"""What is asked of a classifier: one text or two in, one label or several out.

Kept in the ``config.json`` beside an adapter, so that its folder alone says how to read it: in
transformers' own words where there are any, and under ``finetune30`` what they have no word for.
Neighbours: ``base`` writes it, ``opened`` reads it, ``predict`` turns logits into probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.errors import BadInput, ModelError

# Name of what we add to transformers' configuration.
OURS = "finetune30"
_MULTI_LABEL = "multi_label_classification"


@dataclass(frozen=True)
class Task:
    """One text or two in, one label or several out.

    Attributes:
        label_names: Their order is the order of the logits.
        multi_label: A row may have several labels, or none: each has a probability of its own.
        text_pair: A row is two texts, read together.
        threshold: A label is given when its probability is at least this; multi-label only.
    """

    label_names: tuple[str, ...]
    multi_label: bool = False
    text_pair: bool = False
    threshold: float = 0.5

    @classmethod
    def read(cls, config: Mapping[str, Any], where: str) -> Task:
        """The task that a ``config.json`` describes.

        Raises: ModelError if it names no labels, or says nothing sensible.
        """
        names = config.get("id2label")
        if not isinstance(names, dict) or sorted(names) != sorted(str(i) for i in range(len(names))):
            raise ModelError("config.json has no id2label", where=where)
        ours = config.get(OURS, {})
        pair, threshold = (ours.get("text_pair", False), ours.get("threshold", 0.5)) if _is_map(ours) else (None, None)
        if not isinstance(pair, bool) or not isinstance(threshold, float) or not 0 < threshold < 1:
            raise ModelError(
                f"config.json has {OURS}: {str(ours)[:80]}, expected text_pair (true or false) and threshold (0 to 1)",
                where=where,
            )
        label_names = tuple(str(names[str(i)]) for i in range(len(names)))
        return cls(label_names, config.get("problem_type") == _MULTI_LABEL, pair, threshold)

    def described(self) -> dict[str, Any]:
        """What goes into ``config.json`` beside the names of the labels."""
        ours = {"text_pair": True} if self.text_pair else {}
        if self.multi_label:
            return {"problem_type": _MULTI_LABEL, OURS: {**ours, "threshold": self.threshold}}
        return {"problem_type": "single_label_classification", **({OURS: ours} if ours else {})}

    def given(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which labels rows with several get, in the shape of ``probabilities``."""
        return probabilities >= self.threshold

    def check_texts(self, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
        """Refuse one text where two are read together, two where one is read, and uneven numbers of them.

        Raises: BadInput.
        """
        if self.text_pair and pairs is None:
            raise BadInput(
                "the adapter was trained on pairs of texts and was given one text a row",
                where="the second text",
                hint="give a second text for each: --pair on the command line, text<TAB>second text on standard input",
            )
        if pairs is not None and not self.text_pair:
            raise BadInput(
                "the adapter was trained on single texts and was given pairs",
                where="the second text",
                hint="leave the second texts out, or name a run that was trained with data.text_pair_column",
            )
        if pairs is not None and len(pairs) != len(texts):
            raise BadInput(
                f"there are {len(texts)} texts and {len(pairs)} second texts, expected as many of each",
                where="the second text",
                hint="the first second text belongs to the first text, and so on",
            )


def _is_map(value: object) -> bool:
    return isinstance(value, dict)
