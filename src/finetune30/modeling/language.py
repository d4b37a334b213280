"""Which languages a base model was trained on.

Told by its name where that is known, else by its own model card; None where nothing is said or it
speaks them all. Neighbours: the checks of the data compare texts with it.
"""

from __future__ import annotations

import re

from finetune30.modeling.source import Source

_CARD_BYTES = 1 << 16
_EVERY = re.compile(r"multilingual|xlm-r|(?<![a-z])mbert|bge-m3|labse|mdeberta|rembert|mmbert|\bxlm\b")
_BY_NAME = (
    (re.compile(r"chinese|-zh(\b|-|_)|_zh\b|macbert|ckiplab|pert-base|ernie-3.0-\w+-zh"), "zh"),
    (re.compile(r"camembert|flaubert|-french|-fr\b"), "fr"),
    (re.compile(r"german|gbert|gelectra|-de\b"), "de"),
    (re.compile(r"japanese|-ja\b"), "ja"),
    (re.compile(r"korean|klue|kobert|-ko\b"), "ko"),
    (re.compile(r"spanish|beto|-es\b"), "es"),
    # Of a number of parameters: -it is for tuned on instructions, -pt for pretrained.
    (re.compile(r"italian|(?<!\d[bm])-it\b"), "it"),
    (re.compile(r"indobert|indonesian|-id\b"), "id"),
    (re.compile(r"phobert|vietnamese|-vi\b"), "vi"),
    (re.compile(r"bertimbau|portuguese|(?<!\d[bm])-pt\b"), "pt"),
    (re.compile(r"builtin:minilm|minilm-l\d+-v2|english|-en\b"), "en"),
    (
        re.compile(
            r"^(?:distil)?(?:bert-(?:base|large|tiny|mini|small|medium)(?:-(?:un)?cased)?|roberta-(?:base|large)"
            r"|albert-\w+-v[12]|electra-(?:small|base|large)-discriminator|deberta-v3-\w+|modernbert-\w+)$"
        ),
        "en",
    ),
)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)


def languages_of(source: Source) -> frozenset[str] | None:
    """ISO 639-1 codes of the languages a base model knows; None where that is unknown, or all of them."""
    owner, _, name = source.name.casefold().rstrip("/").rpartition("/")
    if owner == "klue":  # the one owner whose models are called as if they were English: klue/roberta-base
        return frozenset({"ko"})
    if _EVERY.search(name):
        return None
    for pattern, code in _BY_NAME:
        if pattern.search(name):
            return frozenset({code})
    return _by_card(source)


def _by_card(source: Source) -> frozenset[str] | None:
    card = source.folder / "README.md"
    try:
        with card.open(encoding="utf-8") as file:
            front = _FRONT_MATTER.match(file.read(_CARD_BYTES))
    except (OSError, UnicodeDecodeError):
        return None
    if front is None:
        return None
    said = re.search(r"^language:\s*(\[[^\]]*\]|[a-z-]+\s*$|(?:\n\s*-\s*[a-z-]+)+)", front[1], re.MULTILINE)
    codes = re.findall(r"(?<![\w-])[a-z]{2}\b", said[1]) if said else []  # of zh-tw the first
    # A card that lists many languages means a multilingual model.
    return frozenset(codes) if 0 < len(codes) <= 3 else None
