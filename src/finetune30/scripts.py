"""Which script a text is written in, and which language that says it is.

Scripts tell most languages apart; those in Latin letters are told apart elsewhere, if at all.
Neighbours: the checks of the data and the answers of the service compare texts with what a model speaks.
"""

from __future__ import annotations

import re
from collections.abc import Collection

NAMES = {
    "en": "English", "zh": "Chinese", "ja": "Japanese", "ko": "Korean", "fr": "French", "de": "German",
    "es": "Spanish", "it": "Italian", "pt": "Portuguese", "nl": "Dutch", "id": "Indonesian", "vi": "Vietnamese",
    "tr": "Turkish", "pl": "Polish", "sv": "Swedish", "ru": "Cyrillic", "ar": "Arabic", "th": "Thai",
    "hi": "Devanagari", "el": "Greek", "he": "Hebrew",
}  # fmt: skip
"""Languages told apart; where one script is told and not the language, the script."""

LATIN = ("en", "fr", "de", "es", "it", "pt", "nl", "id", "vi", "tr", "pl", "sv")
_SCRIPTS = {
    "ja": "\u3041-\u3096\u30a1-\u30fa", "ko": "\u1100-\u11ff\uac00-\ud7af",
    "zh": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff", "ru": "\u0400-\u04ff", "ar": "\u0600-\u06ff",
    "th": "\u0e01-\u0e3a\u0e40-\u0e7f", "hi": "\u0900-\u0963\u0966-\u097f", "el": "\u0370-\u03ff",
    "he": "\u0590-\u05ff",
}  # fmt: skip
_WRITTEN_LIKE = {
    code: script
    for script, codes in (("ru", "uk be bg mk sr kk ky mn tg"), ("ar", "fa ur ps ug sd"), ("hi", "mr ne"), ("he", "yi"))
    for code in codes.split()
}
_OF_SCRIPT = {code: re.compile(f"[{letters}]") for code, letters in _SCRIPTS.items()}
LATIN_LETTER = re.compile(r"[A-Za-z\u00c0-\u024f]")
_DENSE_WORTH = 2.5  # a Chinese character says as much as so many Latin letters
_SOME_LATIN = re.compile(r"(?:[A-Za-z\u00c0-\u024f][^A-Za-z\u00c0-\u024f]*){12}")


def script_of(text: str) -> str | None:
    """``latin``, the language that a script stands for, or None where there are too few letters to tell."""
    if text.isascii():
        return "latin" if _SOME_LATIN.search(text) else None
    latin = len(LATIN_LETTER.findall(text))
    counts = {code: _DENSE_WORTH * len(pattern.findall(text)) for code, pattern in _OF_SCRIPT.items()}
    # Japanese mixes kana into Han; a single の decorates Chinese.
    if counts["ja"] > max(_DENSE_WORTH, 0.1 * counts["zh"]):
        counts["ja"] += counts.pop("zh")
    best = max(counts, key=counts.__getitem__)
    if counts[best] > latin:
        return best
    return "latin" if _SOME_LATIN.search(text) else None


def scripts_of(expected: Collection[str]) -> set[str]:
    """The answers of ``script_of`` that these languages may give."""
    scripts = {_WRITTEN_LIKE.get(code, code) for code in expected}
    # A language that is not told apart may be any in Latin letters.
    return scripts if scripts <= NAMES.keys() else scripts | {"latin"}


def in_latin_letters(expected: Collection[str]) -> bool:
    """Whether one of these languages is written so."""
    return "latin" in scripts_of(expected) or not {*LATIN}.isdisjoint(expected)
