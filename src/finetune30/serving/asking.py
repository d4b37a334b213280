"""What a request asks, in any of the three shapes people's clients send.

Ours (``{"text": …}``), Hugging Face's (``{"inputs": …, "parameters": …}``) and that of
text-embeddings-inference. Messages say what was expected and where, and repeat nothing that was sent.
Neighbours: ``answering`` gives the answer in the same shape; no HTTP here.
Source: huggingface.co/docs/inference-providers/tasks/text-classification; TEI's openapi.json.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from finetune30.errors import BadInput

MOST_TEXTS = 512
_LONGEST_ADDRESS = 160
_FUNCTIONS = ("softmax", "sigmoid", "none")


class Unaskable(BadInput):
    """A request that cannot be answered as it was asked; the message may be sent back."""

    code = "request_invalid"


@dataclass(frozen=True)
class Question:
    """Texts and who is to answer each.

    Attributes:
        pairs: The second text of each; None where rows are one text.
        addresses: Of the adapter of each row; None is the default one.
        single: One answer is wanted and no list.
        top_k: So many labels of each, the most probable first; None for what is usual in the shape.
        function: How scores are made of logits; None as the adapter was trained.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None
    addresses: Sequence[str | None]
    single: bool
    top_k: int | None = None
    function: str | None = None


def of_ours(values: Mapping[str, Any]) -> Question:
    """``text``, ``text_pair``, ``adapter`` (each one or a list) and ``top_k``.

    Raises: Unaskable.
    """
    _known(values, ("text", "text_pair", "adapter", "top_k"), "body")
    given = values.get("text")
    single = isinstance(given, str)
    texts = _texts([given] if single else given, "body.text")
    pair = values.get("text_pair")
    pairs = None if pair is None else _texts([pair] if isinstance(pair, str) else pair, "body.text_pair")
    if pairs is not None and (len(pairs) != len(texts) or isinstance(pair, str) != single):
        raise Unaskable("expected a second text for each text, or none at all", where="body.text_pair")
    return Question(texts, pairs, _addresses(values.get("adapter"), len(texts)), single, _top_k(values, "body.top_k"))


def of_hugging_face(values: Mapping[str, Any], address: str | None = None) -> Question:
    """``inputs``: a text, a list of texts, or objects of ``text`` and ``text_pair``; with ``parameters``.

    Raises: Unaskable.
    """
    _known(values, ("inputs", "parameters", "options"), "body")
    _mapping(values.get("options"), "body.options")
    parameters = _mapping(values.get("parameters"), "body.parameters")
    _known(parameters, ("function_to_apply", "top_k", "adapter_id", "truncation", "max_length"), "body.parameters")
    function = parameters.get("function_to_apply")
    if function is not None and function not in _FUNCTIONS:
        raise Unaskable(f"expected one of {', '.join(_FUNCTIONS)}", where="body.parameters.function_to_apply")
    given = values.get("inputs")
    single = not isinstance(given, list)
    rows = [given] if single else given
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_TEXTS:
        raise Unaskable(f"expected a text, or 1 to {MOST_TEXTS} of them", where="body.inputs")
    read = [_one_of(row, f"body.inputs{'' if single else f'.{at}'}") for at, row in enumerate(rows)]
    adapter = _address(parameters.get("adapter_id"), "body.parameters.adapter_id") or address
    top_k = _top_k(parameters, "body.parameters.top_k")
    return Question(*_columns(read, "body.inputs"), [adapter] * len(read), single, top_k, function)


def of_tei(values: Mapping[str, Any], address: str | None = None) -> Question:
    """``inputs``: a text, two texts (one pair), or a list of lists of one or two texts each.

    Raises: Unaskable.
    """
    _known(values, ("inputs", "truncate", "truncation_direction", "raw_scores"), "body")
    raw = values.get("raw_scores", False)
    if not isinstance(raw, bool):
        raise Unaskable("expected true or false", where="body.raw_scores")
    given = values.get("inputs")
    single = isinstance(given, str) or (isinstance(given, list) and len(given) > 0 and isinstance(given[0], str))
    rows = [given] if single else given
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_TEXTS:
        raise Unaskable(f"expected a text, a pair, or 1 to {MOST_TEXTS} lists of one or two texts", where="body.inputs")
    read = [_one_or_two(row, f"body.inputs{'' if single else f'.{at}'}") for at, row in enumerate(rows)]
    function = "none" if raw else None
    return Question(*_columns(read, "body.inputs"), [address] * len(read), single, None, function)


def _one_of(row: Any, where: str) -> tuple[str, str | None]:
    if isinstance(row, Mapping):
        _known(row, ("text", "text_pair"), where)
        second = row.get("text_pair")
        first = _text(row.get("text"), f"{where}.text")
        return first, None if second is None else _text(second, f"{where}.text_pair")
    return _text(row, where), None


def _one_or_two(row: Any, where: str) -> tuple[str, str | None]:
    if isinstance(row, str):
        return _text(row, where), None
    if not isinstance(row, list) or not 1 <= len(row) <= 2:
        raise Unaskable("expected one text, or two that are read together", where=where)
    return _text(row[0], where), _text(row[1], where) if len(row) == 2 else None


def _columns(read: Sequence[tuple[str, str | None]], where: str) -> tuple[list[str], list[str] | None]:
    seconds = [second for _, second in read if second is not None]
    if seconds and len(seconds) < len(read):
        raise Unaskable("expected a second text for each text, or none at all", where=where)
    return [first for first, _ in read], seconds or None


def _texts(given: Any, where: str) -> list[str]:
    if not isinstance(given, list) or not given:
        raise Unaskable("expected a text, or a list of texts", where=where, hint='{"text": "This movie was great!"}')
    if len(given) > MOST_TEXTS:
        raise Unaskable(f"expected at most {MOST_TEXTS} texts", where=where, hint="send them in several requests")
    return [_text(one, where if len(given) == 1 else f"{where}.{at}") for at, one in enumerate(given)]


def _text(given: Any, where: str) -> str:
    if not isinstance(given, str):
        raise Unaskable("expected a text", where=where)
    if not given.strip():
        raise Unaskable("the text is empty", where=where)
    return given


def _addresses(given: Any, count: int) -> list[str | None]:
    if isinstance(given, list):
        if len(given) != count:
            raise Unaskable("expected one adapter, or one for each text", where="body.adapter")
        return [_address(one, f"body.adapter.{at}") for at, one in enumerate(given)]
    return [_address(given, "body.adapter")] * count


def _address(given: Any, where: str) -> str | None:
    if given is None:
        return None
    if not isinstance(given, str) or not 1 <= len(given) <= _LONGEST_ADDRESS:
        raise Unaskable("expected name@alias, name/3 or an experiment's id", where=where)
    return given


def _top_k(values: Mapping[str, Any], where: str) -> int | None:
    given = values.get("top_k")
    if given is None:
        return None
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= 100_000:
        raise Unaskable("expected a whole number from 1 on", where=where)
    return given


def _mapping(given: Any, where: str) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise Unaskable("expected an object", where=where)
    return given


def _known(values: Mapping[str, Any], names: Collection[str], where: str) -> None:
    unknown = [name for name in values if name not in names]
    if not unknown:
        return
    near = get_close_matches(unknown[0][:40], names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there is: {', '.join(names)}"
    raise Unaskable("there is a key that is not known here", where=where, hint=hint)


Shape = Callable[[Mapping[str, Any]], Question]
