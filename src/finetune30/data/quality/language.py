"""Rows in a language that the model, or the rest of the data, does not speak.

Scripts tell most languages apart. Between languages in Latin letters ``lingua`` points at candidates
(its small models: the large ones need 350 MB and seconds to load), and function words must agree:
names and exclamations look foreign, "le … dans la" is. Neighbours: ``modeling.language`` knows what
a model was trained on; this room knows no models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from finetune30.data.quality.report import Check, Verdict, check
from finetune30.data.quality.rows import Dataset

NAMES = {
    "en": "English", "zh": "Chinese", "ja": "Japanese", "ko": "Korean", "fr": "French", "de": "German",
    "es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch", "id": "Indonesian", "vi": "Vietnamese",
    "tr": "Turkish", "pl": "Polish", "sv": "Swedish", "ru": "Cyrillic", "ar": "Arabic", "th": "Thai",
    "hi": "Devanagari", "el": "Greek", "he": "Hebrew",
}  # fmt: skip
"""Languages told apart; where one script is told and not the language, the script."""

_LATIN = ("en", "fr", "de", "es", "it", "pt", "nl", "id", "vi", "tr", "pl", "sv")
_SCRIPTS = {
    "ja": "\u3040-\u30ff", "ko": "\u1100-\u11ff\uac00-\ud7af", "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "ru": "\u0400-\u04ff", "ar": "\u0600-\u06ff", "th": "\u0e00-\u0e7f", "hi": "\u0900-\u097f",
    "el": "\u0370-\u03ff", "he": "\u0590-\u05ff",
}  # fmt: skip
_OF_SCRIPT = {code: re.compile(f"[{letters}]") for code, letters in _SCRIPTS.items()}
_LATIN_LETTER = re.compile(r"[A-Za-z\u00c0-\u024f]")
_WORD = re.compile(r"[^\W\d_]+")
_NOISE = re.compile(r"https?://\S+|www\.\S+|[@#]\w+|&\w+;|\d+")
_FUNCTION_WORDS = {
    code: frozenset(listed.split())
    for code, listed in {
        "en": "the and that this with you have they from are but not it to my his her by at would about their there "
        "what is was a of in for on i be so as an or if we he she me your all just",
        "fr": "le la les un une des est et dans que pour pas je il elle ce cette qui sur avec mais très nous vous du "
        "au ne se son sont plus",
        "de": "der die das ein eine ist und nicht ich sie wir mit für auf zu den dem sehr aber war es von auch wie nur "
        "im bei nach",
        "es": "el la los las un una es y no de que en por para con muy pero se lo mi más está como fue su del al le",
        "it": "il la lo gli un una è e non di che in per con molto ma si mi più sono della nel questo ho come era del",
        "pt": "o a os as um uma é e não de que em por para com muito mas se me mais está do da no na foi eu são ao",
        "nl": "de het een is en niet van dat ik wij met voor op te zeer maar was er ook als naar zijn heb aan om bij",
        "id": "yang dan di ini itu tidak saya dengan untuk dari ke ada sangat tapi akan bisa kami sudah karena juga",
        "vi": "là và của không có tôi rất được cho này với những một các người đã khi như nhưng ở",
        "tr": "bir ve bu çok için ile ama değil ben da de gibi daha en ne var yok olarak kadar sonra",
        "pl": "i w na nie jest się to z że do jak ale bardzo był ten ta po za od dla są było mnie tak",
        "sv": "och att det är en ett som på för inte jag med av till den var men så mycket vi om de har",
    }.items()
}
_DENSE_WORTH = 2.5  # a Chinese character says as much as so many Latin letters
_LETTERS = 20
_UNLIKELY, _IMPOSSIBLE = 0.2, 0.01
_EXAMINED = 100_000
_SEED = 30


def check_language(data: Dataset, spoken: Collection[str] | None) -> Check:
    """The check ``language``.

    Args:
        spoken: Codes of the languages the model was trained on; None where that is not known (or all):
            then the most frequent language of the train texts is expected.
    """
    rows = np.arange(len(data))
    if len(rows) > _EXAMINED:
        rows = np.sort(np.random.default_rng(_SEED).choice(len(data), _EXAMINED, replace=False))
    texts = data.texts_at(rows)
    scripts = [script_of(text) for text in texts]
    expected = set(spoken) if spoken is not None else _majority(texts, scripts)
    strange: dict[int, str] = {}
    latin = []
    for at, script in enumerate(scripts):
        if script == "latin" and expected & set(_LATIN):
            latin.append(at)
        elif script is not None and (script not in expected):
            strange[at] = script
    strange |= {latin[i]: code for i, code in _not_among(expected, [texts[at] for at in latin]).items()}
    counts = Counter(strange.values())
    listed = ", ".join(f"{NAMES.get(code, 'Latin letters')} {count:,}" for code, count in counts.most_common(4))
    wanted = " or ".join(sorted(NAMES.get(code, code) for code in expected)) or "anything"
    whose = "the model speaks" if spoken is not None else "most texts are"
    details: dict[str, Any] = {"examined": len(rows), "expected": sorted(expected), "languages": dict(counts)}
    found = f"{whose} {wanted}; others: {listed}" + (
        "" if len(rows) == len(data) else f" of {len(rows):,} sampled rows"
    )
    much = len(strange) > len(rows) / 2
    hint = "choose a base model of that language, or a multilingual one: model.name" if much else ""
    made = check("language", rows[sorted(strange)], found, hint, **details)
    return made if strange else Check("language", Verdict.PASS, details=details)


def script_of(text: str) -> str | None:
    """``latin``, the language that a script stands for, or None where there are too few letters to tell."""
    latin = len(_LATIN_LETTER.findall(text))
    if text.isascii():
        return "latin" if latin >= 3 else None
    counts = {code: _DENSE_WORTH * len(pattern.findall(text)) for code, pattern in _OF_SCRIPT.items()}
    if counts["ja"] > 0.1 * counts["zh"]:  # Japanese mixes kana into Han
        counts["ja"] += counts.pop("zh")
    best = max(counts, key=counts.__getitem__)
    if counts[best] > latin:
        return best
    return "latin" if latin >= 3 else None


def _majority(texts: Sequence[str], scripts: Sequence[str | None]) -> set[str]:
    most = Counter(script for script in scripts if script is not None).most_common(1)
    if not most:
        return set()
    if most[0][0] != "latin":
        return {most[0][0]}
    some = [_cleaned(text) for text, script in zip(texts, scripts, strict=True) if script == "latin"][:2_000]
    some = [text for text in some if _has_letters(text)]
    if not some:
        return {"en"}
    found = Counter(_guess(values) for values in _confidences(_LATIN, some))
    return {found.most_common(1)[0][0]}


def _not_among(expected: Collection[str], texts: Sequence[str]) -> dict[int, str]:
    """Positions of texts that are in none of the expected languages, with the language they are in."""
    known = [code for code in _LATIN if code in expected]
    open_ones = {}
    for at, text in enumerate(texts):
        cleaned = _cleaned(text)
        if _has_letters(cleaned) and max(_function_words(cleaned, code) for code in known) < 3:
            open_ones[at] = cleaned
    found: dict[int, str] = {}
    values = _confidences(_LATIN, list(open_ones.values()))
    for (at, text), confidence in zip(open_ones.items(), values, strict=True):
        guess, familiar = _guess(confidence), sum(confidence[code] for code in known)
        if guess in known or familiar >= _UNLIKELY:
            continue
        foreign, own = _function_words(text, guess), max(_function_words(text, code) for code in known)
        if foreign > own and (foreign > 1 or familiar < _IMPOSSIBLE):
            found[at] = guess
    return found


def _function_words(text: str, code: str) -> int:
    """How many different function words of a language a text holds."""
    return len(_FUNCTION_WORDS[code].intersection(_WORD.findall(text.casefold())))


def _cleaned(text: str) -> str:
    return _NOISE.sub(" ", text)


def _has_letters(text: str) -> bool:
    return len(_LATIN_LETTER.findall(text)) >= _LETTERS and len(text.split()) >= 4


def _guess(confidence: dict[str, float]) -> str:
    return max(confidence, key=confidence.__getitem__)


def _confidences(codes: Iterable[str], texts: Sequence[str]) -> list[dict[str, float]]:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    if not texts:
        return []
    isos = [getattr(IsoCode639_1, code.upper()) for code in codes]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*isos).with_low_accuracy_mode().build()
    values = detector.compute_language_confidence_values_in_parallel(list(texts))
    return [{value.language.iso_code_639_1.name.lower(): value.value for value in one} for one in values]
