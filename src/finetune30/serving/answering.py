"""Answers in the shape of the question: label, probability, who gave it, and what should be known of it.

Neighbours: ``asking`` has read the question, ``host`` computed the numbers; no HTTP here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune30.modeling.predict import probabilities_of, sigmoid, softmax
from finetune30.scripts import NAMES, in_latin_letters, script_of, scripts_of
from finetune30.serving.asking import Question
from finetune30.serving.host import Live

_DIGITS = 6
# Enough of a text to tell its script.
_READ = 300


@dataclass(frozen=True)
class Given:
    """One row's answer.

    Attributes:
        logits: A number for each label of the adapter.
    """

    live: Live
    text: str
    logits: NDArray[np.float32]
    truncated: bool

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of each label, as the adapter was trained."""
        return probabilities_of(self.logits, multi_label=self.live.task.multi_label)


def ours(question: Question, given: Sequence[Given], latency_ms: float) -> dict[str, Any]:
    """The answer of the specification; of a list of texts a list of them."""
    rows = [_row(one, question.top_k) for one in given]
    if question.single:
        return {**rows[0], "latency_ms": round(latency_ms, 2)}
    return {"predictions": rows, "latency_ms": round(latency_ms, 2)}


def scores(question: Question, given: Sequence[Given], *, default_top_k: int | None = None) -> list[list[Any]]:
    """Labels with scores, the highest first, a list for each text: as transformers' pipeline answers."""
    return [_scores(one, question, default_top_k) for one in given]


def base_of(live: Live) -> str:
    """The base model by its name; of a folder of this machine only its own name."""
    return _public(live.base_model)


@lru_cache(1000)
def _public(base_model: str) -> str:
    folder = Path(base_model)
    return folder.name if folder.is_absolute() else base_model


def language_of(live: Live) -> str | None:
    """What the base model speaks, by name; None where it is unknown, or all."""
    if live.languages is None:
        return None
    return _named(live.languages)


@lru_cache(1000)
def _named(languages: frozenset[str]) -> str:
    return ", ".join(NAMES.get(code, code) for code in sorted(languages))


def _row(one: Given, top_k: int | None) -> dict[str, Any]:
    live, task = one.live, one.live.task
    probabilities, names = one.probabilities, task.label_names
    best = int(probabilities.argmax())
    answer: dict[str, Any] = {
        "label": best,
        "label_name": names[best],
        "probability": _round(probabilities[best]),
        "base_model": base_of(live),
        "language": language_of(live),
        "adapter": identity(live),
        "truncated": one.truncated,
    }
    if task.multi_label:
        answer["labels"] = [
            _labelled(names, label, probabilities) for label in np.flatnonzero(task.given(probabilities))
        ]
    if top_k is not None:
        order = np.argsort(-probabilities, kind="stable")[:top_k]
        answer["top_k"] = [_labelled(names, label, probabilities) for label in order]
    warning = _warning(one)
    return answer if warning is None else {**answer, "warning": warning}


def identity(live: Live) -> dict[str, Any]:
    """Which adapter it is: the run, its place in the registry, and the hash of what is in memory."""
    found = live.found
    told: dict[str, Any] = {"id": found.experiment_id, "sha256": live.sha256}
    if found.model is not None:
        told |= {"model": found.model, "version": found.version, "alias": found.alias}
    return told


def _labelled(names: Sequence[str], label: Any, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    number = int(label)
    return {"label": number, "label_name": names[number], "probability": _round(probabilities[number])}


def _warning(one: Given) -> str | None:
    spoken = one.live.languages
    if spoken is None:
        return None
    script = script_of(one.text[:_READ])
    if script is None or script in scripts_of(spoken) or (script == "latin" and in_latin_letters(spoken)):
        return None
    written = "in Latin letters" if script == "latin" else f"in {NAMES[script]}"
    return f"the text looks written {written}, the model speaks {language_of(one.live)}"


def _scores(one: Given, question: Question, default_top_k: int | None) -> list[dict[str, Any]]:
    values = _applied(one, question.function)
    top_k = question.top_k or default_top_k or len(values)
    order = np.argsort(-values, kind="stable")[:top_k]
    names = one.live.task.label_names
    return [{"label": names[label], "score": _round(values[label])} for label in order]


def _applied(one: Given, function: str | None) -> NDArray[np.float64]:
    match function:
        case None:
            return one.probabilities
        case "softmax":
            return softmax(one.logits)
        case "sigmoid":
            return sigmoid(one.logits)
        case _:
            return one.logits.astype(np.float64)


def _round(number: Any) -> float:
    return round(float(number), _DIGITS)
